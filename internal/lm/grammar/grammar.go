// Package grammar bounds what a model may write: a JSON Schema is compiled into an automaton over bytes, and the
// automaton, laid over a vocabulary, into the set of tokens that may come next.
//
// The text that comes out is JSON in one style, that of Python's json.dumps with ensure_ascii off: `{"a": "b", "c": [1, 2]}`.
// It is one style and not several because text that is forced costs no call of the model, and because models that
// were trained on such text meet what they know.
//
// What is admitted is never more than the schema admits, and less in these points:
//   - the members of an object come in the order of "properties", and an object that names members has no others:
//     "additionalProperties": true, said or not, is read as false there. An object that names none may have any, or
//     those of "additionalProperties"; there a name may come twice, with values that are each valid.
//   - a schema without "type" is read as the types that its keywords speak of: one with "properties" is an object,
//     one with "minLength" a string. Only a schema without any constraint admits any value.
//   - an integer is written without point and exponent, a number that has bounds without exponent, and other
//     numbers with at most two digits of exponent.
//   - a number has at most 20 digits before its point and 20 behind it, also within free values: enough for every
//     uint64 and for the shortest text of a float64. Where minimum or maximum have as many, one more than theirs.
//     const and enum are written as they are.
//   - a string bound by enum, const, pattern or format has escapes only where JSON needs them. Other strings may
//     use every escape.
//   - values of enum and const are written as the schema writes them, members in that order.
//   - values nest at most maxStack frames deep.
//
// In one point it is more: "nullable", which OpenAPI has and JSON Schema has not, admits null. Formats bind.
//
// A keyword that is neither an annotation nor supported is an error that names it with its JSON pointer: nothing is
// silently ignored.
//
// From every place that is admitted some text leads to the end, but the end need not come: a string without maxLength, a
// pattern with a star, an array without maxItems and an object of any members may go on for ever, and so may arrays and
// objects within a free value. Nothing else can: there is no free white space, and numbers are bounded.
//
// What it costs. A schema has at most 1 MiB, nested 128 deep. It compiles to at most 262,144 nodes, some 100 bytes each,
// in at most 2,000,000 steps of building the automata of its patterns, formats and numbers, each of which has at most
// 40,000 states; a list has at most 4,096 alternatives. What is beyond is an error with its place. Neither lengths nor
// counts of items cost nodes, at most 2^30 of them: a matcher counts. {m,n} inside a pattern, n at most 5,000, is counted
// too where everything around it is of one length, else expanded. A mask that is not known yet takes at most one step for
// each prefix of a token, through all places where the text may stand, which are as many as there are alternatives that
// it does not tell apart. States are kept up to 64 MiB and masks up to 64 MiB for each vocabulary that a grammar is used
// with; what is forgotten is found again.
//
// The package knows neither models nor tokenizers: tokens are byte strings. Read program.go first, then machine.go.
package grammar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// maxSchemaBytes bounds the JSON text of a schema.
const maxSchemaBytes = 1 << 20

// maxStack bounds the frames on a matcher's stack; a level of JSON takes one to three of them.
const maxStack = 400

var errUnsatisfiable = errors.New("no value satisfies it")

// A Grammar is a compiled schema. It may be used by several goroutines.
type Grammar struct {
	program *program

	mu       sync.Mutex
	machines map[*Vocabulary]*machine
}

// Compile reads a JSON Schema, draft 2020-12, of the subset that the package comment describes.
func Compile(schema []byte) (*Grammar, error) {
	if len(schema) > maxSchemaBytes {
		return nil, fmt.Errorf("schema: %d bytes, at most %d", len(schema), maxSchemaBytes)
	}
	root, err := parseValue(bytes.TrimPrefix(schema, []byte("\ufeff")))
	var syntax *json.SyntaxError
	if err != nil && errors.As(json.Unmarshal(schema, new(json.RawMessage)), &syntax) { // it knows where
		return nil, fmt.Errorf("schema: byte %d: %w", syntax.Offset, syntax)
	}
	if err != nil {
		return nil, placed(err, "")
	}
	c := &compiler{program: newProgram(), root: root, refs: map[string]int32{}, anyRule: -1, numbers: map[bool]int32{}, work: newBudget()}
	start, err := c.document()
	if err != nil {
		return nil, err
	}
	if err := c.finish(start); err != nil {
		return nil, placed(err, "")
	}
	return &Grammar{program: c.program, machines: map[*Vocabulary]*machine{}}, nil
}
