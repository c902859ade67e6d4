package jinja

import (
	"strings"
	"unicode"
)

// isTest is a test of "is".
type isTest func(m *machine, v any, a args) bool

var testTable map[string]isTest

func init() {
	testTable = map[string]isTest{
		"defined":     kindTest(func(v any) bool { _, u := v.(undefined); return !u }),
		"undefined":   kindTest(func(v any) bool { _, u := v.(undefined); return u }),
		"none":        kindTest(func(v any) bool { return v == nil }),
		"boolean":     kindTest(func(v any) bool { _, ok := v.(bool); return ok }),
		"true":        kindTest(func(v any) bool { return v == true }),
		"false":       kindTest(func(v any) bool { return v == false }),
		"integer":     kindTest(func(v any) bool { _, ok := v.(int64); return ok }),
		"float":       kindTest(func(v any) bool { _, ok := v.(float64); return ok }),
		"number":      kindTest(func(v any) bool { _, ok := number(v); return ok }),
		"string":      kindTest(func(v any) bool { _, ok := v.(text); return ok }),
		"mapping":     kindTest(func(v any) bool { _, ok := v.(*Map); return ok }),
		"iterable":    kindTest(iterable),
		"sequence":    kindTest(isSequence),
		"callable":    kindTest(callable),
		"escaped":     kindTest(func(any) bool { return false }),
		"filter":      nameTest(func(id string) bool { return filterTable[id] != nil }),
		"test":        nameTest(func(id string) bool { return testTable[id] != nil }),
		"odd":         func(m *machine, v any, _ args) bool { return m.equal(m.binary("%", v, int64(2)), int64(1)) },
		"even":        func(m *machine, v any, _ args) bool { return m.equal(m.binary("%", v, int64(2)), int64(0)) },
		"divisibleby": func(m *machine, v any, a args) bool { return m.equal(m.binary("%", v, m.one(a)), int64(0)) },
		"lower":       caseTest(unicode.IsUpper, unicode.IsLower),
		"upper":       caseTest(unicode.IsLower, unicode.IsUpper),
		"sameas":      same,
		"in":          func(m *machine, v any, a args) bool { return m.contains(m.one(a), v) },
	}
	for op, names := range map[string]string{"==": "== eq equalto", "!=": "!= ne", "<": "< lt lessthan", "<=": "<= le",
		">": "> gt greaterthan", ">=": ">= ge"} {
		for _, id := range strings.Fields(names) {
			testTable[id] = func(m *machine, v any, a args) bool { return m.compare(op, v, m.one(a)) }
		}
	}
}

func (m *machine) test(id string) isTest {
	t, ok := testTable[id]
	if !ok {
		m.fail("test '%s' is not supported", id)
	}
	return t
}

// one is the only argument of a test.
func (m *machine) one(a args) any {
	if len(a.pos) != 1 || len(a.names) > 0 {
		m.fail("test takes 1 value, %d given", len(a.pos)+len(a.names))
	}
	return a.pos[0]
}

func kindTest(is func(v any) bool) isTest {
	return func(m *machine, v any, a args) bool {
		if len(a.pos)+len(a.names) > 0 {
			m.fail("test takes no value")
		}
		return is(v)
	}
}

// nameTest tells whether a string is a name that is known.
func nameTest(known func(id string) bool) isTest {
	return func(m *machine, v any, a args) bool {
		if len(a.pos)+len(a.names) > 0 {
			m.fail("test takes no value")
		}
		t, ok := isText(v)
		m.charge(len(t.s) / bytesAStep)
		return ok && known(t.s)
	}
}

func iterable(v any) bool {
	switch v.(type) {
	case text, []any, tuple, *Map, *view, *generator, span, undefined, *loop:
		return true
	}
	return false
}

func isSequence(v any) bool {
	switch v.(type) {
	case text, []any, tuple, *Map, span, undefined:
		return true
	}
	return false
}

func callable(v any) bool {
	switch v.(type) {
	case *macro, function, method, *loop, undefined: // Undefined has a __call__, which raises
		return true
	}
	return false
}

// caseTest is Python's islower and isupper of str(v): no cased letter is of the wrong case and one is of the right.
func caseTest(wrong, right func(r rune) bool) isTest {
	return func(m *machine, v any, _ args) bool {
		t := m.str(v)
		m.charge(len(t.s) / bytesAWork)
		return !strings.ContainsFunc(t.s, wrong) && strings.ContainsFunc(t.s, right)
	}
}

// same is Python's "is", for the values where it means something: None, booleans and one namespace or dict.
func same(m *machine, v any, a args) bool {
	other := m.one(a)
	switch v := v.(type) {
	case nil, bool, *Map, *namespace, *macro, *loop:
		return v == other
	}
	m.fail("test 'sameas' on %s is not supported", typeName(v))
	return false
}
