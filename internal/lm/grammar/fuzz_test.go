package grammar

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"
)

// FuzzCompile holds Compile to its limits on any bytes, and what compiles to text that ends.
func FuzzCompile(f *testing.F) {
	for _, schema := range walkSchemas {
		f.Add([]byte(schema))
	}
	f.Add([]byte(`{"pattern": "^(?<n>[^\\p{L}\\u{1F600}-\\u{1F64F}]|\\cA\\x41){0,3}?$", "maxLength": 2}`))
	f.Add([]byte(`{"enum": ["", "a", "aa", 1e5, -0, {"a": []}], "allOf": [true]}`))
	f.Add([]byte(`{"oneOf": [{"const": 1}, {"anyOf": [{"$ref": "#/oneOf/0"}, {"minimum": 2, "type": "integer"}]}]}`))
	f.Add([]byte("\ufeff" + `{"properties": {"$id": {"const": "\ud83d\ude00"}, "b": {"$ref": "#/properties/$id"}}, "additionalProperties": true}`))
	f.Add([]byte(`{"pattern": "^(ab|c{3}){0,5000}$", "minLength": 7, "maxLength": 100000}`))
	v := byteVocabulary(`", "`, `": `, `é`)
	f.Fuzz(func(t *testing.T, schema []byte) {
		begin := time.Now()
		g, err := Compile(schema)
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("compiled for %v", took)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "schema: ") {
				t.Fatal(err)
			}
			return
		}
		m := g.Start(v)
		mask := make([]uint64, v.Words())
		rng := rand.New(rand.NewPCG(1, uint64(len(schema))))
		for range 60 {
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			ids := maskIDs(mask)
			id := ids[rng.IntN(len(ids))]
			if err := m.Accept(id); err != nil {
				t.Fatal(err)
			}
			if m.ended {
				return
			}
		}
	})
}

// FuzzAccept holds what any value accepts to encoding/json: nothing else is accepted, and all of it in the grammar's style is.
func FuzzAccept(f *testing.F) {
	for _, text := range []string{`{"a": [1, -0.5e+10, "\ud83d\ude00 é\/"], "": null}`, `[true, false, []]`, `"`, `1e100`, "\"\xff\"", `"\udc00"`, `01`} {
		f.Add([]byte(text))
	}
	g, err := Compile([]byte(`true`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := accepts(g, string(text))
		if got && !json.Valid(text) {
			t.Fatalf("accepted %q", text)
		}
		v, err := parseValue(text)
		if err != nil {
			return
		}
		if style := v.json(); !accepts(g, style) && !strings.ContainsAny(style, "eE") && !manyDigits.MatchString(style) && strings.Count(style, "[")+strings.Count(style, "{") < 50 {
			t.Fatalf("refused %q", style)
		}
	})
}

var otherSyntax = regexp.MustCompile(`[{,]0[0-9]|\[\^?\]`)

// FuzzPattern holds the automata of patterns to package regexp, where both know the pattern.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{`^a|b$`, `^(a|ab)(c|bcd)*$`, `[^\w-]+`, `^\d{2,4}\.$`, `é|[\u00e0-ÿ]`, `^(?:)$`, `a{0}`, `^[a-c\]]+?$`} {
		f.Add(pattern, "abcd-é12.]")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 60 || len(text) > 200 || strings.ToValidUTF8(text, "") != text {
			return
		}
		e, err := parsePattern(pattern)
		if err != nil {
			return
		}
		d, err := newDFA(e, newBudget())
		if err != nil {
			return
		}
		// package regexp differs in white space, line ends, \u and properties, in what \c and \0 mean, and takes
		// {00} for text and the ] of [] and [^] for one of the class.
		re, err := ecmaRegexp(pattern)
		if err != nil || otherSyntax.MatchString(pattern) || strings.Contains(pattern, `\s`) || strings.ContainsAny(text, "\r\u2028\u2029\u00a0\ufeff") {
			return
		}
		for _, s := range []string{text, "", text + text} {
			if d.match(s) != re.MatchString(s) {
				t.Fatalf("pattern %q, text %q: %v, regexp says %v", pattern, s, d.match(s), re.MatchString(s))
			}
		}
	})
}
