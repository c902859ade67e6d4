package grammar

import (
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/numtest"
)

// unusedType is the number of an unused token in tokenizer.ggml.token_type.
const unusedType = 5

// TestRowsOfModel: Qwen's vocabulary has 151,936 rows for 151,665 tokens; files spell the others [PAD151665] and so on.
// Given as nil, as NewVocabulary wants it, they and the control tokens are allowed nowhere.
func TestRowsOfModel(t *testing.T) {
	file, err := gguf.Open(numtest.Model(t, "qwen2.5-coder-0.5b"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tok, err := tokenizer.FromGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	types, err := file.Metadata.Ints("tokenizer.ggml.token_type")
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([][]byte, len(types))
	var eos, barred []int
	for id, kind := range types {
		switch {
		case tok.IsEOG(id):
			eos = append(eos, id)
		case kind == unusedType || tok.IsSpecial(id):
			barred = append(barred, id)
		default:
			tokens[id] = tok.Bytes(id)
		}
	}
	if len(tokens) != 151936 || len(barred) < 271 || tok.Token(151730) != "[PAD151730]" {
		t.Fatalf("%d rows, %d without a token, 151730 is %q", len(tokens), len(barred), tok.Token(151730))
	}
	v := NewVocabulary(tokens, eos)
	mask := make([]uint64, v.Words())
	for _, c := range []struct{ schema, text string }{
		{`{"type": "string"}`, ``}, {`{"type": "string"}`, `"`}, {`{"type": "string"}`, `"\u00`}, {`{"type": "string"}`, "\"\xe6"}, {`{"type": "string"}`, `"a"`},
		{`{"type": "string", "maxLength": 12}`, `"[PAD`}, {`{"type": "string", "minLength": 12}`, `"`},
		{`{"pattern": "P"}`, `"[`}, {`{"pattern": "P", "maxLength": 4000}`, `"[`}, {`{"const": "[PAD151730]"}`, `"`},
		{`{}`, ``}, {`{}`, `{"`}, {`{}`, `{"a": "`}, {`{}`, `[`}, {`{}`, `[1`}, {`{}`, `12`}, {`{}`, `[]`}, {receipt, `{"company": "`},
	} {
		m := compile(t, c.schema).Start(v)
		if err := m.AcceptBytes([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		for _, id := range barred {
			if mask[id>>6]>>(id&63)&1 != 0 {
				t.Errorf("%s: %s, token %d, is allowed behind %s", c.schema, tok.Token(id), id, c.text)
			}
		}
		for _, id := range eos {
			if got := mask[id>>6]>>(id&63)&1 != 0; got != m.Complete() {
				t.Errorf("%s: the end is allowed behind %s: %v", c.schema, c.text, got)
			}
		}
	}
	// The caller's part: rows given by their spelling would be text like any other.
	spelled := NewVocabulary(append(tokens[:151730:151730], []byte(tok.Token(151730))), nil)
	m := compile(t, `{"type": "string"}`).Start(spelled)
	mask = make([]uint64, spelled.Words())
	if m.AcceptBytes([]byte(`"`)) != nil || m.Mask(mask) != nil || mask[151730>>6]>>(151730&63)&1 == 0 {
		t.Error("a row given by its spelling is not text")
	}
	if !strings.HasPrefix(tok.Token(barred[len(barred)-1]), "[PAD") {
		t.Errorf("the last row is %s", tok.Token(barred[len(barred)-1]))
	}
}
