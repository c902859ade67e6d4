package grammar

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// Half a surrogate pair is no character, and what stands for it would be another text than the schema's.
func TestLoneSurrogates(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{`{"const": "a\ud800b"}`, `schema: /const: surrogate \ud800 stands alone in "a�b"`},
		{`{"enum": ["x", "\uDC00"]}`, `schema: /enum/1: surrogate \uDC00 stands alone`},
		{`{"properties": {"a\ud83d": {}}}`, `schema: /properties: surrogate \ud83d stands alone in "a�"`},
		{`{"properties": {"a/b": {"required": ["\ud83d\ud83d\ude00"]}}}`, `schema: /properties/a~1b/required/0: surrogate \ud83d stands alone`},
		{`{"pattern": "\udfff"}`, `schema: /pattern: surrogate \udfff`},
		{`{"default": {"a": ["\\\ud800"]}}`, `schema: /default/a/0: surrogate \ud800`},
		{`"\ud800\n"`, `schema: surrogate \ud800`},
		{`{"const": "\ud800\u0041"}`, `schema: /const: surrogate \ud800`},
	} {
		if _, err := Compile([]byte(c.schema)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.schema, err, c.want)
		}
	}
	for schema, text := range map[string]string{
		`{"const": "\ud83d\ude00\\ud800\ufffd\ud7ff"}`: "\"😀\\\\ud800\ufffd\ud7ff\"",
		`{"const": "\uE000\uD83D\uDE00"}`:              "\"\ue000😀\"",
		`{"pattern": "^\\ud83d\\ude00$"}`:              `"😀"`,
	} {
		if !accepts(compile(t, schema), text) {
			t.Errorf("%s refused %s", schema, text)
		}
	}
}

// Errors of a schema's text name the place, by a pointer that stays short where names are long.
func TestPlaceOfText(t *testing.T) {
	long := strings.Repeat("é", 300)
	for _, c := range []struct{ schema, want string }{
		{`{"$defs": {"x": {"a": 1, "a": 2}}}`, `schema: /$defs/x: member "a" is repeated`},
		{strings.Repeat(`{"items": `, 130) + `true` + strings.Repeat(`}`, 130), `schema: ` + strings.Repeat("/items", 129) + `: nested more than 128 deep`},
		{`{"properties": {"` + long + `": {"type": "text"}}}`, `schema: /properties/` + long[:100] + `…/type: "text" is not`},
		{`{"properties": {"x` + long + `": {"const": "\ud800"}}}`, `schema: /properties/x` + long[:98] + `…/const: surrogate`},
	} {
		if _, err := Compile([]byte(c.schema)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.100s: %v, want %s", c.schema, err, c.want)
		}
	}
}

func TestByteOrderMark(t *testing.T) {
	if !accepts(compile(t, "\ufeff{\"type\": \"null\"}"), "null") {
		t.Error("refused null")
	}
	for _, schema := range []string{"\ufeff", "\ufeff\ufefftrue", "true\ufeff"} {
		if _, err := Compile([]byte(schema)); err == nil {
			t.Errorf("compiled %q", schema)
		}
	}
}

// A number ends, also if the model would rather write digits for ever.
func TestDigits(t *testing.T) {
	nines := func(n int) string { return strings.Repeat("9", n) }
	for _, c := range []struct {
		schema  string
		yes, no []string
	}{
		{`{"type": "integer"}`, []string{strconv.FormatUint(math.MaxUint64, 10), "-" + nines(20), "0"}, []string{"1" + nines(20), "-1" + nines(20)}},
		{`{"type": "number"}`, []string{nines(20) + "." + nines(20) + "e-99", "0.00012345678901234567", "1e+22"}, []string{"1" + nines(20), "0." + nines(21), "1e100"}},
		{`[]`, nil, nil},
		{`{}`, []string{nines(20), `{"a": [-` + nines(20) + "." + nines(20) + `]}`}, []string{nines(21), `{"a": [` + nines(21) + `]}`, "0." + nines(21)}},
		{`{"type": "object"}`, []string{`{"a": ` + nines(20) + `}`}, []string{`{"a": ` + nines(21) + `}`}},
		{`{"type": "array"}`, []string{`[` + nines(20) + `]`}, []string{`[1, ` + nines(21) + `]`}},
		{`{"minimum": 0}`, []string{nines(20) + "." + nines(20)}, []string{nines(21), "0." + nines(21)}},
		{`{"type": "integer", "maximum": 5}`, []string{"-" + nines(20)}, []string{"-" + nines(21)}},
		// Bounds can be reached, and what lies right behind them.
		{`{"type": "integer", "maximum": ` + nines(30) + `}`, []string{nines(30), "-1" + nines(30)}, []string{"1" + nines(30), "-1" + nines(31)}},
		{`{"type": "integer", "exclusiveMinimum": ` + nines(30) + `}`, []string{"1" + strings.Repeat("0", 30)}, []string{nines(30), nines(32)}},
		{`{"type": "integer", "minimum": -` + nines(64) + `}`, []string{"-" + nines(64)}, nil},
		{`{"exclusiveMinimum": 0, "exclusiveMaximum": 1e-20}`, []string{"0." + strings.Repeat("0", 20) + "1"}, []string{"0", "0." + strings.Repeat("0", 19) + "1"}},
		{`{"minimum": 1e-64, "exclusiveMaximum": 1}`, []string{"0." + strings.Repeat("0", 63) + "1", "0.5"}, nil},
		{`{"const": ` + nines(40) + `}`, []string{nines(40)}, nil},
		{`{"enum": [` + nines(40) + `], "minimum": 3}`, []string{nines(40)}, nil},
		{`{"const": 0.` + nines(40) + `, "type": "number"}`, []string{"0." + nines(40)}, nil},
	} {
		if c.yes == nil {
			continue
		}
		g := compile(t, c.schema)
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

// The texts that are written are fewer than the values a schema has: alternatives are told apart by the latter.
func TestDigitsOfAlternatives(t *testing.T) {
	for schema, apart := range map[string]bool{
		`{"oneOf": [{"type": "number", "minimum": 1e30}, {"type": "number"}]}`:                           false,
		`{"oneOf": [{"type": "integer", "minimum": 1e30}, {"enum": [1e31]}]}`:                            false,
		`{"oneOf": [{"type": "number", "minimum": 1e30}, {"type": "number", "exclusiveMaximum": 1e30}]}`: true,
	} {
		if _, err := Compile([]byte(schema)); (err == nil) != apart {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// A model that always prefers a digit comes to the end of a value.
func TestGreedyDigits(t *testing.T) {
	for _, schema := range []string{`{"type": "number"}`, `{"type": "integer"}`, `{}`, `{"minimum": 3}`, `{"maximum": 3}`, `{"minimum": -1e40}`, `{"exclusiveMinimum": 0.1}`} {
		for _, favourite := range []string{"9", "0", "1", "39", ".0"} {
			m := compile(t, schema).Start(byteVocabularyOnce)
			if m.AcceptBytes([]byte("3")) != nil {
				continue
			}
			n := 0
			for {
				next := false
				for _, b := range []byte(favourite + "0123456789.e+-") {
					if m.AcceptBytes([]byte{b}) == nil {
						next = true
						break
					}
				}
				if !next {
					break
				}
				if n++; n > 2*maxDigits+50 {
					t.Fatalf("%s: %d digits", schema, n)
				}
			}
			if !m.Done() {
				t.Errorf("%s: not done behind %d digits", schema, n)
			}
		}
	}
}

// What is assumed anyway may be said.
func TestDefaultsSaid(t *testing.T) {
	const members = `"properties": {"a": {"type": "null"}, "b": {"type": "null"}}`
	for _, said := range []string{`"additionalProperties": true`, `"additionalProperties": {}`, `"additionalProperties": {"description": "any", "x-y": 1}`,
		`"unevaluatedProperties": true`, `"unevaluatedProperties": false`, `"unevaluatedItems": {}`, `"propertyNames": true`, `"patternProperties": {}`, `"dependentRequired": {}`,
		`"dependentSchemas": {}`, `"not": false`, `"minProperties": 0`, `"required": []`, `"uniqueItems": false`} {
		schema := `{"type": "object", ` + members + `, ` + said + `}`
		g, err := Compile([]byte(schema))
		if err != nil {
			t.Error(err)
			continue
		}
		for text, want := range map[string]bool{`{}`: true, `{"a": null, "b": null}`: true, `{"b": null}`: true, `{"c": null}`: false} {
			if accepts(g, text) != want {
				t.Errorf("%s, %s: want %v", schema, text, want)
			}
		}
	}
	for _, schema := range []string{`{"type": "object", "required": []}`, `{"type": "object", "additionalProperties": true}`, `{"type": "object"}`, `{"properties": {}, "additionalProperties": true}`} {
		if !accepts(compile(t, schema), `{"x": 1}`) {
			t.Errorf("%s refused a member", schema)
		}
	}
	if g := compile(t, `{"required": ["a"], "additionalProperties": true}`); !accepts(g, `{"a": 1}`) || accepts(g, `{}`) {
		t.Error("required beside additionalProperties true")
	}
	for _, schema := range []string{`{"propertyNames": false}`, `{"not": true}`, `{"unevaluatedItems": false}`, `{"patternProperties": {"a": true}}`, `{"dependentRequired": {"a": ["b"]}}`,
		`{"unevaluatedProperties": false}`, `{"unevaluatedProperties": {"type": "null"}}`, `{` + members + `, "additionalProperties": {"$comment": "", "minimum": 1}}`} {
		if _, err := Compile([]byte(schema)); err == nil || !strings.Contains(err.Error(), "keyword") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// Names of members are names, whatever keyword they look like.
func TestNamesLikeKeywords(t *testing.T) {
	names := []string{"$id", "$ref", "$defs", "$schema", "$anchor", "$comment", "x-a", "definitions", "properties", "const", "enum", "type", "items", "not", "allOf", "anyOf", "oneOf", "required",
		"nullable", "pattern", "default", "examples", "minimum", "additionalProperties", "prefixItems"}
	for _, name := range names {
		for _, schema := range []string{
			`{"properties": {"NAME": {"type": "null"}, "z": {"$ref": "#/properties/NAME"}}, "required": ["NAME", "z"]}`,
			`{"$ref": "#/$defs/NAME", "$defs": {"$id": {}, "NAME": {"type": "object", "properties": {"NAME": {"type": "null"}, "z": {"$ref": "#/$defs/NAME/properties/NAME"}}, "required": ["NAME", "z"]}}}`,
			`{"$ref": "#/definitions/NAME/properties/NAME", "definitions": {"NAME": {"properties": {"$id": {"type": "null"}, "NAME": {"type": "object", "properties": {"NAME": {"type": "null"}, "z": {"$ref": "#/definitions/NAME/properties/NAME/properties/NAME"}}, "required": ["NAME", "z"]}}}}}`,
		} {
			schema = strings.ReplaceAll(schema, "NAME", name)
			if name == "$id" {
				schema = strings.ReplaceAll(schema, `"$id": {}, `, ``)
				schema = strings.ReplaceAll(schema, `{"$id": {"type": "null"}, "$id"`, `{"$id"`)
			}
			g, err := Compile([]byte(schema))
			if err != nil {
				t.Errorf("%s: %v", schema, err)
				continue
			}
			if text := fmt.Sprintf(`{"%s": null, "z": null}`, name); !accepts(g, text) || accepts(g, `{"z": null}`) {
				t.Errorf("%s and %s", schema, text)
			}
		}
	}
	// The keyword stays one.
	for _, schema := range []string{
		`{"properties": {"a": {"$id": "x", "type": "null"}}}`,
		`{"$defs": {"a": {"$id": "x", "$defs": {"b": {"type": "null"}}}}, "properties": {"a": {"$ref": "#/$defs/a/$defs/b"}}}`,
		`{"items": {"$id": "x", "items": {"type": "null"}}, "prefixItems": [{"$ref": "#/items/items"}]}`,
		`{"properties": {"$id": {"$id": "x", "items": {}}, "b": {"$ref": "#/properties/$id/items"}}}`,
	} {
		if _, err := Compile([]byte(schema)); err == nil || !strings.Contains(err.Error(), "$id") {
			t.Errorf("%s: %v", schema, err)
		}
	}
	// Inside a value there are no keywords at all.
	if !accepts(compile(t, `{"prefixItems": [{"const": {"$id": {"type": "null"}}}, {"$ref": "#/prefixItems/0/const/$id"}], "minItems": 2, "items": false}`), `[{"$id": {"type": "null"}}, null]`) {
		t.Error("refused a reference into a value")
	}
}

// Any of thousands of optional members can be written, and each behind each earlier one.
func TestManyMembers(t *testing.T) {
	const n = 3000
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"%s": {"type": "null"}`, memberName(i)))
	}
	for _, required := range []int{-1, 1500} {
		g := compile(t, fmt.Sprintf(`{"type": "object", "properties": {%s}, "required": [%s]}`, strings.Join(members, ", "), requiredName(required)))
		for _, pick := range [][]int{{0}, {n - 1}, {0, 1}, {0, n - 1}, {7, 70, 700, 1499}, {1501}, {1499, 1501}, {}} {
			text := map[int]bool{required: true}
			for _, i := range pick {
				text[i] = true
			}
			var parts []string
			for i := range n {
				if text[i] {
					parts = append(parts, fmt.Sprintf(`"%s": null`, memberName(i)))
				}
			}
			if whole := "{" + strings.Join(parts, ", ") + "}"; !accepts(g, whole) {
				t.Errorf("required %d: refused %s", required, whole)
			}
			if len(parts) > 1 {
				parts[0], parts[1] = parts[1], parts[0]
				if whole := "{" + strings.Join(parts, ", ") + "}"; accepts(g, whole) {
					t.Errorf("required %d: accepted %s", required, whole)
				}
			}
		}
		if required >= 0 && (accepts(g, `{}`) || accepts(g, `{"`+memberName(3)+`": null}`) || accepts(g, `{"`+memberName(2000)+`": null}`)) {
			t.Error("accepted an object without what is required")
		}
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"%s": null`, memberName(i))
		}
		m := g.Start(byteVocabularyOnce)
		for _, b := range []byte("{" + strings.Join(all, ", ") + "}") {
			if err := m.AcceptBytes([]byte{b}); err != nil {
				t.Fatal(err)
			}
			if len(m.state.configs) > 2 {
				t.Fatalf("%d configs", len(m.state.configs))
			}
		}
		if !m.Done() {
			t.Error("not done behind all members")
		}
	}
}

// memberName gives names that begin alike, one of another, and need escapes.
func memberName(i int) string {
	name := strings.Repeat("ab", i%5) + strconv.Itoa(i)
	if i%7 == 0 {
		name += `\n`
	}
	return name
}

func requiredName(i int) string {
	if i < 0 {
		return ""
	}
	return `"` + memberName(i) + `"`
}

// Thousands of alternatives stay thousands of places; more than can be gone through is an error.
func TestManyAlternatives(t *testing.T) {
	var list []string
	for i := range maxAlternatives {
		list = append(list, fmt.Sprintf(`{"const": "value %d"}`, i))
	}
	g := compile(t, `{"anyOf": [`+strings.Join(list, ", ")+`]}`)
	for _, i := range []int{0, 1, 1023, 1024, 1025, maxAlternatives - 1} {
		if text := fmt.Sprintf(`"value %d"`, i); !accepts(g, text) {
			t.Errorf("refused %s", text)
		}
	}
	_, err := Compile([]byte(`{"items": {"anyOf": [` + strings.Join(append(list, "true"), ", ") + `]}}`))
	if err == nil || err.Error() != "schema: /items/anyOf: 4097 alternatives, at most 4096" {
		t.Errorf("%v", err)
	}
	_, err = Compile([]byte(`{"items": {"oneOf": [` + strings.Join(list, ", ") + `]}}`))
	if want := "schema: /items/oneOf: automata take more than 2000000 steps to build and to tell the alternatives apart"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v", err)
	}
}

// Every limit says where.
func TestLimitsNamePlace(t *testing.T) {
	big := strings.Repeat("x", maxNodes)
	var deep strings.Builder // $defs/0 to $defs/450, each a list of one of the next
	for i := range 450 {
		fmt.Fprintf(&deep, `"%d": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/%d"}}, `, i, i+1)
	}
	for _, c := range []struct{ name, schema, want string }{
		{"nodes of an enum", `{"properties": {"a": {"enum": ["` + big + `"]}}}`, `/properties/a/enum: the grammar has more than 262144 nodes`},
		{"nodes of a const", `{"items": {"const": "` + big + `"}}`, `/items/const: the grammar has more than`},
		{"nodes of names", `{"items": {"properties": {"` + big + `": {}}}}`, `/items/properties: the grammar has more than`},
		{"nodes of a pattern", `{"properties": {"a": {"pattern": "^(\\S\\S\\S\\S){2500}$"}}}`, `/properties/a/pattern: the grammar has more than`},
		{"nodes behind a reference", `{"$ref": "#/$defs/a", "$defs": {"a": {"enum": ["` + big + `"]}}}`, `/$defs/a/enum: the grammar has more than`},
		{"nodes of an automaton", `{"items": {"pattern": "^((a{1,300}){1,300}){1,300}$"}}`, `/items/pattern: automaton has more than 20000 nodes`},
		{"steps", `{"items": {"pattern": "^\\S{0,3000}x\\S{0,3000}$"}}`, `/items/pattern: automata take more than 2000000 steps`},
		{"steps of lengths", `{"items": {"anyOf": [{"pattern": "^((a{61}){0,70}(b{67}){0,70}|c{3})*$", "minLength": 5}]}}`, `/items/anyOf/0/pattern: automata take more than`},
		{"states of format and pattern", `{"items": {"pattern": "^[ab]*a[ab]{15}", "format": "email"}}`, `/items/pattern: automaton has more than 40000 states`},
		{"count", `{"items": {"minLength": 2e9}}`, `/items/minLength: 2000000000, at most 1073741824`},
		{"digits", `{"items": {"maximum": 1e65}}`, `/items/maximum: 1e65: exponent beyond`},
		{"stack", `{"$ref": "#/$defs/0", "$defs": {` + deep.String() + `"450": {}}}`, `the least value takes a stack of 902 frames, at most 400`},
	} {
		_, err := Compile([]byte(c.schema))
		if err == nil || !strings.HasPrefix(err.Error(), "schema: "+c.want) {
			t.Errorf("%s: %.300v, want %s", c.name, err, c.want)
		}
	}
}

// Rows of a model beyond its vocabulary, and tokens without bytes, are in no mask.
func TestRowsWithoutToken(t *testing.T) {
	tokens := make([][]byte, 700)
	for b := range 256 {
		tokens[b] = []byte{byte(b)}
	}
	tokens[300], tokens[301], tokens[310] = []byte{}, []byte("ab"), []byte("</s>")
	v := NewVocabulary(tokens, []int{310})
	mask := make([]uint64, v.Words())
	for _, c := range []struct{ schema, text string }{
		{`{}`, ``}, {`{}`, `"a`}, {`{}`, `"\`}, {`{}`, `"\u00`}, {`{}`, "\"\xc3"}, {`{}`, `{`}, {`{}`, `{"a`}, {`{}`, `[1`}, {`{}`, `1`}, {`{}`, `null`}, {`{"type": "string", "maxLength": 3}`, `"ab`},
		{`{"type": "string", "maxLength": 2}`, `"ab`}, {`{"pattern": "."}`, `"a`}, {`{"pattern": ".", "maxLength": 90}`, `"a`}, {`{"const": "abcd"}`, ``},
	} {
		m := compile(t, c.schema).Start(v)
		if err := m.AcceptBytes([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		for _, id := range maskIDs(mask) {
			if id != 310 && (id >= len(tokens) || len(tokens[id]) == 0) || id == 310 && !m.Complete() {
				t.Errorf("%s: row %d is allowed behind %s", c.schema, id, c.text)
			}
		}
		checkMask(t, m, v, mask)
		for _, id := range []int{300, 302, 699, 700} {
			if m.Clone().Accept(id) == nil {
				t.Errorf("%s: row %d is accepted behind %s", c.schema, id, c.text)
			}
		}
	}
}

// What text a schema's values are is what package json reads.
func TestValueText(t *testing.T) {
	for _, text := range []string{`"\ud83d\ude00 \\u0041 \u0041\/\b"`, `"\\\\ud800"`, `"\\\u00e9"`} {
		v, err := parseValue([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil || v.text != want {
			t.Errorf("%s: %q, want %q, %v", text, v.text, want, err)
		}
	}
}
