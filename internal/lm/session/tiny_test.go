package session

import (
	"context"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"retort/internal/lm/scripted"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chatml opens the assistant's turn with the control token ◆, which a script can follow.
const chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<|go|>{% endif %}"

// thinker opens a thinking block itself.
const thinker = chatml + "{% if add_generation_prompt %}<think>{% endif %}"

var marks = []string{"<|im_end|>", "<|im_start|>", "<|go|>", "<think>", "</think>"}

// chain makes the table of a model that says texts one after another, the first behind begin.
func chain(begin string, texts ...string) map[string]string {
	next := map[string]string{}
	for _, text := range texts {
		next[begin] = text
		begin = text
	}
	return next
}

// write makes the file of a scripted model.
func write(t testing.TB, m scripted.Model) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens a scripted model on a host of its own.
func open(t testing.TB, m scripted.Model, o Options) *Model {
	t.Helper()
	h := NewHost(1)
	t.Cleanup(h.Close)
	x, err := h.Open(context.Background(), write(t, m), o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// ask asks and demands an answer.
func ask(t testing.TB, m *Model, r Request) Result {
	t.Helper()
	res, err := m.Ask(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}
