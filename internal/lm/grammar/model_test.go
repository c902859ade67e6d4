package grammar

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/numtest"
)

// TestModel lays a receipt over the vocabulary of a real model: the tokens that its own tokenizer makes of a valid
// text are allowed one after another, masks are exact, and random walks validate.
func TestModel(t *testing.T) {
	file, err := gguf.Open(numtest.Model(t, "qwen2.5-coder-0.5b"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tok, err := tokenizer.FromGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([][]byte, tok.Vocab())
	var eos []int
	for id := range tokens {
		tokens[id] = tok.Bytes(id)
		if tok.IsEOG(id) {
			eos = append(eos, id)
		}
	}
	v := NewVocabulary(tokens, eos)
	g := compile(t, receipt)
	m := g.Start(v)
	mask := make([]uint64, v.Words())
	const text = `{"company": "TAN WOON YANN \"本\" 😀", "date": "2018-12-25", "address": "NO 290, JALAN AIR PANAS,\n53200", "total": 9.00, "currency": "MYR"}`
	for i, id := range tok.Encode(text, tokenizer.Options{}) {
		if err := m.Mask(mask); err != nil || mask[id>>6]>>(id&63)&1 == 0 {
			t.Fatalf("token %d %q is not allowed: %v", id, tok.Bytes(id), err)
		}
		if i%7 == 3 {
			checkMask(t, m, v, mask)
		}
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Mask(mask); err != nil || !m.Done() || len(maskIDs(mask)) != len(eos) {
		t.Fatalf("done %v, %d tokens behind the end, want %d: %v", m.Done(), len(maskIDs(mask)), len(eos), err)
	}
	validator, err := validatorOf([]byte(receipt))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 3 {
		m.Reset()
		var out []byte
		for !m.Done() {
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			ids := maskIDs(mask)
			id := ids[rng.IntN(len(ids))]
			for _, shut := range ids {
				if bytes.HasPrefix(tok.Bytes(shut), []byte(`"`)) && len(out) > 60 || bytes.Equal(tok.Bytes(shut), []byte(`}`)) {
					id = shut
				}
			}
			if m.Accept(id) != nil {
				t.Fatalf("token %d of the mask is refused", id)
			}
			out = append(out, tok.Bytes(id)...)
		}
		if err := validate(validator, out); err != nil {
			t.Errorf("wrote %s: %v", out, err)
		}
	}
}
