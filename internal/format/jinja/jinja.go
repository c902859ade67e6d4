// Package jinja renders chat templates: the part of Jinja2 that published models use to lay out a conversation,
// behaving as the environment that Hugging Face transformers builds (trim_blocks, lstrip_blocks, loop controls,
// an immutable sandbox, tojson without escapes). Python's own rules hold for strings, slices, numbers and printing.
//
// A template comes with a model file and is read with suspicion: there is no reflection and no way out of the
// values it is given, and steps, nesting and sizes are bounded by the constants below. What is not supported is
// refused by name, at parsing for tags and when it is reached for filters, tests and methods.
//
// The package knows nothing of tokens. It does keep apart the text of the template and the text that a caller
// passed as Data, through every operation, so that a caller can tell which bytes of the result a user wrote.
//
// Start with eval.go; lex.go holds the whitespace rules.
package jinja

import (
	"fmt"
	"time"
)

// Bounds on what a template may do. A step takes 50 to 150 ns. Most conversations take a few thousand, but some
// templates look at every pair of messages (DeepSeek V3.2: 330,000 steps for 100 tool calls), so a list of n values
// in the input adds n² * pairSteps, and each byte of input one more, up to MaxLongSteps in all.
const (
	MaxSource    = 1 << 20 // bytes of a template
	MaxSteps     = 500_000 // nodes evaluated, plus elements and bytes handled in bulk
	MaxLongSteps = 20_000_000
	MaxText      = 16 << 20 // bytes of the result or of any string on the way
	MaxDepth     = 1000     // nested evaluations, macro calls included
	MaxNesting   = 100      // nested brackets and blocks in a template, nested values in its input
	MaxRange     = 100_000  // elements of range(), as in Jinja's sandbox
	pairSteps    = 16
	bytesAStep   = 64 // bytes copied for the price of one step
	bytesAWork   = 4  // bytes looked at one by one for the price of one step
	turnSteps    = 3  // what a turn of a loop costs beside its nodes
	callSteps    = 8  // what a macro's call costs beside its nodes
	valuesAStep  = 2  // list elements copied for the price of one step
	namesAStep   = 32 // names compared for the price of one step
	keySteps     = 4  // what putting a key into a dict costs
)

// Data is a string that does not come from the template's author. Its bytes are marked in the result of Mark.
type Data string

// Tagged is Data with a number of the caller's, which tells in the result of Mark whose bytes were printed.
type Tagged struct {
	Data Data
	Tag  int
}

// Span is the range [Start, End) of bytes in a text. Tag is that of the Tagged they come from, 0 for other Data.
type Span struct{ Start, End, Tag int }

// Marked is a rendered text and the places where Data stands in it: ascending, not empty, touching only where the tag
// changes.
type Marked struct {
	Text string
	Data []Span
}

// Template is a parsed template. It may be rendered by several goroutines at once.
type Template struct {
	body []stmt
	// Now is the clock of strftime_now; nil means time.Now.
	Now func() time.Time
}

// Error says where in a template something is wrong.
type Error struct {
	Line int
	Msg  string
	// Raised tells that the template itself refused its input with raise_exception.
	Raised bool
}

func (e *Error) Error() string { return fmt.Sprintf("jinja: line %d: %s", e.Line, e.Msg) }

// Parse reads a template. An error is an *Error.
func Parse(src string) (t *Template, err error) {
	defer catch(&err)
	if len(src) > MaxSource {
		return nil, &Error{Line: 1, Msg: fmt.Sprintf("template has %d bytes, at most %d are read", len(src), MaxSource)}
	}
	p := &parser{toks: lex(src)}
	return &Template{body: p.template()}, nil
}

// Render fills in the template. Values are nil, bool, int, int64, float64, string, Data, Tagged, []any and
// *Map. An error is an *Error.
func (t *Template) Render(vars map[string]any) (string, error) {
	m, err := t.Mark(vars)
	return m.Text, err
}

// Mark is Render that also tells where the bytes of Data values went, however the template cut, joined or
// escaped them.
func (t *Template) Mark(vars map[string]any) (out Marked, err error) {
	defer catch(&err)
	now := t.Now
	if now == nil {
		now = time.Now
	}
	m := &machine{now: now, line: 1, scope: &scope{}, limit: MaxLongSteps}
	for name, v := range vars {
		m.set(name, m.enter(v, 0))
	}
	m.limit = min(MaxSteps+m.bytes+pairSteps*m.longest*m.longest, MaxLongSteps)
	m.scope = &scope{parent: m.scope}
	m.body(t.body)
	return Marked{string(m.out.buf), m.out.data}, nil
}

// catch turns the *Error that parser and machine panic with into a returned one: a template is a deep tree, and an
// error anywhere ends it.
func catch(err *error) {
	switch e := recover().(type) {
	case nil:
	case *Error:
		*err = e
	default:
		panic(e)
	}
}
