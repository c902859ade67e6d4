package jinja

import "fmt"

// expr is a node of an expression. The nodes that can fail carry their line.
type expr interface {
	eval(m *machine) any
}

// eval evaluates a node one level deeper.
func (m *machine) eval(e expr) any {
	m.charge(1)
	m.down()
	v := e.eval(m)
	m.up()
	return v
}

type (
	constant struct{ v any }
	name     struct {
		id   string
		line int
	}
	listExpr  struct{ items []expr }
	tupleExpr struct{ items []expr }
	dictExpr  struct {
		keys, vals []expr
		line       int
	}
	member struct {
		of   expr
		id   string
		line int
	}
	index struct {
		of, at expr
		line   int
	}
	slice struct {
		of, from, to, step expr // nil where left out
		line               int
	}
	sign struct {
		op   string
		x    expr
		line int
	}
	arith struct {
		op   string
		x, y expr
		line int
	}
	logic struct {
		or   bool
		x, y expr
	}
	not     struct{ x expr }
	compare struct {
		x    expr
		ops  []string
		ys   []expr
		line int
	}
	concat  struct{ items []expr }
	ternary struct {
		cond, yes, no expr // no may be nil
	}
	call struct {
		f    expr
		args argExprs
		line int
	}
	filterExpr struct {
		of   expr // nil in a filter block
		id   string
		args argExprs
		line int
	}
	testExpr struct {
		x    expr
		id   string
		args argExprs
		line int
	}
)

func (e *constant) eval(*machine) any { return e.v }

func (e *name) eval(m *machine) any {
	if v, ok := m.get(e.id); ok {
		return v
	}
	if f, ok := globals[e.id]; ok {
		return f
	}
	m.charge(len(e.id) / bytesAStep)
	return undefined{"'" + e.id + "' is undefined"}
}

func (m *machine) evalAll(es []expr) []any {
	out := make([]any, len(es))
	for i, e := range es {
		out[i] = m.eval(e)
	}
	return out
}

func (e *listExpr) eval(m *machine) any  { return m.evalAll(e.items) }
func (e *tupleExpr) eval(m *machine) any { return tuple(m.evalAll(e.items)) }

func (e *dictExpr) eval(m *machine) any {
	d := &Map{}
	for i := range e.keys {
		key := m.eval(e.keys[i])
		v := m.eval(e.vals[i])
		if !m.put(d, key, v) {
			m.line = e.line
			m.fail("'%s' cannot be a key", typeName(key))
		}
	}
	return d
}

func (e *member) eval(m *machine) any {
	v := m.eval(e.of)
	m.line = e.line
	return m.member(v, e.id)
}

func (e *index) eval(m *machine) any {
	v, at := m.eval(e.of), m.eval(e.at)
	m.line = e.line
	return m.index(v, at)
}

func (e *not) eval(m *machine) any { return !m.truth(m.eval(e.x)) }

func (e *logic) eval(m *machine) any {
	v := m.eval(e.x)
	if m.truth(v) == e.or {
		return v
	}
	return m.eval(e.y)
}

func (e *compare) eval(m *machine) any {
	x := m.eval(e.x)
	for i, op := range e.ops {
		y := m.eval(e.ys[i])
		m.line = e.line
		if !m.compare(op, x, y) {
			return false
		}
		x = y
	}
	return true
}

func (e *concat) eval(m *machine) any {
	var w writer
	for _, item := range e.items {
		m.print(&w, m.eval(item))
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	return m.made(w.done())
}

func (e *ternary) eval(m *machine) any {
	switch {
	case m.truth(m.eval(e.cond)):
		return m.eval(e.yes)
	case e.no != nil:
		return m.eval(e.no)
	}
	return undefined{"the inline if-expression evaluated to false and no else section was defined"}
}

func (e *call) eval(m *machine) any {
	f := m.eval(e.f)
	a := m.args(e.args)
	m.line = e.line
	return m.call(f, a)
}

func (e *filterExpr) eval(m *machine) any { return e.apply(m, m.eval(e.of)) }

func (e *filterExpr) apply(m *machine, v any) any {
	a := m.args(e.args)
	m.line = e.line
	return m.filter(e.id)(m, v, a)
}

func (e *testExpr) eval(m *machine) any {
	v := m.eval(e.x)
	a := m.args(e.args)
	m.line = e.line
	return m.test(e.id)(m, v, a)
}

// member is v.id: an attribute first, then an item, as in Jinja.
func (m *machine) member(v any, id string) any {
	m.charge(len(id) / bytesAStep)
	switch v := v.(type) {
	case undefined:
		m.fail("%s", v.what)
	case *loop:
		if got, ok := v.member(m, id); ok {
			return got
		}
	case *namespace:
		if got, ok := v.get(plain(id)); ok {
			return got
		}
	case *macro:
		if id == "name" {
			return plain(v.name)
		}
	case *Map:
		if isMethod(v, id) {
			return method{v, id}
		}
		if got, ok := v.get(plain(id)); ok {
			return got
		}
	default:
		if isMethod(v, id) {
			return method{v, id}
		}
	}
	return undefined{fmt.Sprintf("'%s object' has no attribute '%s'", typeName(v), id)}
}

// index is v[at]: an item first, then an attribute, as in Jinja. What is not there is undefined.
func (m *machine) index(v, at any) any {
	key, isKey := isText(at)
	i, isInt := integer(at)
	switch v := v.(type) {
	case undefined:
		m.fail("%s", v.what)
	case *Map:
		if got, ok := m.find(v, at); ok {
			return got
		}
	case []any:
		if isInt {
			return pick(v, i)
		}
	case tuple:
		if isInt {
			return pick(v, i)
		}
	case span:
		if n := v.count(); isInt && i < n && i >= -n {
			return v.start + (i+n)%n*v.step
		}
	case text:
		if isInt {
			return m.character(v, i)
		}
	case *loop, *namespace, *macro:
		if isKey {
			return m.member(v, key.s)
		}
	}
	m.charge(len(key.s) / bytesAStep)
	if isKey && isMethod(v, key.s) {
		return method{v, key.s}
	}
	var w writer
	m.repr(&w, at)
	return undefined{fmt.Sprintf("'%s object' has no element %s", typeName(v), w.buf)}
}

// pick is items[i], where a negative i counts from the end.
func pick(items []any, i int64) any {
	n := int64(len(items))
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return undefined{fmt.Sprintf("list object has no element %d", i)}
	}
	return items[i]
}

func (m *machine) character(t text, i int64) any {
	at := runeStarts(t.s)
	m.charge(len(at) / bytesAWork)
	n := int64(len(at) - 1)
	if i < 0 {
		i += n
	}
	if i < 0 || i >= n {
		return undefined{fmt.Sprintf("str object has no element %d", i)}
	}
	return t.slice(at[i], at[i+1])
}

func (e *slice) eval(m *machine) any {
	v := m.eval(e.of)
	part := func(e expr) (int64, bool) {
		if e == nil {
			return 0, false
		}
		v := m.eval(e)
		if v == nil {
			return 0, false
		}
		i, ok := integer(v)
		if !ok {
			m.fail("slice indices must be integers or None, not %s", typeName(v))
		}
		return i, true
	}
	from, hasFrom := part(e.from)
	to, hasTo := part(e.to)
	step, hasStep := part(e.step)
	m.line = e.line
	if !hasStep {
		step = 1
	}
	if step == 0 {
		m.fail("slice step cannot be zero")
	}
	// cut lists the positions of the slice in a sequence of n elements.
	cut := func(n int) []int {
		m.charge(n / valuesAStep)
		return sliced(int64(n), from, hasFrom, to, hasTo, step)
	}
	switch v := v.(type) {
	case text:
		at := runeStarts(v.s)
		picks := cut(len(at) - 1)
		if step == 1 {
			if len(picks) == 0 {
				return text{}
			}
			return v.slice(at[picks[0]], at[picks[len(picks)-1]+1])
		}
		var w writer
		for _, i := range picks {
			w.text(v.slice(at[i], at[i+1]))
		}
		return m.made(w.done())
	case []any:
		return picked(v, cut(len(v)))
	case tuple:
		return tuple(picked(v, cut(len(v))))
	case span:
		items := m.iterate(v)
		return picked(items, cut(len(items)))
	case undefined:
		m.fail("%s", v.what)
	}
	m.fail("'%s' object cannot be sliced", typeName(v))
	return nil
}

func picked(items []any, at []int) []any {
	out := make([]any, len(at))
	for i, k := range at {
		out[i] = items[k]
	}
	return out
}

// sliced lists the positions that Python's slice(from, to, step) picks of n.
func sliced(n, from int64, hasFrom bool, to int64, hasTo bool, step int64) []int {
	lo, hi := int64(0), n // where a bound outside is moved to
	if step < 0 {
		lo, hi = -1, n-1
	}
	bound := func(i int64, has bool, missing int64) int64 {
		if !has {
			return missing
		}
		if i < 0 {
			return max(i+n, lo)
		}
		return min(i, hi)
	}
	if step < 0 {
		from, to = bound(from, hasFrom, hi), bound(to, hasTo, lo)
	} else {
		from, to = bound(from, hasFrom, lo), bound(to, hasTo, hi)
	}
	step = min(max(step, -n-1), n+1) // farther is past the end all the same, and from+step cannot overflow
	var out []int
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		out = append(out, int(i))
	}
	return out
}
