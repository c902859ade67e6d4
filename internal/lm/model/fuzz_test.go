package model

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"retort/internal/format/gguf"
)

// sound holds a configuration that was accepted to what everything behind relies on, and asks for a model of it from a
// source that has no tensor: an error, and no panic or great memory on the way.
func sound(t *testing.T, c Config) {
	t.Helper()
	if c.Layers < 1 || c.Layers > maxLayers || c.Heads < 1 || c.KVHeads < 1 || c.Heads%c.KVHeads != 0 || c.Width < 1 || c.Vocab < 1 || c.Rope.Dim%2 != 0 {
		t.Fatalf("accepted: %+v", c)
	}
	frequencies := c.Rope.frequencies()
	if len(frequencies) != c.Rope.Dim/2 {
		t.Fatalf("%d frequencies for %d values", len(frequencies), c.Rope.Dim)
	}
	for i, f := range frequencies {
		if !(f >= 0 && f <= 1e6) {
			t.Fatalf("frequency %d is %v of %+v", i, f, c.Rope)
		}
	}
	finite := func(what string, v float32) {
		if !(v > 0 && v < 1e6) {
			t.Fatalf("%s is %v of %+v", what, v, c)
		}
	}
	finite("softmax scale", c.softmaxScale())
	finite("magnitude", c.Rope.magnitude())
	if c.MoE != nil {
		finite("expert scale", float32(c.MoE.Scale))
	}
	c.Layers = min(c.Layers, 3)
	if _, err := Bind(c, memory{}, LoadOptions{}); err == nil {
		t.Fatal("a model without tensors")
	}
}

func FuzzConfigFromJSON(f *testing.F) {
	for _, c := range everyShape() {
		h, err := c.hf()
		if err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, name := range []string{"llama_linear", "deepseek_v3"} {
		b, err := os.ReadFile(filepath.Join("testdata", "hf_"+name, ConfigName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":9,"vocab_size":9,"max_position_embeddings":9,
		"rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":1,"original_max_position_embeddings":64}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ConfigFromJSON(b)
		if err != nil {
			return
		}
		sound(t, c)
		h, err := c.hf()
		if err != nil {
			return
		}
		again, err := json.Marshal(h)
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", c, err)
		}
		if _, err := ConfigFromJSON(again); err != nil {
			t.Fatalf("what was read from\n%s\nand written as\n%s\nis refused: %v", b, again, err)
		}
	})
}

// tinyFile returns the bytes of a file that describes c and holds nothing but an embedding of one row.
func tinyFile(f testing.TB, c Config, more map[string]gguf.Value) []byte {
	path := filepath.Join(f.TempDir(), "x.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	for key, v := range c.Metadata("x").All() {
		w.Set(key, v)
	}
	for key, v := range more {
		w.Set(c.Arch+"."+key, v)
	}
	for name, dims := range map[string][]int{"token_embd.weight": {1, 3}, "rope_freqs.weight": {c.Rope.Dim / 2}} {
		w.Add(name, gguf.F32, dims, func(dst io.Writer) error {
			ones := make([]float32, 3)
			if len(dims) == 1 {
				ones = make([]float32, dims[0])
			}
			for i := range ones {
				ones[i] = 1
			}
			_, err := dst.Write(bytesOf(ones))
			return err
		})
	}
	if err := w.Commit(context.Background()); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func FuzzConfigFromGGUF(f *testing.F) {
	yarn := map[string]gguf.Value{"rope.scaling.type": gguf.ValueOf("yarn"), "rope.scaling.factor": gguf.ValueOf(float32(40)),
		"rope.scaling.original_context_length": gguf.ValueOf(uint32(16)), "rope.scaling.yarn_beta_fast": gguf.ValueOf(float32(32)),
		"rope.scaling.yarn_log_multiplier": gguf.ValueOf(float32(0.1))}
	for name, c := range everyShape() {
		f.Add(tinyFile(f, c, nil))
		if name == "deepseek-v3" || name == "qwen2" {
			f.Add(tinyFile(f, c, yarn))
		}
	}
	for _, bad := range []map[string]gguf.Value{
		{"block_count": gguf.ValueOf(uint32(math.MaxUint32))}, {"block_count": gguf.ValueOf(uint64(math.MaxUint64))}, {"attention.head_count": gguf.ValueOf(uint32(0))},
		{"attention.head_count_kv": gguf.ValueOf(uint32(0))}, {"attention.key_length": gguf.ValueOf(int32(-6))}, {"embedding_length": gguf.ValueOf(uint32(0))},
		{"attention.layer_norm_rms_epsilon": gguf.ValueOf(float32(math.NaN()))}, {"rope.freq_base": gguf.ValueOf(float32(math.Inf(1)))},
		{"rope.scaling.type": gguf.ValueOf("yarn"), "rope.scaling.yarn_beta_slow": gguf.ValueOf(float32(math.NaN()))},
		{"rope.scaling.type": gguf.ValueOf("llama3"), "rope.scaling.factor": gguf.ValueOf(float32(8))}, {"rope.dimension_count": gguf.ValueOf(uint32(1 << 31))},
	} {
		b := tinyFile(f, tinyLlama(), bad)
		file, err := gguf.Parse("x", b)
		if err != nil {
			f.Fatal(err)
		}
		if c, err := ConfigFromGGUF(file); err == nil {
			f.Errorf("%v: read as %+v", bad, c)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Parse("fuzz", b)
		if err != nil {
			return
		}
		c, err := ConfigFromGGUF(file)
		if err != nil {
			return
		}
		sound(t, c)
	})
}
