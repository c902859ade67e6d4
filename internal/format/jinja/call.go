package jinja

import "time"

type (
	// args are the values of a call, in order; vals belong to names.
	args struct {
		pos   []any
		names []string
		vals  []any
	}
	argExprs struct {
		pos   []expr
		names []string
		vals  []expr
	}
)

func (m *machine) args(e argExprs) args {
	return args{m.evalAll(e.pos), e.names, m.evalAll(e.vals)}
}

// params sorts a call's values by parameter; one that was not given is nil, as None is the default of nearly all.
func (m *machine) params(f string, a args, names ...string) []any {
	if len(a.pos) > len(names) {
		m.fail("%s takes at most %d arguments, %d given", f, len(names), len(a.pos))
	}
	m.charge(len(a.names) * len(names) / namesAStep) // map gives the same values to each item
	out := make([]any, len(names))
	copy(out, a.pos)
named:
	for i, id := range a.names {
		for k, n := range names {
			if n == id {
				if k < len(a.pos) {
					m.fail("%s got two values for '%s'", f, id)
				}
				out[k] = a.vals[i]
				continue named
			}
		}
		m.fail("%s takes no argument '%s'", f, id)
	}
	return out
}

// wantText refuses what is not a string.
func (m *machine) wantText(v any, f string) text {
	t, ok := isText(v)
	if !ok {
		m.defined(v)
		m.fail("%s: want a string, not %s", f, typeName(v))
	}
	return t
}

// wantInt is v as an integer, or missing where v is nil.
func (m *machine) wantInt(v any, missing int64, f string) int64 {
	if v == nil {
		return missing
	}
	i, ok := integer(v)
	if !ok {
		m.defined(v)
		m.fail("%s: want an integer, not %s", f, typeName(v))
	}
	return i
}

func (m *machine) call(f any, a args) any {
	switch f := f.(type) {
	case *macro:
		return f.run(m, a)
	case function:
		return f(m, a)
	case method:
		return m.callMethod(f, a)
	case undefined:
		m.fail("%s", f.what)
	case *loop:
		m.fail("recursive loops are not supported")
	}
	m.fail("'%s' object is not callable", typeName(f))
	return nil
}

// globals are the functions that every template sees. It is filled at start because functions lead back to it.
var globals map[string]function

func init() {
	globals = map[string]function{
		"range": callRange, "dict": callDict, "namespace": callNamespace,
		"raise_exception": callRaise, "strftime_now": callStrftime,
	}
	for _, id := range []string{"lipsum", "cycler", "joiner"} {
		globals[id] = func(m *machine, a args) any {
			m.fail("function '%s' is not supported", id)
			return nil
		}
	}
}

func callRange(m *machine, a args) any {
	if len(a.pos) == 0 || len(a.names) > 0 {
		m.fail("range wants 1 to 3 numbers")
	}
	p := m.params("range", a, "start", "stop", "step")
	r := span{stop: m.wantInt(p[0], 0, "range"), step: 1}
	if len(a.pos) > 1 {
		r.start, r.stop = r.stop, m.wantInt(p[1], 0, "range")
	}
	if len(a.pos) > 2 {
		r.step = m.wantInt(p[2], 0, "range")
	}
	if r.step == 0 {
		m.fail("range step must not be zero")
	}
	const far = 1 << 60 // keeps count from overflowing
	if max(r.start, r.stop, r.step) > far || min(r.start, r.stop, r.step) < -far || r.count() > MaxRange {
		m.fail("range is too big, at most %d elements", MaxRange)
	}
	return r
}

// fill puts a dict given by position and then named values into d, as dict() and namespace() do.
func (m *machine) fill(d *Map, f string, a args) {
	if len(a.pos) > 1 {
		m.fail("%s takes at most 1 argument, %d given", f, len(a.pos))
	}
	for _, from := range a.pos {
		if src, ok := from.(*Map); ok {
			for i := range src.keys {
				m.put(d, src.keys[i], src.vals[i])
			}
			continue
		}
		for _, pair := range m.iterate(from) {
			kv := m.iterate(pair)
			if len(kv) != 2 || !m.put(d, kv[0], kv[1]) {
				m.fail("%s: want pairs of key and value", f)
			}
		}
	}
	for i, id := range a.names {
		m.put(d, plain(id), a.vals[i])
	}
}

func callDict(m *machine, a args) any {
	d := &Map{}
	m.fill(d, "dict", a)
	return d
}

func callNamespace(m *machine, a args) any {
	ns := &namespace{}
	m.fill(&ns.Map, "namespace", a)
	return ns
}

func callRaise(m *machine, a args) any {
	p := m.params("raise_exception", a, "message")
	panic(&Error{Line: m.line, Msg: m.str(p[0]).s, Raised: true})
}

func callStrftime(m *machine, a args) any {
	p := m.params("strftime_now", a, "format")
	return m.made(m.strftime(m.wantText(p[0], "strftime_now"), m.now()))
}

// strftime follows C's in the C locale.
func (m *machine) strftime(format text, now time.Time) text {
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'B': "January", 'b': "Jan", 'h': "Jan", 'A': "Monday",
		'a': "Mon", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'y': "06", 'j': "002", 'f': "000000",
		'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06", 'e': "_2", 'Z': "MST", 'z': "-0700",
		'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05"}
	bare := map[byte]string{'d': "2", 'm': "1", 'I': "3", 'M': "4", 'S': "5"}
	var w writer
	s := format.s
	m.charge(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+1 == len(s) {
			w.text(format.slice(i, i+1))
			continue
		}
		i++
		from, layout, ok := i, "", false
		switch {
		case s[i] == '%':
			w.str("%")
			continue
		case s[i] == '-' && i+1 < len(s):
			i++
			layout, ok = bare[s[i]]
			if s[i] == 'H' {
				w.str(now.Format("15")[boolInt(now.Hour() < 10):])
				continue
			}
		default:
			layout, ok = layouts[s[i]]
		}
		if !ok {
			m.fail("strftime_now: %%%s is not supported", s[from:i+1])
		}
		if s[i] == 'f' {
			w.str(now.Format(".000000")[1:])
			continue
		}
		w.str(now.Format(layout))
	}
	return w.done()
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
