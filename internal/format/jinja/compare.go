package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

func runeCount(s string) int { return utf8.RuneCountInString(s) }

// truth is Python's bool(v).
func (m *machine) truth(v any) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case text:
		return v.s != ""
	}
	if n, ok := m.size(v); ok {
		return n > 0
	}
	return true
}

// equal is Python's ==.
func (m *machine) equal(a, b any) bool {
	m.charge(1)
	defer m.deeper()()
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case text:
		t, ok := b.(text)
		m.charge(len(a.s) / bytesAStep)
		return ok && a.s == t.s
	case []any:
		l, ok := b.([]any)
		return ok && slices.EqualFunc(a, l, m.equal)
	case tuple:
		l, ok := b.(tuple)
		return ok && slices.EqualFunc(a, l, m.equal)
	case *Map:
		d, ok := b.(*Map)
		if !ok || a.Len() != d.Len() {
			return false
		}
		for i, key := range a.keys {
			if v, ok := m.find(d, key); !ok || !m.equal(a.vals[i], v) {
				return false
			}
		}
		return true
	case span:
		return a == b
	case *namespace, *view, *generator, *macro, *loop:
		return a == b
	}
	x, okx := integer(a)
	y, oky := integer(b)
	if okx && oky {
		return x == y
	}
	f, okf := number(a)
	g, okg := number(b)
	return okf && okg && f == g
}

// order is -1, 0 or 1 as a stands to b; op names the comparison in the error about types that have no order.
func (m *machine) order(a, b any, op string) int {
	m.charge(1)
	defer m.deeper()()
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return three(x < y, x > y)
		}
	}
	if f, ok := number(a); ok {
		if g, ok := number(b); ok {
			return three(f < g, f > g)
		}
	}
	if s, ok := a.(text); ok {
		if t, ok := b.(text); ok {
			m.charge(len(s.s) / bytesAStep)
			return strings.Compare(s.s, t.s) // UTF-8 sorts as code points do
		}
	}
	l, okl := a.([]any)
	r, okr := b.([]any)
	if !okl || !okr {
		var lt, rt tuple
		lt, okl = a.(tuple)
		rt, okr = b.(tuple)
		l, r = lt, rt
	}
	if !okl || !okr {
		m.fail("'%s' not supported between instances of '%s' and '%s'", op, typeName(a), typeName(b))
	}
	for i := range min(len(l), len(r)) {
		if !m.equal(l[i], r[i]) {
			return m.order(l[i], r[i], op)
		}
	}
	return three(len(l) < len(r), len(l) > len(r))
}

func three(less, more bool) int {
	switch {
	case less:
		return -1
	case more:
		return 1
	}
	return 0
}

// compare is one of Python's six comparisons, or in and not in.
func (m *machine) compare(op string, a, b any) bool {
	switch op {
	case "==":
		return m.equal(a, b)
	case "!=":
		return !m.equal(a, b)
	case "in":
		return m.contains(b, a)
	case "not in":
		return !m.contains(b, a)
	}
	if u, ok := a.(undefined); ok {
		m.fail("%s", u.what)
	}
	if u, ok := b.(undefined); ok {
		m.fail("%s", u.what)
	}
	// NaN has no order: every comparison with it is false.
	f, okf := a.(float64)
	g, okg := b.(float64)
	if okf && f != f || okg && g != g {
		return false
	}
	c := m.order(a, b, op)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// contains is Python's "x in box".
func (m *machine) contains(box, x any) bool {
	switch box := box.(type) {
	case text:
		t, ok := x.(text)
		if !ok {
			m.fail("'in <string>' requires string as left operand, not %s", typeName(x))
		}
		m.charge(len(box.s) / bytesAStep)
		return strings.Contains(box.s, t.s)
	case *Map:
		_, ok := m.find(box, x)
		return ok
	}
	items, ok := m.elements(box)
	if !ok {
		m.fail("argument of type '%s' is not iterable", typeName(box))
	}
	return slices.ContainsFunc(items, func(v any) bool { return m.equal(v, x) })
}
