package grammar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// receipt is a schema like those of the recipes.
const receipt = `{
	"type": "object",
	"properties": {
		"company": {"type": "string", "maxLength": 120},
		"date": {"type": "string", "format": "date"},
		"address": {"type": "string", "maxLength": 300},
		"total": {"type": "number", "minimum": 0},
		"currency": {"enum": ["EUR", "MYR", "USD"]}
	},
	"required": ["company", "date", "address", "total"],
	"additionalProperties": false
}`

func compile(t testing.TB, schema string) *Grammar {
	t.Helper()
	g, err := Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// byteVocabulary has the 256 single bytes, some tokens of more bytes, and last an eos and a control token.
func byteVocabulary(more ...string) *Vocabulary {
	var tokens [][]byte
	for b := range 256 {
		tokens = append(tokens, []byte{byte(b)})
	}
	for _, s := range more {
		tokens = append(tokens, []byte(s))
	}
	tokens = append(tokens, []byte("<eos>"), nil)
	return NewVocabulary(tokens, []int{len(tokens) - 2})
}

// accepts tells whether text is complete in the grammar.
func accepts(g *Grammar, text string) bool {
	m := g.Start(byteVocabularyOnce)
	return m.AcceptBytes([]byte(text)) == nil && m.Complete()
}

var byteVocabularyOnce = byteVocabulary()

func TestReceipt(t *testing.T) {
	g := compile(t, receipt)
	for _, text := range []string{
		`{"company": "Ä & \"B\"\n", "date": "2024-02-29", "address": "", "total": 12.50}`,
		`{"company": "\ud83d\ude00", "date": "1999-12-31", "address": "😀\/", "total": 0, "currency": "USD"}`,
	} {
		if !accepts(g, text) {
			t.Errorf("refused %s", text)
		}
	}
	for _, text := range []string{
		`{"company": "", "date": "2023-02-29", "address": "", "total": 1}`,
		`{"company": "", "date": "2023-02-28", "address": "", "total": -1}`,
		`{"company": "", "date": "2023-02-28", "total": 1, "address": ""}`,
		`{"company":"", "date": "2023-02-28", "address": "", "total": 1}`,
		`{"company": "` + strings.Repeat("ä", 121) + `", "date": "2023-02-28", "address": "", "total": 1}`,
		"{\"company\": \"\n\", \"date\": \"2023-02-28\", \"address\": \"\", \"total\": 1}",
		`{"company": "\ud83d", "date": "2023-02-28", "address": "", "total": 1}`,
		"{\"company\": \"\xff\", \"date\": \"2023-02-28\", \"address\": \"\", \"total\": 1}",
		`{"company": "", "date": "2023-02-28", "address": "", "total": 1`,
	} {
		if accepts(g, text) {
			t.Errorf("accepted %s", text)
		}
	}
	if full := `{"company": "` + strings.Repeat("ä", 120) + `", "date": "2023-02-28", "address": "", "total": 1}`; !accepts(g, full) {
		t.Errorf("refused %s", full)
	}
}

// Each case is a schema, texts it must accept, and texts it must refuse.
func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`true`, []string{`{"a": [1, null, {"b": "c"}], "d": -1.5e-9}`, `[]`, `{}`, `"x"`, `0`}, []string{`[1,2]`, `01`, `1.`, `1e100`, `[1, ]`, ``, `nul`}},
		{`{"type": ["integer", "null"]}`, []string{`-0`, `12`, `null`}, []string{`1.5`, `+1`, `""`}},
		{`{"type": "integer", "nullable": true}`, []string{`7`, `null`}, []string{`1.5`}},
		{`{"minimum": -5, "maximum": 17.25}`, []string{`-5`, `-5.00`, `-4.9`, `0`, `17.25`, `17.2`, `9.99`, `-0`}, []string{`-5.01`, `17.251`, `18`, `-6`, `100`, `1e1`}},
		{`{"type": "integer", "exclusiveMinimum": 98, "exclusiveMaximum": 1003}`, []string{`99`, `100`, `1002`}, []string{`98`, `1003`, `9`, `-99`, `1100`}},
		{`{"exclusiveMinimum": 0}`, []string{`0.001`, `1`}, []string{`0`, `-0`, `0.0`, `-1`}},
		{`{"exclusiveMaximum": 0}`, []string{`-0.001`, `-1`}, []string{`0`, `-0`, `1`}},
		{`{"minimum": 0.105e1}`, []string{`1.05`, `1.050`, `1.1`, `2`}, []string{`1.04`, `1`, `1.049`}},
		{`{"minLength": 2, "maxLength": 3}`, []string{`"ab"`, `"é€😀"`, `"\n\u20ac\ud83d\ude00"`}, []string{`"a"`, `"abcd"`, `"\n"`}},
		{`{"pattern": "^[A-Z]{2}\\d+$", "maxLength": 4}`, []string{`"AB1"`, `"AB12"`}, []string{`"AB"`, `"AB123"`, `"xAB1"`}},
		{`{"pattern": "^(abc|(ab)*d)$", "minLength": 3}`, []string{`"abc"`, `"abd"`}, []string{`"d"`, `"ab"`}},
		{`{"pattern": "^(a{1,3}|xb?)$", "minLength": 2, "maxLength": 3}`, []string{`"aa"`, `"aaa"`, `"xb"`}, []string{`"a"`, `"x"`}},
		{`{"format": "email", "maxLength": 7}`, []string{`"a@b.org"`}, []string{`"ab@b.org"`}},
		{`{"pattern": "a|b$"}`, []string{`"xax"`, `"xb"`, `"\"a\n"`}, []string{`"bx"`, `""`}},
		{`{"pattern": "^[^a]$"}`, []string{`"é"`, `"\""`, `"\\"`, `"\u0001"`, `"\t"`}, []string{`"a"`, `"\u0061"`, `""`, "\"\x01\""}},
		{`{"enum": ["a", "ab", 1, 1.0, null, {"x": [1, "é\n"]}]}`, []string{`"a"`, `"ab"`, `1`, `null`, `{"x": [1, "é\n"]}`}, []string{`"abc"`, `1.0`, `"`}},
		{`{"type": "string", "enum": ["a", 1, "abc"], "maxLength": 2}`, []string{`"a"`}, []string{`1`, `"abc"`}},
		{`{"const": "x", "enum": ["x", "y"]}`, []string{`"x"`}, []string{`"y"`}},
		{`{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}`, []string{`[1]`, `[1, 2, 3]`}, []string{`[]`, `[1, 2, 3, 4]`, `[1 , 2]`}},
		{`{"prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": false}`, []string{`[]`, `[1]`, `[1, true]`}, []string{`[true]`, `[1, true, 1]`}},
		{`{"prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": {"type": "null"}, "minItems": 2, "maxItems": 3}`, []string{`[1, true]`, `[1, true, null]`}, []string{`[1]`, `[1, true, 1]`, `[1, true, null, null]`}},
		{`{"properties": {"a": {"type": "null"}, "b": false, "c": {"type": "null"}}, "required": ["d"]}`, []string{`{"d": 1}`, `{"a": null, "d": []}`, `{"c": null, "d": {}}`, `{"a": null, "c": null, "d": 1}`}, []string{`{}`, `{"c": null, "a": null, "d": 1}`, `{"a": null, "b": 1, "d": 1}`}},
		{`{"type": "object", "additionalProperties": {"type": "integer"}}`, []string{`{}`, `{"x": 1}`, `{"x": 1, "é": 2}`}, []string{`{"x": "y"}`, `{"x": 1,}`}},
		{`{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v"]}}}`, []string{`{"v": 1}`, `{"v": 1, "kids": [{"v": 2}, {"v": 3, "kids": []}]}`}, []string{`{"kids": []}`, `{"v": 1, "kids": [{}]}`}},
		{`{"anyOf": [{"$ref": "#"}, {"type": "string"}]}`, []string{`"a"`}, []string{`1`}},
		{`{"oneOf": [{"properties": {"k": {"const": "a"}, "x": {"type": "integer"}}, "required": ["k"]  , "type": "object"}, {"type": "object", "properties": {"k": {"const": "b"}, "y": {"type": "boolean"}}, "required": ["k"]}]}`, []string{`{"k": "a", "x": 1}`, `{"k": "b", "y": true}`}, []string{`{"k": "a", "y": true}`}},
		{`{"oneOf": [{"type": "integer", "minimum": 5}, {"type": "number", "maximum": 4}]}`, []string{`5`, `3.5`}, []string{`4.5`}},
		{`{"format": "date-time"}`, []string{`"2024-12-31T23:59:59.123Z"`, `"2024-01-01T00:00:00+02:00"`}, []string{`"2024-12-31"`, `"2024-12-31T24:00:00Z"`}},
		{`{"format": "email"}`, []string{`"a.b+c@example.com"`}, []string{`"a..b@x"`, `"@x"`, `".a@x"`, `"a@-x"`}},
		{`{"allOf": [{"type": "null"}], "description": "d", "x-y": 1}`, []string{`null`}, []string{`1`}},
	} {
		g, err := Compile([]byte(c.schema))
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		for _, text := range c.yes {
			if !accepts(g, text) {
				t.Errorf("%s refused %s", c.schema, text)
			}
		}
		for _, text := range c.no {
			if accepts(g, text) {
				t.Errorf("%s accepted %s", c.schema, text)
			}
		}
	}
}

func TestRefusedByName(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{`{"properties": {"total": {"multipleOf": 0.01}}}`, `schema: /properties/total: keyword "multipleOf" is not supported`},
		{`{"not": {}}`, `schema: keyword "not" is not supported`},
		{`{"items": {"properties": {"a/b": {"uniqueItems": true}}}}`, `schema: /items/properties/a~1b: keyword "uniqueItems" is not supported`},
		{`{"properties": {"a": {}}, "additionalProperties": {"type": "null"}}`, `schema: keyword "additionalProperties" other than true or false beside named members is not supported`},
		{`{"type": "string", "anyOf": [true]}`, `schema: keyword "anyOf" beside "type" is not supported`},
		{`{"oneOf": [{"type": "string"}, {"type": ["string", "null"]}]}`, `schema: /oneOf: alternatives 0 and 1 are not told apart`},
		{`{"oneOf": [{"minLength": 2}, {"type": "integer"}]}`, `schema: /oneOf: alternatives 0 and 1`},
		{`{"oneOf": [{"minimum": 2, "type": "number"}, {"enum": [1, 1e400], "type": "number"}]}`, `schema: /oneOf: alternatives 0 and 1`},
		{`{"format": "hostname"}`, `schema: format "hostname" is not supported`},
		{`{"pattern": "a(?=b)"}`, `schema: pattern "a(?=b)": look-around (?= is not supported`},
		{`{"pattern": "(a)\\1"}`, `schema: pattern "(a)\\1": back reference \1 is not supported`},
		{`{"pattern": "\\bx"}`, `word boundary \b is not supported`},
		{`{"pattern": "a^b"}`, `an anchor inside a pattern is not supported`},
		{`{"pattern": "("}`, `missing )`},
		{`{"$ref": "http://example.com/x"}`, `schema: /$ref: reference "http://example.com/x" outside the schema is not supported`},
		{`{"$ref": "#/$defs/x"}`, `schema: /$ref: reference #/$defs/x leads nowhere`},
		{`{"$ref": "#"}`, `schema: no value satisfies it`},
		{`{"type": "string", "minLength": 3, "maxLength": 2}`, `schema: no value satisfies it`},
		{`{"properties": {"a": false}, "required": ["a"]}`, `schema: no value satisfies it`},
		{`{"type": "text"}`, `schema: /type: "text" is not the name of a type`},
		{`{"a": 1, "a": 2}`, `schema: member "a" is repeated`},
		{`{"minimum": 1e999}`, `schema: /minimum: 1e999: exponent beyond ±64`},
		{`[]`, `schema: a schema is an object or a boolean, not []`},
		{`{`, `schema: `},
	} {
		_, err := Compile([]byte(c.schema))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.schema, err, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat(`{"items": `, maxDepth+2) + `true` + strings.Repeat(`}`, maxDepth+2)
	for _, c := range []struct{ name, schema, want string }{
		{"maxSchemaBytes", `{"title": "` + strings.Repeat("x", maxSchemaBytes) + `"}`, "bytes, at most"},
		{"maxDepth", deep, "nested more than"},
		{"maxNodes", `{"enum": ["` + strings.Repeat("x", maxNodes) + `"]}`, "schema: /enum: the grammar has more than"},
		{"maxPatternBytes", `{"pattern": "` + strings.Repeat("x", maxPatternBytes+1) + `"}`, "pattern has"},
		{"maxPatternDepth", `{"pattern": "` + strings.Repeat("(", 70) + strings.Repeat(")", 70) + `"}`, "groups are nested"},
		{"maxQuantifier", `{"pattern": "a{5001}"}`, "quantifier bound 5001"},
		{"maxPatternNodes", `{"pattern": "^((a{1,300}){1,300}){1,300}$"}`, "automaton has more than"},
		{"maxDFAStates", `{"pattern": "^[ab]*a[ab]{15}$"}`, "schema: /pattern: automaton has more than 40000 states"},
		{"maxWork", `{"oneOf": [{"$ref": "#/$defs/x"}, {"type": "null"}], "$defs": {"x": {"anyOf": [` + strings.Repeat(`{"$ref": "#/$defs/x"}, `, 9) + `true]}}}`, "not told apart"},
		{"maxWork", `{"anyOf": [` + strings.Repeat(`{"pattern": "[ab]*a[ab]{9}$"}, `, 200) + `true]}`, "automata take more than"},
		{"maxRefChain", `{"oneOf": [{"$ref": "#/$defs/0"}, {"type": "null"}], "$defs": {` + refChain(maxRefChain) + `}}`, "not told apart"},
		{"maxCount", `{"minLength": 1e10}`, "at most 1073741824"},
		{"maxBoundDigits", `{"minimum": ` + strings.Repeat("9", maxBoundDigits+1) + `}`, "more than 64 digits"},
	} {
		if _, err := Compile([]byte(c.schema)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.200v, want %s", c.name, err, c.want)
		}
	}
}

// refChain is n definitions that refer to the next, and a last one.
func refChain(n int) string {
	var defs strings.Builder
	for i := range n {
		fmt.Fprintf(&defs, `"%d": {"$ref": "#/$defs/%d"}, `, i, i+1)
	}
	fmt.Fprintf(&defs, `"%d": {"type": "string"}`, n)
	return defs.String()
}

// Nesting ends at maxStack in time for every bracket to be closed.
func TestStack(t *testing.T) {
	m := compile(t, `{"type": "array", "items": {"$ref": "#"}, "minItems": 1, "maxItems": 2, "nullable": true}`).Start(byteVocabularyOnce)
	depth := 0
	for m.AcceptBytes([]byte("[")) == nil {
		depth++
	}
	if depth < 100 || depth > maxStack {
		t.Fatalf("nested %d deep", depth)
	}
	for _, text := range []string{"null", strings.Repeat("]", depth)} {
		if err := m.AcceptBytes([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if !m.Done() {
		t.Error("not done")
	}
}

// Alternatives that no text tells apart double at every level of nesting, but not in a state: frames stand for all
// stacks below. None is given up.
func TestAmbiguous(t *testing.T) {
	const deep = 100
	m := compile(t, `{"anyOf": [{"type": "array", "items": {"$ref": "#"}, "maxItems": 1}, {"type": "array", "items": {"$ref": "#"}, "minItems": 2, "maxItems": 9}]}`).Start(byteVocabularyOnce)
	text := strings.Repeat("[", deep)
	for i := range deep {
		text += strings.Repeat(", []", i%9) + "]"
	}
	for _, b := range []byte(text) {
		if err := m.AcceptBytes([]byte{b}); err != nil {
			t.Fatal(err)
		}
		if n := len(m.state.configs); n > 20 {
			t.Fatalf("%d configs", n)
		}
	}
	if !m.Done() {
		t.Error("not done")
	}
	m.Reset()
	if m.AcceptBytes([]byte(strings.Repeat("[", deep))) != nil || m.AcceptBytes([]byte("]"+strings.Repeat(", []", 9))) == nil {
		t.Error("accepted ten items")
	}
}

func TestForced(t *testing.T) {
	m := compile(t, receipt).Start(byteVocabularyOnce)
	for _, step := range []struct{ forced, text string }{
		{`{"company": "`, ``}, {``, `A"`}, {`, "date": "`, ``}, {``, `2024-02-3`}, {``, ``},
	} {
		if got := string(m.Forced()); got != step.forced {
			t.Fatalf("forced %q, want %q", got, step.forced)
		}
		err := m.AcceptBytes([]byte(step.forced + step.text))
		if step.text == "2024-02-3" {
			if err == nil {
				t.Fatal("accepted February 3x")
			}
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestForcedBound(t *testing.T) {
	long := strings.Repeat("x", 3*maxForced/2)
	m := compile(t, `{"const": "`+long+`"}`).Start(byteVocabularyOnce)
	for _, want := range []int{maxForced, len(long) + 2 - maxForced, 0} {
		forced := m.Forced()
		if len(forced) != want || m.AcceptBytes(forced) != nil {
			t.Fatalf("forced %d bytes, want %d", len(forced), want)
		}
	}
	if !m.Done() {
		t.Error("not done")
	}
}

func TestAcceptAndEnd(t *testing.T) {
	v := byteVocabulary(`"a`, `null`)
	eos, control := len(v.tokens)-2, len(v.tokens)-1
	m := compile(t, `{"enum": ["a", null]}`).Start(v)
	for _, id := range []int{eos, control, -1, len(v.tokens), 'x'} {
		if m.Accept(id) == nil {
			t.Errorf("accepted token %d at the begin", id)
		}
	}
	clone := m.Clone()
	if err := m.Accept(256); err != nil {
		t.Fatal(err)
	}
	if err := m.Accept('"'); err != nil || !m.Done() {
		t.Fatalf("done %v, %v", m.Done(), err)
	}
	mask := make([]uint64, v.Words())
	if err := m.Mask(mask); err != nil || !slices.Equal(maskIDs(mask), []int{eos}) {
		t.Fatalf("mask %v, %v", maskIDs(mask), err)
	}
	if err := m.Accept(eos); err != nil {
		t.Fatal(err)
	}
	if err := m.Mask(mask); !errors.Is(err, ErrStuck) || m.Accept('"') == nil {
		t.Errorf("goes on behind the end: %v", err)
	}
	if err := clone.Mask(mask); err != nil || !slices.Equal(maskIDs(mask), []int{'"', 'n', 256, 257}) {
		t.Errorf("mask of the clone %v, %v", maskIDs(mask), err)
	}
	m.Reset()
	if m.Accept(257) != nil || !m.Done() {
		t.Error("reset did not lead to the begin")
	}
}

func TestStuck(t *testing.T) {
	v := NewVocabulary([][]byte{[]byte(`"`), []byte("x"), nil}, []int{2})
	m := compile(t, `{"enum": ["xy"]}`).Start(v)
	mask := make([]uint64, v.Words())
	for _, id := range []int{0, 1} {
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Mask(mask); !errors.Is(err, ErrStuck) {
		t.Errorf("%v, want ErrStuck", err)
	}
}

func maskIDs(mask []uint64) []int {
	var ids []int
	for id := range 64 * len(mask) {
		if mask[id>>6]>>(id&63)&1 != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// A mask that is kept and a token whose states are known cost no allocation.
func TestAllocations(t *testing.T) {
	v := byteVocabulary(`": "`)
	m := compile(t, receipt).Start(v)
	mask := make([]uint64, v.Words())
	text := []byte(`{"company": "A`)
	run := func() {
		m.Reset()
		for _, b := range text {
			if m.Mask(mask) != nil || m.Accept(int(b)) != nil {
				t.Fatal("refused")
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(10, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSyntaxPlace: what is no JSON says at which byte.
func TestSyntaxPlace(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type": }`:           "schema: byte 10: invalid character '}' looking for beginning of value",
		`{"type":"string"`:     "schema: byte 16: unexpected end of JSON input",
		`{"type":"string"} {}`: "schema: byte 19: invalid character '{' after top-level value",
	} {
		if _, err := Compile([]byte(schema)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", schema, err, want)
		}
	}
}
