package gguf

import (
	"path/filepath"
	"testing"

	"retort/internal/numtest"
)

// What the files of shared/data/vocabs say, by llama.cpp's gguf-py.
func TestVocabularies(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(numtest.Shared(t, "data/vocabs"), "*.gguf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vocabularies: %v", err)
	}
	for _, path := range files {
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		tokens, err := f.Strings("tokenizer.ggml.tokens")
		if err != nil || len(tokens) < 30_000 {
			t.Errorf("%s: %d tokens, error %v", path, len(tokens), err)
		}
		t.Log(filepath.Base(path), f.Version, f.Len(), len(f.Tensors), len(tokens))
		f.Close()
	}
}

func TestRealModels(t *testing.T) {
	for _, name := range []string{"smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"} {
		f, err := Open(numtest.Model(t, name))
		if err != nil {
			t.Error(err)
			continue
		}
		arch, err := f.Architecture()
		t.Log(name, arch, err, f.Version, f.Len(), len(f.Tensors), f.Tensors[0].Name, f.Tensors[0].Type, f.Tensors[0].Dims)
		f.Close()
	}
}
