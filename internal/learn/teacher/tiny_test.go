package teacher

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"retort/internal/format/gguf"
	"retort/internal/lm/grammar"
	"retort/internal/lm/scripted"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo answers by the last byte of its prompt: yes behind a, no behind b. Behind c it does not come to an end.
var echo = scripted.Model{Text: []string{`"yes"`, `"no"`, "…"}, Control: []string{"<|end|>", "<|go|>", "<think>", "</think>"},
	Next: map[string]string{"a": `"yes"`, "b": `"no"`, "c": "…", "…": "…", "<|go|>": `"yes"`}}

// said is the schema of its answers.
const said = `{"enum": ["yes", "no"]}`

// write makes the file of a scripted model, with other metadata where edit is not nil.
func write(t *testing.T, m scripted.Model, edit func(*gguf.Metadata)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	if edit == nil {
		return path
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	md := &gguf.Metadata{}
	for k, v := range f.All() {
		md.Set(k, v)
	}
	edit(md)
	path = filepath.Join(t.TempDir(), "edited.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for k, v := range md.All() {
		w.Set(k, v)
	}
	for i := range f.Tensors {
		x := &f.Tensors[i]
		w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
			_, err := dst.Write(x.Data())
			return err
		})
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	return path
}

// look reads the form of a scripted model.
func look(t *testing.T, m scripted.Model, edit func(*gguf.Metadata)) *Form {
	t.Helper()
	f, err := Look(write(t, m, edit))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// open loads a scripted model.
func openModel(t *testing.T, m scripted.Model, o Options) *Local {
	t.Helper()
	o.Threads = 1
	l, err := Open(context.Background(), write(t, m, nil), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func compile(t *testing.T, schema string) *grammar.Grammar {
	t.Helper()
	g, err := grammar.Compile([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return g
}
