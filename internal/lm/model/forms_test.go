package model

import (
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
)

// goldenLogits are what another program computed of someTokens.
func goldenLogits(t *testing.T, path string) []float32 {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]float32, f.Tensor("logits").Elements())
	quant.Decode(quant.F32, want, f.Tensor("logits").Data())
	return want
}

// close64 holds logits computed in float32 to those computed in float64.
func close64(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d logits, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); !(d <= transformersTol) {
			t.Errorf("%s: logit %d is %v, want %v", what, i, got[i], w)
			return
		}
	}
}

// TestFormsOfFolders opens folders that differ from the usual Llama in their form and holds the logits to numpy's; see
// ref/numpy_models.py. What is written as a folder, or as a GGUF file, is the same model.
//
//   - bias: attention_bias and mlp_bias
//   - trunk: names without a prefix
//   - part: names below language_model, and lm_head.weight beside tie_word_embeddings
//   - yarn: truncate false in rope_parameters, and attention_bias of qwen3
func TestFormsOfFolders(t *testing.T) {
	ctx := context.Background()
	for _, name := range []string{"bias", "trunk", "part", "yarn"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "np_"+name)
			want := goldenLogits(t, filepath.Join(dir, "logits.safetensors"))
			m := mustLoad(t, dir, LoadOptions{})
			got := logitsOf(t, m)
			close64(t, "folder", got, want)
			if m.Config.Tied != (name == "trunk" || name == "yarn") {
				t.Errorf("tied: %v", m.Config.Tied)
			}
			again := filepath.Join(t.TempDir(), "again")
			if err := m.WriteSafetensors(ctx, again, quant.F32); err != nil {
				t.Fatal(err)
			}
			equal(t, "written back", logitsOf(t, mustLoad(t, again, LoadOptions{})), got)
			if name == "bias" || name == "yarn" {
				sameTensors(t, again, dir)
			}
			trained := mustLoad(t, dir, LoadOptions{Train: true})
			near(t, "to train", logitsOf(t, trained), got)
			path := filepath.Join(t.TempDir(), "x.gguf")
			if err := trained.WriteGGUF(ctx, path, trained.Config.Metadata("x"), quant.F32); err != nil {
				t.Fatal(err)
			}
			near(t, "as GGUF", logitsOf(t, mustLoad(t, path, LoadOptions{})), got)
		})
	}
}

// TestTiedAsTheFolderIs: with tie_word_embeddings a head that repeats the embedding is the embedding, and without it a head
// has to be there.
func TestTiedAsTheFolderIs(t *testing.T) {
	from := filepath.Join("testdata", "np_part")
	embed := "language_model.model.embed_tokens.weight"
	head := "language_model.lm_head.weight"
	for _, c := range []struct {
		what  string
		tied  bool
		edit  func(s []safetensors.Source, f *safetensors.File) []safetensors.Source
		own   bool
		fault string
	}{
		{"another head", true, nil, true, ""},
		{"the embedding again", true, func(s []safetensors.Source, f *safetensors.File) []safetensors.Source {
			for i := range s {
				if s[i].Name == head {
					s[i].Write = sourceOf(f.Tensor(embed)).Write
				}
			}
			return s
		}, false, ""},
		{"no head", true, without(head), false, ""},
		{"no head, though not tied", false, without(head), false, "output.weight: missing"},
		{"not tied", false, nil, true, ""},
		{"a head by another name too", true, func(s []safetensors.Source, f *safetensors.File) []safetensors.Source {
			twin := sourceOf(f.Tensor(head))
			twin.Name = "lm_head.weight"
			return append(s, twin)
		}, false, "is there twice, as lm_head.weight"},
		{"a block outside of the prefix", true, func(s []safetensors.Source, f *safetensors.File) []safetensors.Source {
			for i := range s {
				s[i].Name = strings.Replace(s[i].Name, "language_model.model.layers.1.mlp.up", "model.layers.1.mlp.up", 1)
			}
			return s
		}, false, "model.layers.1.mlp.up_proj.weight: not part of this architecture"},
		{"two embeddings", true, func(s []safetensors.Source, f *safetensors.File) []safetensors.Source {
			twin := sourceOf(f.Tensor(embed))
			twin.Name = "other.embed_tokens.weight"
			return append(s, twin)
		}, false, "language_model.model.embed_tokens.weight: not part of this architecture"},
	} {
		dir := copyFolder(t, from, func(config string) string {
			return strings.Replace(config, `"tie_word_embeddings": true`, map[bool]string{true: `"tie_word_embeddings": true`, false: `"tie_word_embeddings": false`}[c.tied], 1)
		}, c.edit)
		m, err := Load(dir, LoadOptions{})
		if err != nil || c.fault != "" {
			if err == nil || c.fault == "" || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.what, err, c.fault)
			}
			continue
		}
		if m.Config.Tied == c.own || (m.Head == m.Embed) == c.own {
			t.Errorf("%s: tied %v, want an own head: %v", c.what, m.Config.Tied, c.own)
		}
		m.Close()
	}
}

// TestHeadInGGUF: of a GGUF file the same is decided by output.weight alone.
func TestHeadInGGUF(t *testing.T) {
	c := tinyLlama()
	c.Tied = false
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := lively(t, c, 3).WriteGGUF(context.Background(), path, c.Metadata("x"), quant.F32); err != nil {
		t.Fatal(err)
	}
	if m := mustLoad(t, path, LoadOptions{}); m.Config.Tied || m.Head == m.Embed {
		t.Error("output.weight is passed over")
	}
}

func sourceOf(x *safetensors.Tensor) safetensors.Source {
	return safetensors.Source{Name: x.Name, DType: x.DType, Shape: x.Shape, Write: func(w io.Writer) error {
		_, err := w.Write(x.Data())
		return err
	}}
}

func without(name string) func([]safetensors.Source, *safetensors.File) []safetensors.Source {
	return func(s []safetensors.Source, _ *safetensors.File) []safetensors.Source {
		var kept []safetensors.Source
		for _, x := range s {
			if x.Name != name {
				kept = append(kept, x)
			}
		}
		return kept
	}
}

// copyFolder copies the model in from with another config.json and other tensors.
func copyFolder(t *testing.T, from string, config func(string) string, edit func([]safetensors.Source, *safetensors.File) []safetensors.Source) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(from, ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(config(string(b))), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(filepath.Join(from, safetensors.SingleName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sources []safetensors.Source
	for i := range f.Tensors {
		sources = append(sources, sourceOf(&f.Tensors[i]))
	}
	if edit != nil {
		sources = edit(sources, f)
	}
	if err := safetensors.WriteFile(context.Background(), filepath.Join(dir, safetensors.SingleName), nil, sources); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLayersOfUnlikeShapes: heads, key/value heads and widths as arrays, one number a layer; the file is ref/numpy_models.py's.
func TestLayersOfUnlikeShapes(t *testing.T) {
	path := filepath.Join("testdata", "np_layers.gguf")
	want := goldenLogits(t, filepath.Join("testdata", "np_layers.logits.safetensors"))
	m := mustLoad(t, path, LoadOptions{})
	got := logitsOf(t, m)
	close64(t, "file", got, want)
	if c := m.Config; c.Heads != 4 || c.KVHeads != 4 || c.FFN != 20 || c.layer(1) != (LayerShape{2, 1, 12}) {
		t.Errorf("shapes %+v, at most %d %d %d", c.PerLayer, c.Heads, c.KVHeads, c.FFN)
	}
	trained := mustLoad(t, path, LoadOptions{Train: true})
	again := filepath.Join(t.TempDir(), "x.gguf")
	if err := trained.WriteGGUF(context.Background(), again, trained.Config.Metadata("x"), quant.F32); err != nil {
		t.Fatal(err)
	}
	equal(t, "written again", logitsOf(t, mustLoad(t, again, LoadOptions{})), got)
	if err := m.WriteSafetensors(context.Background(), filepath.Join(t.TempDir(), "x"), quant.F32); err == nil || !strings.Contains(err.Error(), "layers of unlike shapes") {
		t.Errorf("as a folder: %v", err)
	}

	// An array of one number is that number, and a wrong one is refused by its key.
	same := tinyLlama()
	for _, c := range []struct {
		key   string
		value gguf.Value
		fault string
	}{
		{"attention.head_count", gguf.ArrayOf([]uint32{4, 4}), ""},
		{"attention.head_count_kv", gguf.ArrayOf([]int32{2, 2}), ""},
		{"feed_forward_length", gguf.ArrayOf([]uint32{4, 4, 4}), "llama.feed_forward_length has 3 numbers, want one for each of 2 layers"},
		{"attention.head_count", gguf.ArrayOf([]uint32{4, 0}), "layer 1 has 0 heads"},
		{"attention.head_count_kv", gguf.ArrayOf([]uint32{0, 2}), "layer 0 has 4 heads and 0 key/value heads"},
		{"attention.head_count_kv", gguf.ArrayOf([]uint32{2, 3}), "layer 1: model: 4 attention heads are not a multiple of 3"},
		{"attention.head_count", gguf.ArrayOf([]string{"4", "4"}), "want array of integers"},
		{"feed_forward_length", gguf.ArrayOf([]int32{28, -1}), "layer 1: model: intermediate_size is -1"},
	} {
		got, err := configWith(t, same, map[string]gguf.Value{c.key: c.value})
		switch {
		case c.fault == "" && (err != nil || got.PerLayer != nil || got.Heads != 4 || got.KVHeads != 2):
			t.Errorf("%s: %+v, %v", c.key, got, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: %v, want %q", c.key, err, c.fault)
		}
	}
}

// configWith reads the configuration of a file of c with other metadata.
func configWith(t *testing.T, c Config, more map[string]gguf.Value) (Config, error) {
	t.Helper()
	file, err := gguf.Parse("x", tinyFile(t, c, more))
	if err != nil {
		t.Fatal(err)
	}
	return ConfigFromGGUF(file)
}

// TestCacheOfUnlikeLayers: each layer of a cache has the heads of its own layer, and decoding gives what a whole prompt does.
func TestCacheOfUnlikeLayers(t *testing.T) {
	m := mustLoad(t, filepath.Join("testdata", "np_layers.gguf"), LoadOptions{})
	for i, want := range []int{2, 1, 4} {
		if got := m.kvShape(i); got.Heads != want || got.Key != 4 || got.Value != 4 {
			t.Errorf("layer %d caches %d heads of %d and %d, want %d of 4", i, got.Heads, got.Key, got.Value, want)
		}
	}
	want := logitsOf(t, m)
	cache, run := newCache(m, op.CacheF32, len(someTokens)), newRun(t)
	for i, id := range someTokens {
		p := &op.Pass{Run: run, Batch: batch([]int32{id}, i, cache)}
		near(t, "decoding", m.Logits(p, []int{0}).Data, want[i*m.Config.Vocab:(i+1)*m.Config.Vocab])
		cache.Len++
		run.Release(0)
	}
}

// TestNothingIsPackedLater: a model that does not learn is as it will be once it is loaded, so that engines can share it.
func TestNothingIsPackedLater(t *testing.T) {
	trained, path, dir := trainedAdapter(t, tinyDeepSeek(), quant.F32)
	for what, opts := range map[string]LoadOptions{"answer": {}, "adapter": {Adapter: dir}} {
		m := mustLoad(t, path, opts)
		for i, b := range m.Blocks {
			if up := reflect.ValueOf(b.Attention.(*MLA).Up).Elem(); up.FieldByName("keys").Len() == 0 || up.FieldByName("vals").Len() == 0 {
				t.Errorf("%s: W^UK of layer %d is packed later", what, i)
			}
			if w, ok := b.out().(*LoRA); ok != (what == "adapter") || ok && !(w.a.rowsFresh && w.b.rowsFresh) {
				t.Errorf("%s: the adapter's part of layer %d is packed later", what, i)
			}
		}
		if what == "adapter" {
			near(t, what, logitsOf(t, m), logitsOf(t, trained))
		}
	}
	// Where W learns it is packed when it is needed, after each step.
	m := mustLoad(t, path, LoadOptions{Train: true})
	if reflect.ValueOf(m.Blocks[0].Attention.(*MLA).Up).Elem().FieldByName("keys").Len() != 0 {
		t.Error("W^UK is packed before it has learned anything")
	}
}

// TestTokensOfTheVocabulary: a token that the model has no row of is never computed with, however the rows are stored: 37 of
// them end within a panel of 16.
func TestTokensOfTheVocabulary(t *testing.T) {
	c := tinyLlama()
	c.Width, c.FFN = 32, 32
	for _, typ := range []quant.Type{quant.F32, quant.BF16, quant.Q8_0, quant.Q4_0} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := lively(t, c, 3).WriteGGUF(context.Background(), path, c.Metadata("x"), typ); err != nil {
			t.Fatal(err)
		}
		for what, opts := range everyLoad {
			m := mustLoad(t, path, opts)
			compute := func(id int) (panicked bool) {
				defer func() { panicked = recover() != nil }()
				m.Logits(&op.Pass{Run: newRun(t), Batch: batch([]int32{1, int32(id)}, 0, nil)}, []int{1})
				return false
			}
			for id, want := range map[int]bool{0: false, c.Vocab - 1: false, c.Vocab: true, c.Vocab + 1: true, -1: true, math.MaxInt32: true} {
				if got := compute(id); got != want {
					t.Errorf("%v, to %s: token %d refused: %v, want %v", typ, what, id, got, want)
				}
			}
		}
	}
}

// TestModelInParts: a model whose file was split answers as the whole file does, opened by any part, and is written in one.
func TestModelInParts(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.gguf")
	c := everyStretch()["llama3"] // with rope_freqs.weight
	if err := lively(t, c, 8).WriteGGUF(context.Background(), whole, c.Metadata("x"), quant.Q8_0); err != nil {
		t.Fatal(err)
	}
	want := logitsOf(t, mustLoad(t, whole, LoadOptions{}))
	f, err := gguf.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const count = 3
	first := filepath.Join(dir, "m-00001-of-00003.gguf")
	paths, ok := gguf.Parts(first)
	if !ok || len(paths) != count {
		t.Fatal(paths)
	}
	for no, path := range paths {
		w, err := gguf.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if no == 0 {
			for key, v := range f.Metadata.All() {
				w.Set(key, v)
			}
		}
		w.Set("split.no", gguf.ValueOf(uint16(no)))
		w.Set("split.count", gguf.ValueOf(uint16(count)))
		w.Set("split.tensors.count", gguf.ValueOf(int32(len(f.Tensors))))
		for i := no * len(f.Tensors) / count; i < (no+1)*len(f.Tensors)/count; i++ {
			x := &f.Tensors[i]
			w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
				_, err := dst.Write(x.Data())
				return err
			})
		}
		if err := w.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		m := mustLoad(t, path, LoadOptions{})
		equal(t, filepath.Base(path), logitsOf(t, m), want)
		again := filepath.Join(t.TempDir(), "again.gguf")
		if err := m.WriteGGUF(context.Background(), again, c.Metadata("x"), quant.F32); err != nil {
			t.Fatal(err)
		}
		equal(t, "written in one", logitsOf(t, mustLoad(t, again, LoadOptions{})), want)
	}
	if err := os.Remove(paths[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(first, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "m-00002-of-00003.gguf: is missing") {
		t.Errorf("%v", err)
	}
}
