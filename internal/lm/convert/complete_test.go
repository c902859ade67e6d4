package convert

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

// TestPadsVocabulary: a file has as many tokens as the embedding has rows, whatever it was made of; a folder has those that
// are some.
//
// llama.cpp (npm node-llama-cpp 3.22.1) opens the files and continues a prompt with the tokens of `retort run --tokens`; the
// file of 290 tokens it refuses: "tensor 'token_embd.weight' has wrong shape; expected 64, 290, got 64, 300".
func TestPadsVocabulary(t *testing.T) {
	dir, short := t.TempDir(), tiny(t, 290)
	file, folder, back := filepath.Join(dir, "file.gguf"), filepath.Join(dir, "folder"), filepath.Join(dir, "back.gguf")
	convert(t, short, file)
	convert(t, short, folder)
	convert(t, folder, back)
	if keep := os.Getenv("RETORT_KEEP"); keep != "" {
		convert(t, folder, keep)
	}
	if !exists(filepath.Join(folder, tokenizer.FileName)) {
		t.Error("the folder has no tokenizer.json")
	}
	for path, want := range map[string]int{file: 300, back: 300, folder: 290} {
		f, err := tokenizer.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := f.Tokenizer.Vocab(); n != want {
			t.Errorf("%s has %d tokens, want %d", path, n, want)
		}
		for id := range 300 {
			if got := f.Tokenizer.IsUnused(id); got != (id >= 290) {
				t.Errorf("%s: token %d is unused: %v", path, id, got)
			}
		}
		if got := f.Tokenizer.Token(295); path != folder && got != "[PAD295]" {
			t.Errorf("%s: token 295 is %q", path, got)
		}
	}
	if far := distance(scores(t, back), scores(t, short)); far > 0 {
		t.Errorf("the scores are off by %g", far)
	}
}

// TestTooManyTokens: a vocabulary longer than the embedding is refused, with both numbers.
func TestTooManyTokens(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	convert(t, tiny(t, 300), folder)
	path := filepath.Join(folder, tokenizer.FileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const before = `"added_tokens": [`
	if b = []byte(strings.Replace(string(b), before, before+`{"id":301,"content":"<more>","special":true},`, 1)); !strings.Contains(string(b), "<more>") {
		t.Fatal("no added_tokens")
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, src := range []string{tiny(t, 302), folder} {
		for _, dst := range []string{filepath.Join(dir, "no.gguf"), filepath.Join(dir, "no")} {
			err := write(src, dst, Options{})
			if err == nil || !strings.Contains(err.Error(), "the vocabulary has 302 tokens, the embedding only 300 rows") || exists(dst) {
				t.Errorf("%s to %s: error %v", src, dst, err)
			}
		}
	}
}

// less is a source without one of its tensors.
type less struct {
	weights.Source
	without string
}

func (l less) Names() []string {
	return slices.DeleteFunc(slices.Clone(l.Source.Names()), func(name string) bool { return name == l.without })
}

// TestGGUFComplete: a GGUF file that lacks a tensor becomes nothing else, unless its architecture is not known here.
func TestGGUFComplete(t *testing.T) {
	dir := t.TempDir()
	cut, other := filepath.Join(dir, "cut.gguf"), filepath.Join(dir, "other.gguf")
	f, err := gguf.Open(tiny(t, 300))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pool := par.New(1)
	defer pool.Close()
	r := weights.Recoding{Source: less{weights.FromGGUF(f), "blk.1.ffn_up.weight"}, Metadata: &f.Metadata, Layout: weights.Layout{Layers: 2, Tied: false}, Pool: pool,
		Told: func(int64, int64, string) {}}
	if err := r.WriteGGUF(context.Background(), cut); err != nil {
		t.Fatal(err)
	}
	for _, dst := range []string{filepath.Join(dir, "no.gguf"), filepath.Join(dir, "no")} {
		err := write(cut, dst, Options{})
		if err == nil || !strings.Contains(err.Error(), cut) || !strings.Contains(err.Error(), "blk.1.ffn_up.weight: missing, want shape [96 64]") || exists(dst) {
			t.Errorf("%s: error %v", dst, err)
		}
	}
	f.Metadata.Set("general.architecture", gguf.ValueOf("gemma9"))
	f.Metadata.Set("gemma9.block_count", gguf.ValueOf(uint32(2)))
	if err := r.WriteGGUF(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	convert(t, other, filepath.Join(dir, "again.gguf"))
}

// TestKeepsEnds: what ends an answer goes from a folder into a folder and into a file, and back.
func TestKeepsEnds(t *testing.T) {
	for name, files := range map[string]map[string]string{
		model.ConfigName:         nil, // its eos_token_id
		tokenizer.GenerationName: {tokenizer.GenerationName: `{"eos_token_id":[2,270,271,272,273]}`},
		"special_tokens_map":     {"special_tokens_map.json": `{"eos_token":{"content":"an"}}`},
	} {
		dir := t.TempDir()
		folder, copied, file, back := filepath.Join(dir, "folder"), filepath.Join(dir, "copied"), filepath.Join(dir, "made.gguf"), filepath.Join(dir, "back")
		convert(t, tiny(t, 300), folder)
		if err := os.Remove(filepath.Join(folder, tokenizer.GenerationName)); err != nil {
			t.Fatal(err)
		}
		want := []int{2, 291}
		if name == tokenizer.GenerationName {
			want = []int{2, 270, 271, 272, 273}
		}
		if name == model.ConfigName {
			stretch(t, folder, map[string]any{"eos_token_id": []int{2, 291}})
		}
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		convert(t, folder, copied)
		convert(t, copied, file)
		convert(t, file, back)
		for _, path := range []string{folder, copied, file, back} {
			f, err := tokenizer.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			var ends []int
			for id := range f.Tokenizer.Vocab() {
				if f.Tokenizer.IsEOG(id) {
					ends = append(ends, id)
				}
			}
			if !slices.Equal(ends, want) || f.Tokenizer.EOS != 2 {
				t.Errorf("%s: %s ends with %v, a text with %d; want %v, 2", name, path, ends, f.Tokenizer.EOS, want)
			}
		}
	}
}

// TestPlace: nothing is written over the source, into a folder that is full, or into none.
func TestPlace(t *testing.T) {
	src := tiny(t, 300)
	if err := write(src, src, Options{}); !errors.Is(err, ErrSame) || err.Error() != src+" is the source itself" {
		t.Errorf("over itself: error %v", err)
	}
	if err := write(src, filepath.Dir(src), Options{}); err == nil || !strings.Contains(err.Error(), "is there already, want a new or empty folder") {
		t.Errorf("into a full folder: error %v", err)
	}
	if err := write(src, filepath.Join(filepath.Dir(src), "none", "x.gguf"), Options{}); err == nil || !strings.Contains(err.Error(), "no folder for") {
		t.Errorf("into no folder: error %v", err)
	}
	if err := write(filepath.Join(filepath.Dir(src), "none.gguf"), filepath.Join(filepath.Dir(src), "x.gguf"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: error %v", err)
	}
}

// TestTold: how far it is, and what is rounded a second time.
func TestTold(t *testing.T) {
	dir := t.TempDir()
	eight, four := filepath.Join(dir, "eight.gguf"), filepath.Join(dir, "four.gguf")
	q8, _ := weights.FindMixture("q8_0")
	q4, _ := weights.FindMixture("q4_0")
	if err := write(tiny(t, 300), eight, Options{Mixture: q8, Twice: func(int64) { t.Error("nothing was quantized before") }}); err != nil {
		t.Fatal(err)
	}
	var twice, last, whole int64
	err := write(eight, four, Options{Mixture: q4, Twice: func(n int64) { twice = n }, Progress: func(done, total int64, name string) {
		if done < last || name == "" {
			t.Errorf("%d of %d bytes after %d, of %q", done, total, last, name)
		}
		last, whole = done, total
	}})
	if err != nil {
		t.Fatal(err)
	}
	if twice == 0 || twice > whole || last != whole {
		t.Errorf("%d bytes are rounded twice, %d of %d were told", twice, last, whole)
	}
}

// TestMetadata: what is said of a folder before its tensors is what a file made of it says.
func TestMetadata(t *testing.T) {
	dir, short := t.TempDir(), tiny(t, 290)
	folder, file := filepath.Join(dir, "folder"), filepath.Join(dir, "file.gguf")
	convert(t, short, folder)
	convert(t, folder, file)
	md, err := Metadata(folder)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key := range md.All() {
		if _, ok := f.Value(key); !ok {
			t.Errorf("%s is not in the file", key)
		}
	}
	for key, v := range f.All() {
		said, ok := md.Value(key)
		switch {
		case key == "general.file_type", key == "general.quantization_version": // of tensors
			continue
		case !ok:
			t.Fatalf("%s is missing", key)
		}
		got, err := said.Any()
		want, err2 := v.Any()
		if err != nil || err2 != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, in the file %v (%v, %v)", key, got, want, err, err2)
		}
	}
	if err := os.Remove(filepath.Join(folder, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{folder, file, dir} {
		if md, err := Metadata(path); err == nil || md != nil {
			t.Errorf("%s: %v, %v", path, md, err)
		}
	}
}
