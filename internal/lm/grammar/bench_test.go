package grammar

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"retort/internal/numtest"
)

// deepseekVocabulary reads the 128,000 tokens of DeepSeek-V3 from its tokenizer.json; added tokens are control tokens.
func deepseekVocabulary(t testing.TB) *Vocabulary {
	t.Helper()
	data, err := os.ReadFile(numtest.Shared(t, "data/tokenizers/deepseek-v3/tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Model struct{ Vocab map[string]int }
		Added []struct {
			ID      int
			Content string
		} `json:"added_tokens"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	size := len(file.Model.Vocab)
	for _, a := range file.Added {
		size = max(size, a.ID+1)
	}
	tokens := make([][]byte, size)
	raw := byteLevel()
	for text, id := range file.Model.Vocab {
		for _, r := range text {
			tokens[id] = append(tokens[id], raw[r])
		}
	}
	eos := -1
	for _, a := range file.Added {
		tokens[a.ID] = nil
		if a.Content == "<｜end▁of▁sentence｜>" {
			eos = a.ID
		}
	}
	return NewVocabulary(tokens, []int{eos})
}

// byteLevel maps the characters that byte-level BPE writes for bytes back to them.
func byteLevel() map[rune]byte {
	raw := map[rune]byte{}
	spare := rune(256)
	for b := range 256 {
		r := rune(b)
		if !(r >= '!' && r <= '~' || r >= 0xA1 && r <= 0xAC || r >= 0xAE && r <= 0xFF) {
			r, spare = spare, spare+1
		}
		raw[r] = byte(b)
	}
	return raw
}

func BenchmarkNewVocabulary(b *testing.B) {
	v := deepseekVocabulary(b)
	for b.Loop() {
		NewVocabulary(v.tokens, []int{int(v.eos[0])})
	}
}

// BenchmarkMask times masks of a receipt over 128,000 tokens, made and remembered.
func BenchmarkMask(b *testing.B) {
	v := deepseekVocabulary(b)
	mask := make([]uint64, v.Words())
	for _, place := range []struct{ name, schema, text string }{
		{"begin", receipt, ``},
		{"text", receipt, `{"company": "Acme`},
		{"text-near-bound", receipt, `{"company": "Acme` + strings.Repeat("x", 114)},
		{"escape", receipt, `{"company": "Acme\`},
		{"date", receipt, `{"company": "", "date": "2`},
		{"number", receipt, `{"company": "", "date": "2024-01-01", "address": "", "total": 1`},
		{"pattern", `{"pattern": "^[^<>]*$"}`, `"a`},
		{"any", `true`, ``},
		{"any-text", `true`, `{"a": ["b`},
	} {
		g := compile(b, place.schema)
		b.Run(place.name+"/made", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x := newMachine(g.program, v)
				m := &Matcher{machine: x, state: x.start, epoch: x.epoch}
				if err := m.AcceptBytes([]byte(place.text)); err != nil {
					b.Fatal(err)
				}
				if err := m.Mask(mask); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(place.name+"/kept", func(b *testing.B) {
			b.ReportAllocs()
			m := g.Start(v)
			if err := m.AcceptBytes([]byte(place.text)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := m.Mask(mask); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile([]byte(receipt)); err != nil {
			b.Fatal(err)
		}
	}
}
