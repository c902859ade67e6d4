package session

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/convert"
	"retort/internal/lm/model"
	"retort/internal/lm/scripted"
)

// An adapter changes what a model says as the LoRA did that it was written from.
func TestAdapter(t *testing.T) {
	path, dir := write(t, speaker), t.TempDir()
	m, err := model.Load(path, model.LoadOptions{LoRA: &model.LoRAConfig{Rank: 2, Alpha: 4, Seed: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, p := range m.Params() {
		p.Slices(func(data, _ []float32) {
			for i := range data {
				data[i] = float32(i%7) - 3
			}
		})
		p.Changed()
	}
	if err := m.WriteAdapter(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	h := NewHost(1)
	defer h.Close()
	said := func(o Options) Result {
		m, err := h.Open(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		return ask(t, m, Request{Messages: hello, Max: 20})
	}
	if plain, adapted := said(Options{}), said(Options{Adapter: dir}); plain.Text != "Hi there!" || adapted.Text == plain.Text {
		t.Errorf("%q, with the adapter %q", plain.Text, adapted.Text)
	}
	if _, err := h.Open(context.Background(), path, Options{Adapter: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder without an adapter: error %v", err)
	}
}

// What is wrong with a model or an option is told when it is opened, and leaves nothing open.
func TestOpenErrors(t *testing.T) {
	h := NewHost(1)
	defer h.Close()
	good := write(t, speaker)
	cut := filepath.Join(t.TempDir(), "cut.gguf")
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, b[:len(b)-100], 0o666); err != nil {
		t.Fatal(err)
	}
	bad := speaker
	bad.Template = "{% for %}"
	for name, c := range map[string]struct {
		path string
		o    Options
		want string
	}{
		"no file":         {filepath.Join(t.TempDir(), "none.gguf"), Options{}, "no such file"},
		"half a file":     {cut, Options{}, cut},
		"an empty folder": {t.TempDir(), Options{}, "config.json"},
		"a template":      {write(t, bad), Options{}, "template"},
		"cache":           {good, Options{Cache: "f8"}, `cache type "f8", want f32, bf16 or q8_0`},
	} {
		if _, err := h.Open(context.Background(), c.path, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Open(ctx, good, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ended: %v", err)
	}
	if n := len(h.models); n != 0 {
		t.Errorf("%d models are open, want none", n)
	}
}

// The form is what a file says, with and without its weights.
func TestLook(t *testing.T) {
	path := write(t, scripted.Model{Control: marks, Template: chatml, Rows: 300, Context: 77})
	f, err := Look(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.Rows != 300 || f.Context != 77 || f.Tokenizer.Vocab() != 261 {
		t.Errorf("%d rows, %d tokens, context %d, want 300, 261, 77", f.Rows, f.Tokenizer.Vocab(), f.Context)
	}
	if _, err := f.Chat(); err != nil {
		t.Error(err)
	}
	i := f.Info
	if i.Path != path || i.Name != "scripted" || i.License != "mit" || i.Architecture != "llama" || i.Type() != "F32" || i.Layers != 1 || i.Heads != 2 || i.Vocabulary != 261 {
		t.Errorf("info is %+v", i)
	}
	if want := int64(2*300*64 + 7*64*64 + 3*64); i.Parameters != want || i.Size != 4*want {
		t.Errorf("%d parameters in %d bytes, want %d in four times as many", i.Parameters, i.Size, want)
	}
	if i.Template == nil || i.Template.Bytes != len(chatml) || i.Template.Text != chatml {
		t.Errorf("template %+v", i.Template)
	}
	d, err := Describe(path)
	if err != nil || d.Parameters != i.Parameters || d.Path != path {
		t.Errorf("described %+v, %v", d, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := gguf.Parse("in memory", b)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHost(1)
	defer h.Close()
	m, err := h.OpenFile(context.Background(), file, Options{Context: 50})
	if err != nil {
		t.Fatal(err)
	}
	if m.Info.Path != "in memory" || m.Limit() != 50 || m.Context != 77 {
		t.Errorf("opened as %q with %d of %d tokens", m.Info.Path, m.Limit(), m.Context)
	}
}

// Describe reads what cannot run, Look refuses it.
func TestDescribeOdd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.Set("general.architecture", gguf.ValueOf("mamba"))
	w.Set("mamba.context_length", gguf.ValueOf(uint32(9)))
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if i, err := Describe(path); err != nil || i.Architecture != "mamba" || i.Context != 9 || i.Type() != "" || i.Template != nil {
		t.Errorf("described %+v, %v", i, err)
	}
	if _, err := Look(path); err == nil || !strings.Contains(err.Error(), "mamba") {
		t.Errorf("looked at: %v", err)
	}
}

// A prompt that was saved is not computed again, and one of another model or adapter is not taken.
func TestSavePrompt(t *testing.T) {
	path, file := write(t, speaker), filepath.Join(t.TempDir(), "prompt")
	long := Request{Messages: []chat.Message{{Role: "user", Content: strings.Repeat("hello ", 30)}}}
	h := NewHost(1)
	defer h.Close()
	open := func(path string, o Options) *Model {
		m, err := h.Open(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open(path, Options{})
	if n, err := m.LoadPrompt(context.Background(), file); n != 0 || err != nil {
		t.Errorf("no file yet: %d tokens, %v", n, err)
	}
	a, err := m.Start(context.Background(), long)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.Wait()
	if err != nil || first.Usage.Cached != 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := m.SavePrompt(context.Background(), file, append(a.Prompt(), first.Tokens...)); err != nil {
		t.Fatal(err)
	}
	again := open(path, Options{})
	n, err := again.LoadPrompt(context.Background(), file)
	if err != nil || n < len(a.Prompt())-1 {
		t.Errorf("%d tokens of %d, %v", n, len(a.Prompt()), err)
	}
	if res := ask(t, again, long); res.Usage.Cached < len(a.Prompt())-1 || res.Text != first.Text {
		t.Errorf("after loading: %+v", res)
	}
	adapter := t.TempDir()
	trained, err := model.Load(path, model.LoadOptions{LoRA: &model.LoRAConfig{Rank: 2, Alpha: 4, Seed: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer trained.Close()
	if err := trained.WriteAdapter(context.Background(), adapter); err != nil {
		t.Fatal(err)
	}
	another := speaker
	another.Next = chain("<|go|>", " there")
	deeper := speaker
	deeper.Context = 1024
	for name, m := range map[string]*Model{"other weights": open(write(t, another), Options{}), "an adapter": open(path, Options{Adapter: adapter}), "another shape": open(write(t, deeper), Options{})} {
		if n, err := m.LoadPrompt(context.Background(), file); n != 0 || err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %d tokens, %v", name, n, err)
		}
	}
}

// Closing a model gives its file back, of a folder as of one file, and the host forgets it.
func TestCloseGivesBack(t *testing.T) {
	file, folder := write(t, speaker), filepath.Join(t.TempDir(), "folder")
	if err := convert.ToFolder(context.Background(), file, folder, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	h := NewHost(1)
	defer h.Close()
	mapped := func(path string) bool {
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip(err)
		}
		return strings.Contains(string(b), path)
	}
	for _, path := range []string{file, folder} {
		m, err := h.Open(context.Background(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, m, Request{Messages: hello}).Text; got != "Hi there!" || !mapped(path) {
			t.Errorf("%s says %q; mapped: %v", path, got, mapped(path))
		}
		if err := m.Close(); err != nil || mapped(path) || len(h.models) > 0 {
			t.Errorf("closed: %v, mapped: %v, %d models are open", err, mapped(path), len(h.models))
		}
	}
}

// Tensors are added up by type, those of most bytes first.
func TestShares(t *testing.T) {
	var s shares
	for range 2 {
		s.add("F32", 10, 40)
	}
	for range 3 {
		s.add("Q4_0", 320, 180)
	}
	var i Info
	i.finish(s, "")
	if want := []Share{{"Q4_0", 3, 960, 540}, {"F32", 2, 20, 80}}; !slices.Equal(i.Tensors, want) || i.Parameters != 980 || i.Size != 620 || i.Type() != "Q4_0" || i.Template != nil {
		t.Errorf("%+v, want %+v", i, want)
	}
}

// TestMoreTokensThanRows: a vocabulary whose last tokens have no row is refused before anything is asked.
func TestMoreTokensThanRows(t *testing.T) {
	path := write(t, scripted.Model{Control: marks, Template: chatml})
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := model.ConfigFromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	files, err := tokenizer.FromGGUFFile(f)
	if err != nil {
		t.Fatal(err)
	}
	c.Vocab = files.Tokenizer.Vocab()
	if _, err := newForm(infoOfFile(f), c, files); err != nil {
		t.Errorf("as many rows as tokens: %v", err)
	}
	c.Vocab--
	if _, err := newForm(infoOfFile(f), c, files); err == nil || !strings.Contains(err.Error(), "want 260 at most") {
		t.Errorf("a row less than tokens: %v", err)
	}
}
