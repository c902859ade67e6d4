package model

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
)

// everyLoad is every purpose that a model is loaded for.
var everyLoad = map[string]LoadOptions{"answer": {}, "train": {Train: true}, "lora": {LoRA: &LoRAConfig{Rank: 2, Alpha: 2}}}

// inMemory returns the tensors of a model of shape c as a file has them.
func inMemory(t testing.TB, c Config) memory {
	src := memory{}
	for _, p := range lively(t, c, 9).Params() {
		src[p.Name] = storedOf(p)
	}
	return src
}

// TestTypesThatCannotBeDecoded: whatever tensor has one, loading tells its name, for whatever purpose.
func TestTypesThatCannotBeDecoded(t *testing.T) {
	for shape, c := range everyShape() {
		src := inMemory(t, c)
		for _, name := range src.Names() {
			good := src[name]
			bad := good
			bad.Type = quant.Type(gguf.I32)
			src[name] = bad
			for purpose, opts := range everyLoad {
				m, err := Bind(c, src, opts)
				if err == nil {
					m.Close()
				}
				if err == nil || !strings.Contains(err.Error(), name+": stored as I32, which cannot be decoded") {
					t.Errorf("%s: %s as I32, to %s: %v", shape, name, purpose, err)
				}
			}
			src[name] = good
		}
	}
}

// TestRopeFreqsType: divisors that cannot be read are not the same as none.
func TestRopeFreqsType(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	c := everyStretch()["llama3"]
	if err := lively(t, c, 1).WriteGGUF(context.Background(), path, c.Metadata("x"), quant.F32); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = withType(t, b, ropeFreqs, gguf.I32)
	f, err := gguf.Parse("x", b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ConfigFromGGUF(f); err == nil || !strings.Contains(err.Error(), "rope_freqs.weight is stored as I32, want F32") {
		t.Errorf("%v", err)
	}
}

// withType returns the GGUF file b whose table says that the tensor name is stored as typ, of elements as large.
func withType(t testing.TB, b []byte, name string, typ gguf.Type) []byte {
	f, err := gguf.Parse("x", b)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), name) + len(name) + 4 + 8*len(f.Tensor(name).Dims)
	b = slices.Clone(b)
	b[at] = byte(typ)
	return b
}

// loadAndAnswer loads a model with f for every purpose. What loads answers.
func loadAndAnswer(t *testing.T, load func(LoadOptions) (*Model, error)) {
	for _, opts := range everyLoad {
		m, err := load(opts)
		if err != nil {
			continue
		}
		tokens := []int32{0, int32(m.Config.Vocab - 1), 0}
		p := &op.Pass{Run: newRun(t), Batch: batch(tokens, 0, nil)}
		if got := m.Logits(p, []int{2}); len(got.Data) != m.Config.Vocab {
			t.Errorf("%d logits of a vocabulary of %d", len(got.Data), m.Config.Vocab)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzLoadGGUF: a file is refused, or makes a model that answers.
func FuzzLoadGGUF(f *testing.F) {
	for _, c := range everyShape() {
		for _, typ := range []quant.Type{quant.F32, quant.BF16} {
			path := filepath.Join(f.TempDir(), "x.gguf")
			if err := lively(f, c, 5).WriteGGUF(context.Background(), path, c.Metadata("x"), typ); err != nil {
				f.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			if typ == quant.F32 {
				f.Add(withType(f, b, "output_norm.weight", gguf.I32))
				f.Add(withType(f, b, "token_embd.weight", gguf.I32))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gguf.Parse("fuzz", b)
		if err != nil {
			return
		}
		loadAndAnswer(t, func(opts LoadOptions) (*Model, error) { return FromGGUF(file, opts) })
	})
}

// FuzzLoadSafetensors: the same for a folder's two files.
func FuzzLoadSafetensors(f *testing.F) {
	for _, c := range everyShape() {
		dir := filepath.Join(f.TempDir(), "x")
		if err := lively(f, c, 5).WriteSafetensors(context.Background(), dir, quant.BF16); err != nil {
			f.Fatal(err)
		}
		config, err1 := os.ReadFile(filepath.Join(dir, ConfigName))
		b, err2 := os.ReadFile(filepath.Join(dir, safetensors.SingleName))
		if err1 != nil || err2 != nil {
			f.Fatal(err1, err2)
		}
		f.Add(config, b)
	}
	f.Fuzz(func(t *testing.T, config, b []byte) {
		if !json.Valid(config) {
			return
		}
		c, err := ConfigFromJSON(config)
		if err != nil {
			return
		}
		file, err := safetensors.Parse("fuzz", b)
		if err != nil {
			return
		}
		loadAndAnswer(t, func(opts LoadOptions) (*Model, error) { return FromSafetensors(file, c, opts) })
	})
}
