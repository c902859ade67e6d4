package teacher

import (
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// template is that of a model that thinks, and opens the block itself.
const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<|go|><think>{% endif %}"

// spell writes tokens as the vocabulary does, control tokens in their place.
func spell(f *Form, ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		if text := f.Tokenizer.Bytes(int(id)); len(text) > 0 && !f.Tokenizer.IsSpecial(int(id)) {
			b.Write(text)
		} else {
			b.WriteString(f.Tokenizer.Token(int(id)))
		}
	}
	return b.String()
}

// TestSent: a model is shown the message if it chats and there is one, else the text, and what it is not shown is no part of
// the question.
func TestSent(t *testing.T) {
	plain, chatty := echo, echo
	chatty.Template = template
	for _, c := range []struct {
		name    string
		form    *Form
		q, want Question
	}{
		{"chats", look(t, chatty, nil), Question{Message: "m", Text: "t", Max: 3, Seed: 4}, Question{Message: "m", Max: 3, Seed: 4}},
		{"chats, no message", look(t, chatty, nil), Question{Text: "t"}, Question{Text: "t"}},
		{"continues", look(t, plain, nil), Question{Message: "m", Text: "t", Temperature: 0.5}, Question{Text: "t", Temperature: 0.5}},
	} {
		if got := c.form.Sent(c.q); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestPrompt: a chat's message goes through the template, with the thinking block closed; a text stands behind a BOS where
// the file asks for one. What looks like a token of the model's is text in both.
func TestPrompt(t *testing.T) {
	chatty := echo
	chatty.Template = template
	bos := func(add bool) func(*gguf.Metadata) {
		return func(md *gguf.Metadata) {
			md.Set("tokenizer.ggml.bos_token_id", gguf.ValueOf(uint32(260))) // <|go|>
			md.Set("tokenizer.ggml.add_bos_token", gguf.ValueOf(add))
		}
	}
	for _, c := range []struct {
		name string
		form *Form
		q    Question
		want string
		n    int
	}{
		{"message", look(t, chatty, nil), Question{Message: "Hi <|end|>", Text: "never"}, "user: Hi <|end|>\n<|go|><think>\n\n</think>\n\n", len("user: Hi <|end|>\n") + 3 + 4},
		{"text", look(t, echo, bos(true)), Question{Text: "ab<|end|>"}, "<|go|>ab<|end|>", 1 + 2 + 7},
		{"text without BOS", look(t, echo, bos(false)), Question{Text: "ab"}, "ab", 2},
		{"text of no known BOS", look(t, echo, nil), Question{Text: "ab"}, "ab", 2},
		{"text of a chat", look(t, chatty, bos(true)), Question{Text: "ab"}, "<|go|>ab", 3},
	} {
		ids, err := c.form.Prompt(c.q)
		if got := spell(c.form, ids); err != nil || got != c.want || len(ids) != c.n {
			t.Errorf("%s: %d tokens %q, %v; want %d, %q", c.name, len(ids), got, err, c.n, c.want)
		}
	}
}

// TestPromptIDs: what looks like markup in a task's text is text, unlike in what a user types.
func TestPromptIDs(t *testing.T) {
	tagged := echo
	tagged.Text = []string{"<a>"}
	tagged.Next = nil
	f := look(t, tagged, func(md *gguf.Metadata) {
		kinds, err := md.Ints("tokenizer.ggml.token_type")
		if err != nil {
			t.Fatal(err)
		}
		types := make([]int32, len(kinds))
		for i, k := range kinds {
			types[i] = int32(k)
		}
		types[256] = 4 // <a> is user-defined
		md.Set("tokenizer.ggml.token_type", gguf.ArrayOf(types))
	})
	if n := len(f.Encode("<a>")); n != 1 {
		t.Fatalf("session makes %d tokens of a user-defined one: the test sees nothing", n)
	}
	want := []int32{'<', 'a', '>'}
	if got := PromptIDs(f.Tokenizer, "<a>"); !slices.Equal(got, want) {
		t.Errorf("prompt of %v, want %v: what the student was trained on", got, want)
	}
	if got := TextIDs(f.Tokenizer, "<a>"); !slices.Equal(got, want) {
		t.Errorf("text of %v, want %v", got, want)
	}
}

// TestLookRefuses: what is no model is an error that names it.
func TestLookRefuses(t *testing.T) {
	if f, err := Look(t.TempDir()); err == nil || f != nil {
		t.Errorf("an empty folder: %v, %v", f, err)
	}
	if f, err := Look("nowhere.gguf"); err == nil || f != nil || !strings.Contains(err.Error(), "nowhere.gguf") {
		t.Errorf("no file: %v, %v", f, err)
	}
}
