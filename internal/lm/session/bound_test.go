package session

import (
	"slices"
	"strings"
	"testing"

	"retort/internal/format/tokenizer"
	"retort/internal/numtest"
)

// What a grammar forces is foreseen in the tokens in which the model knows it.
func TestForesee(t *testing.T) {
	f, err := Look(numtest.Model(t, "qwen2.5-coder-0.5b"))
	if err != nil {
		t.Fatal(err)
	}
	g := compile(t, `{"type":"object","required":["name","unit_price"],"properties":{"name":{"type":"string"},"unit_price":{"type":"number"}}}`)
	b := f.bind(g, false, false)
	accept := func(text string) {
		t.Helper()
		for _, id := range f.Encode(text) {
			if err := b.Accept(int(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(ids []int32) string {
		var out []byte
		for _, id := range ids {
			out = f.Tokenizer.AppendToken(out, int(id))
		}
		return string(out)
	}
	for _, step := range []struct{ accept, want string }{
		{"", `{"name": "`},
		{`{`, `"name": "`},
		{`"name": "`, ``},
		{`Margherita`, ``},
		{`",`, ` "unit_price": `},
		{` "unit`, `_price": `},
		{`_price": `, ``},
		{`12.5`, ``},
	} {
		accept(step.accept)
		got := b.Foresee(nil, 100)
		if text(got) != step.want {
			t.Errorf("behind %q: %q is foreseen, want %q", step.accept, text(got), step.want)
		}
		if cut := b.Foresee([]int32{7}, 2); !slices.Equal(cut[1:], got[:min(2, len(got))]) || cut[0] != 7 {
			t.Errorf("behind %q: two of %v are %v", step.accept, got, cut)
		}
	}
	b = f.bind(g, false, false)
	accept(`{"name": "`)
	for range maxTail {
		accept("ab")
		if len(b.tail) > maxTail {
			t.Fatalf("%d bytes are kept to look back at, want %d at most", len(b.tail), maxTail)
		}
	}
	// As the model would write it: the whole text has the tokens that were foreseen at its joint.
	b = f.bind(g, false, false)
	accept(`{"name": "x",`)
	whole := f.Encode(`{"name": "x", "unit_price": `)
	if got := b.Foresee(nil, 100); !slices.Equal(got, whole[len(whole)-len(got):]) {
		t.Errorf("foreseen %v, want the end of %v", got, whole)
	}
}

// A thinking block forces nothing, and neither does the choice behind it.
func TestForeseeThinking(t *testing.T) {
	f, err := Look(numtest.Model(t, "qwen2.5-coder-0.5b"))
	if err != nil {
		t.Fatal(err)
	}
	b := f.bind(compile(t, `{"const": "yes"}`), true, true)
	for _, step := range []struct {
		text string
		n    int
	}{{"", 0}, {"hm", 0}, {"</think>", 0}, {"\n\n", 0}, {`"`, 2}} {
		for _, id := range f.Encode(step.text) {
			if err := b.Accept(int(id)); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Foresee(nil, 9); len(got) != step.n {
			t.Errorf("behind %q: %v is foreseen, want %d tokens", step.text, got, step.n)
		}
	}
}

// Whatever the vocabulary and the joint, tokens foreseen stand for the text and nothing else.
func TestContinued(t *testing.T) {
	for _, name := range []string{"llama-spm", "deepseek-llm", "deepseek-coder", "gpt-2"} {
		files, err := tokenizer.Open(numtest.Shared(t, "data/vocabs/ggml-vocab-"+name+".gguf"))
		if err != nil {
			t.Fatal(err)
		}
		f := &Form{Tokenizer: files.Tokenizer}
		for _, text := range []string{`{"name": "`, ` "preis_€": `, `x`, ` `, "日本"} {
			for _, tail := range []string{"", "{", `{"a": "b",`, "\xac and", strings.Repeat("word ", 20), " "} {
				ids := f.continued([]byte(tail), []byte(text))
				var got []byte
				for _, id := range ids {
					got = files.Tokenizer.AppendToken(got, id)
				}
				if ids != nil && string(got) != text {
					t.Errorf("%s: behind %q %q is foreseen as %q", name, tail, text, got)
				}
				if ids == nil && (name != "llama-spm" || tail == `{"a": "b",`) {
					t.Errorf("%s: behind %q nothing of %q is foreseen", name, tail, text)
				}
			}
		}
	}
}
