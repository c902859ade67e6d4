package jinja

import (
	"math"
	"strconv"
	"strings"
)

// percent is Python's "format % values" with %s, %r, %d, %i, %f and %%; a precision is read for %f alone.
func (m *machine) percent(format text, v any) any {
	values, isTuple := v.(tuple)
	if !isTuple {
		values = tuple{v}
	}
	var w writer
	s, at, used := format.s, 0, 0
	for {
		end := strings.IndexByte(s[at:], '%')
		if end < 0 {
			break
		}
		m.charge(1)
		w.text(format.slice(at, at+end))
		from := at + end
		at = from + 1
		precision := 6
		if at+1 < len(s) && s[at] == '.' && s[at+1] >= '0' && s[at+1] <= '9' {
			precision = int(s[at+1] - '0')
			at += 2
		}
		if at == len(s) {
			m.fail("format: incomplete '%s'", s[from:])
		}
		verb := s[at]
		at++
		if verb == '%' {
			w.str("%")
			continue
		}
		if used == len(values) {
			m.fail("format: not enough values for the string")
		}
		m.verb(&w, verb, precision, at-from > 2, values[used])
		used++
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	if _, isMap := v.(*Map); used < len(values) && !isMap {
		m.fail("format: not all values are used")
	}
	w.text(format.slice(at, len(s)))
	return m.made(w.done())
}

func (m *machine) verb(w *writer, verb byte, precision int, hasPrecision bool, v any) {
	if hasPrecision && verb != 'f' {
		m.fail("format: a precision for %%%c is not supported", verb)
	}
	switch verb {
	case 's':
		m.print(w, v)
	case 'r':
		m.repr(w, v)
	case 'd', 'i':
		f, ok := number(v)
		if !ok {
			m.fail("format: %%d wants a number, not %s", typeName(v))
		}
		if i, ok := integer(v); ok {
			w.str(strconv.FormatInt(i, 10))
			return
		}
		if !(math.Abs(f) < 1<<63) {
			m.tooLarge()
		}
		w.str(strconv.FormatInt(int64(f), 10))
	case 'f':
		f, ok := number(v)
		if !ok {
			m.fail("format: %%f wants a number, not %s", typeName(v))
		}
		if math.IsInf(f, 0) || f != f {
			w.str(floatRepr(f))
			return
		}
		w.str(strconv.FormatFloat(f, 'f', precision, 64))
	default:
		m.fail("format: %%%c is not supported", verb)
	}
}

// formatText is str.format with plain fields: {}, {0}, {name}, {{ and }}.
func formatText(m *machine, t text, a args) any {
	var w writer
	s, at, auto := t.s, 0, 0
	for {
		end := strings.IndexAny(s[at:], "{}")
		if end < 0 {
			break
		}
		m.charge(1)
		w.text(t.slice(at, at+end))
		at += end
		if at+1 < len(s) && s[at+1] == s[at] {
			w.text(t.slice(at, at+1))
			at += 2
			continue
		}
		stop := strings.IndexByte(s[at:], '}')
		if s[at] == '}' || stop < 0 {
			m.fail("format: single '%c' in the string", s[at])
		}
		field := s[at+1 : at+stop]
		at += stop + 1
		if field == "" {
			field = strconv.Itoa(auto)
			auto++
		}
		m.print(&w, m.field(field, a))
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	w.text(t.slice(at, len(s)))
	return m.made(w.done())
}

func (m *machine) field(id string, a args) any {
	if i, err := strconv.Atoi(id); err == nil {
		if i < 0 || i >= len(a.pos) {
			m.fail("format: no value for field {%s}", id)
		}
		return a.pos[i]
	}
	m.charge(comparing(id, len(a.names)))
	for i, n := range a.names {
		if n == id {
			return a.vals[i]
		}
	}
	m.fail("format: field {%s} is missing or not supported", id)
	return nil
}
