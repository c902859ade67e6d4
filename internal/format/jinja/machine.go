package jinja

import (
	"fmt"
	"time"
)

// machine runs one rendering.
type machine struct {
	out     writer
	scope   *scope
	line    int // of the node at hand
	steps   int
	limit   int // of steps
	longest int // list in the input
	bytes   int // of text in the input
	depth   int
	now     func() time.Time
}

// scope holds the names set in a loop's turn, a macro's call or a block. Few names live in one, so it is a list; who
// makes it long pays for each look at it.
type scope struct {
	parent *scope
	names  []string
	vals   []any
}

// set gives a name of the innermost scope its value.
func (m *machine) set(name string, v any) {
	s := m.scope
	m.charge(comparing(name, len(s.names)))
	for i, n := range s.names {
		if n == name {
			s.vals[i] = v
			return
		}
	}
	s.names, s.vals = append(s.names, name), append(s.vals, v)
}

// get looks a name up from the innermost scope outwards.
func (m *machine) get(name string) (any, bool) {
	looks := 0
	for s := m.scope; s != nil; s = s.parent {
		for i, n := range s.names {
			if n == name {
				m.charge(comparing(name, looks+i))
				return s.vals[i], true
			}
		}
		looks += 1 + len(s.names)
	}
	m.charge(comparing(name, looks))
	return nil, false
}

// comparing is what it costs to compare name with n others, which may be as long.
func comparing(name string, n int) int { return n * (1 + len(name)/bytesAStep) / namesAStep }

// find is d.get, and charges for the key's hash.
func (m *machine) find(d *Map, key any) (any, bool) {
	if t, ok := isText(key); ok {
		m.charge(len(t.s) / bytesAStep)
	}
	return d.get(key)
}

// put is d.put, and charges for it.
func (m *machine) put(d *Map, key, v any) bool {
	m.charge(keySteps)
	if t, ok := isText(key); ok {
		m.charge(len(t.s) / bytesAStep)
	}
	return d.put(key, v)
}

func (m *machine) fail(format string, a ...any) {
	panic(&Error{Line: m.line, Msg: fmt.Sprintf(format, a...)})
}

// charge counts work, so that no template runs long.
func (m *machine) charge(n int) {
	m.steps += min(n, MaxLongSteps+1) // the sum cannot overflow
	if m.steps > m.limit {
		m.fail("template takes more than %d steps", m.limit)
	}
}

// deeper enters one level of recursion; the function it gives leaves it.
func (m *machine) deeper() func() {
	m.down()
	return m.up
}

func (m *machine) down() {
	m.depth++
	if m.depth > MaxDepth {
		m.fail("template is nested more than %d deep", MaxDepth)
	}
}

func (m *machine) up() { m.depth-- }

// made bounds a new string and counts the work of making it.
func (m *machine) made(t text) text {
	if len(t.s) > MaxText {
		m.fail("text has more than %d bytes", MaxText)
	}
	m.charge(len(t.s) / bytesAStep)
	return t
}
