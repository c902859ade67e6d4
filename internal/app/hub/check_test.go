package hub

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
)

// aliens are heads of models that no package here can run, by what the refusal says.
func aliens() map[string]func(w *gguf.Writer) {
	return map[string]func(w *gguf.Writer){
		`architecture "gpt2" is not supported`: func(w *gguf.Writer) {
			setLlama(w)
			w.Set("general.architecture", gguf.ValueOf("gpt2"))
		},
		`architecture "rwkv" is not supported`: func(w *gguf.Writer) { // whose head is longer than one look
			setLlama(w)
			w.Set("general.architecture", gguf.ValueOf("rwkv"))
			w.Set("general.description", gguf.ValueOf(strings.Repeat("long ", 50_000)))
		},
		`rope scaling "novel" is not supported`: func(w *gguf.Writer) {
			setLlama(w)
			w.Set("llama.rope.scaling.type", gguf.ValueOf("novel"))
		},
	}
}

// What cannot be run is refused by its first bytes, and nothing of it is kept.
func TestRefusedByHead(t *testing.T) {
	for want, head := range aliens() {
		data := writeGGUF(t, head, "output_norm.weight", 1_000_000, 1)
		h, s := newFakeHub(t), newStore(t)
		h.images["alien:1b"] = data
		h.add("acme/alien", "alien.gguf", data)
		url := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed) // so that not even the size is known
				return
			}
			w.(http.Flusher).Flush()
			w.Write(data)
		})
		local := filepath.Join(t.TempDir(), "alien.gguf")
		if err := os.WriteFile(local, data, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{"alien:1b", "hf:acme/alien", url, local} {
			o, done := h.options(), int64(0)
			o.Progress = func(p Progress) { done = max(done, p.Done) }
			_, err := s.Pull(t.Context(), ref, o)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "not a usable model") {
				t.Errorf("pull %s: %v; want %s", ref, err, want)
			}
			if done > 1<<20 {
				t.Errorf("pull %s: refused after %d bytes", ref, done)
			}
			wantNothing(t, s)
			if list, _ := os.ReadDir(filepath.Join(s.dir(), partialDir)); len(list) > 0 {
				t.Errorf("pull %s leaves %v", ref, list)
			}
		}
	}
}

// One that broke off before its head was whole is judged when it goes on.
func TestRefusedOnResume(t *testing.T) {
	for want, head := range aliens() {
		data := writeGGUF(t, head, "output_norm.weight", 30_000, 1)
		h, s := newFakeHub(t), newStore(t)
		h.images["alien:1b"] = data
		h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
			if n == 1 {
				cutAfter(w, r, data, 200)
			}
			return false
		}
		if _, err := s.Pull(t.Context(), "alien:1b", h.options()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		wantNothing(t, s)
	}
}

// The first of several parts may hold all metadata and no tensor. Its architecture counts nonetheless.
func TestFirstPartWithoutTensors(t *testing.T) {
	for arch, want := range map[string]string{"llama": "", "gpt2": `architecture "gpt2" is not supported`} {
		write := func(no int, head func(w *gguf.Writer), tensor string) []byte {
			return writeGGUF(t, func(w *gguf.Writer) {
				head(w)
				w.Set("split.no", gguf.ValueOf(uint16(no)))
				w.Set("split.count", gguf.ValueOf(uint16(2)))
			}, tensor, 1_000, 1)
		}
		parts := [][]byte{
			write(0, func(w *gguf.Writer) { setConfig(w); w.Set("general.architecture", gguf.ValueOf(arch)) }, "output_norm.weight"),
			write(1, setEmbedding, "blk.0.ffn_up.weight"),
		}
		h, s := newFakeHub(t), newStore(t)
		for i, data := range parts {
			h.add("acme/big", shardName("big", i+1, 2), data)
		}
		e, err := s.Pull(t.Context(), "hf:acme/big", h.options())
		requests, _ := h.counts()
		if want == "" {
			if err != nil || requests != 2 || Check(e.Path) != nil {
				t.Errorf("%s: %v after %d requests", arch, err, requests)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || requests != 1 {
			t.Errorf("%s: %v after %d requests", arch, err, requests)
		}
		wantNothing(t, s)
	}
}

// RoPE's table is data that the config is read from: nothing is said before it is here.
func TestRopeTableComesLate(t *testing.T) {
	for factor, want := range map[float32]string{1: "", 0: "rope factor 0 is 0"} {
		data := writeGGUF(t, func(w *gguf.Writer) {
			setLlama(w)
			w.Add("blk.0.ffn_up.weight", gguf.F32, []int{50_000}, func(dst io.Writer) error {
				_, err := dst.Write(make([]byte, 200_000))
				return err
			})
			w.Add("rope_freqs.weight", gguf.F32, []int{2}, func(dst io.Writer) error {
				x := math.Float32bits(factor)
				_, err := dst.Write(bytes.Repeat([]byte{byte(x), byte(x >> 8), byte(x >> 16), byte(x >> 24)}, 2))
				return err
			})
		}, "output_norm.weight", 100, 1)
		h, s := newFakeHub(t), newStore(t)
		h.images["tiny:1b"] = data
		e, err := s.Pull(t.Context(), "tiny:1b", h.options())
		if want == "" {
			if err != nil {
				t.Errorf("factor %g: %v", factor, err)
				continue
			}
			wantContent(t, s, e, data)
		} else if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("factor %g: %v, want %s", factor, err, want)
		}
	}
}

// A folder is judged by its small files: what is missing is named, what cannot be run is refused, before any weights come.
func TestRefusedFolders(t *testing.T) {
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	one, two := safetensorsFile(2_000, 1), safetensorsFile(3_000, 2)
	for name, c := range map[string]struct {
		files map[string][]byte
		want  string // "" is accepted
	}{
		"a shard is missing":  {map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors.index.json": indexOf(first, second), first: one}, second + ", which is not there"},
		"architecture":        {map[string][]byte{"config.json": []byte(`{"model_type":"gpt2"}`), "model.safetensors": one}, `model_type "gpt2" is not supported`},
		"no index":            {map[string][]byte{"config.json": []byte(llamaConfig), first: one, second: two}, "holds neither"},
		"index broken":        {map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors.index.json": []byte("{"), first: one}, "index.json"},
		"one file, old index": {map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors.index.json": indexOf(first, second), "model.safetensors": one}, ""},
		"whole":               {map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors.index.json": indexOf(first, second), first: one, second: two}, ""},
	} {
		h, dir := newFakeHub(t), filepath.Join(t.TempDir(), "tiny")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, data := range c.files {
			h.add("acme/tiny", file, data)
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, ref := range []string{"hf:acme/tiny", dir} {
			s := newStore(t)
			e, err := s.Pull(t.Context(), ref, h.options())
			if c.want == "" {
				if err != nil || len(e.Files) != len(c.files) || Check(e.Path) != nil {
					t.Errorf("%s, pull %s: %+v, %v", name, ref, e, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, pull %s: %v; want %s", name, ref, err, c.want)
			}
			if requests, _ := h.counts(); requests > 0 {
				t.Errorf("%s: %d weights were asked for", name, requests)
			}
			wantNothing(t, s)
			if left := leftovers(t, s); len(left) > 0 {
				t.Errorf("%s, pull %s: left over %v", name, ref, left)
			}
		}
	}
}

// An entry that an earlier version accepted, though it cannot be opened, is brought again and not called present.
func TestPresentIsChecked(t *testing.T) {
	const first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
	index := indexOf(first, second)
	h, s := newFakeHub(t), newStore(t)
	for file, data := range map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors.index.json": index, first: safetensorsFile(20, 1), second: safetensorsFile(30, 2)} {
		h.add("acme/tiny", file, data)
	}
	e := mustPull(t, s, "hf:acme/tiny", h.options())
	file := filepath.Join(e.Path, "model.safetensors.index.json")
	if err := os.WriteFile(file, bytes.ReplaceAll(index, []byte("00002-of"), []byte("00003-of")), 0o644); err != nil {
		t.Fatal(err)
	}
	mustPull(t, s, "hf:acme/tiny", h.options())
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, index) {
		t.Errorf("index is still %s, %v", got, err)
	}
}

// A path where nothing lies gets a hint: what is named almost so, or how models are named.
func TestAbsentPath(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	near := writeModel(t, dir, "stories.gguf", 10)
	for file, want := range map[string]string{"storeis.gguf": "did you mean " + near + "?", "else.gguf": "hf:owner/repo", "none/else.gguf": "hf:owner/repo"} {
		file = filepath.Join(dir, file)
		_, err := s.Pull(t.Context(), file, PullOptions{})
		if err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(hint(err), want) {
			t.Errorf("pull %s: %v, hint %q; want %q", file, err, hint(err), want)
		}
		if _, err := s.Resolve(file); err == nil || !strings.Contains(err.Error(), "no such file") || !strings.Contains(hint(err), want) {
			t.Errorf("resolve %s: %v, hint %q; want %q", file, err, hint(err), want)
		}
	}
}

// TestMoreTokensThanRows: a model whose last tokens have no row of the embedding is refused, in a file and in a folder.
func TestMoreTokensThanRows(t *testing.T) {
	dir := t.TempDir()
	for tokens, ok := range map[int]bool{2: true, 3: false} { // setEmbedding has two rows
		file := filepath.Join(dir, "m.gguf")
		data := writeGGUF(t, func(w *gguf.Writer) {
			setLlama(w)
			w.Set("tokenizer.ggml.tokens", gguf.ArrayOf([]string{"a", "b", "c"}[:tokens]))
		}, "blk.0.ffn_up.weight", 64, 1)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Check(file); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "has 3 tokens, want 2 at most") {
			t.Errorf("%d tokens, 2 rows: %v", tokens, err)
		}
	}
	for tokens, ok := range map[int]bool{8: true, 9: false} { // llamaConfig has eight
		folder := filepath.Join(t.TempDir(), "m")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		vocab := `{"model":{"type":"BPE","merges":[],"vocab":{"a":0`
		for i := 1; i < tokens; i++ {
			vocab += fmt.Sprintf(",%q:%d", string(rune('a'+i)), i)
		}
		for name, data := range map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors": safetensorsFile(2_000, 1),
			"tokenizer.json": []byte(vocab + `}},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"}}`)} {
			if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tokenizer.Open(folder); err != nil {
			t.Fatal(err)
		}
		if err := Check(folder); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "has 9 tokens, want 8 at most") {
			t.Errorf("a folder of %d tokens, 8 rows: %v", tokens, err)
		}
	}
}
