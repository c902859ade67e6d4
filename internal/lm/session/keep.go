package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/lm/model"
)

// SavePrompt writes what the cache holds of tokens, such as those of an answer and its prompt, into a file at path. A file
// there is replaced when all is written.
func (m *Model) SavePrompt(ctx context.Context, path string, tokens []int32) error {
	f, err := atomicfile.Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := m.engine.Save(ctx, tokens, f); err != nil {
		return err
	}
	return f.Commit()
}

// LoadPrompt reads what SavePrompt wrote, and returns how many tokens need not be computed any more where a prompt begins
// like them: none where there is no file yet. A file of another model, adapter, type of cache or machine is an error.
func (m *Model) LoadPrompt(ctx context.Context, path string) (tokens int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Dir(path)) // where none can be saved, that is told before anything is computed
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if tokens, err = m.engine.Restore(ctx, f); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return tokens, nil
}

// sampleBytes is how much of a tensor its fingerprint reads at three places, unless it has no more.
const sampleBytes = 4096

// fingerprint tells models apart without reading all of them: it is a hash of what decides how tensors are used, of each
// tensor's name, type and shape, and of some of its bytes. Whoever trains a model changes every tensor, or none.
type fingerprint struct{ hash.Hash }

// newFingerprint begins with the shape of a model.
func newFingerprint(c model.Config) fingerprint {
	p := fingerprint{sha256.New()}
	mla, moe := c.MLA, c.MoE
	c.MLA, c.MoE = nil, nil // an address is not what they say
	fmt.Fprintf(p, "%+v\n", c)
	if mla != nil {
		fmt.Fprintf(p, "%+v\n", *mla)
	}
	if moe != nil {
		fmt.Fprintf(p, "%+v\n", *moe)
	}
	return p
}

func (p fingerprint) tensor(name, typ string, dims []int, size int64, r io.ReaderAt) error {
	fmt.Fprintf(p, "%q %s %v\n", name, typ, dims)
	b := make([]byte, min(sampleBytes, size))
	for _, at := range []int64{0, (size - int64(len(b))) / 2, size - int64(len(b))} {
		if _, err := r.ReadAt(b, at); err != nil && err != io.EOF {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		p.Write(b)
	}
	return nil
}

func (p fingerprint) gguf(f *gguf.File) error {
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if err := p.tensor(t.Name, t.Type.String(), t.Dims, t.Size, t); err != nil {
			return err
		}
	}
	return nil
}

// safetensors adds the tensors of a folder or a file.
func (p fingerprint) safetensors(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if err := p.tensor(t.Name, string(t.DType), t.Shape, t.Size, t); err != nil {
			return err
		}
	}
	return nil
}

// adapter adds a PEFT adapter.
func (p fingerprint) adapter(dir string) error {
	b, err := atomicfile.ReadFile(filepath.Join(dir, model.AdapterConfigName), maxConfig)
	if err != nil {
		return err
	}
	p.Write(b)
	return p.safetensors(filepath.Join(dir, model.AdapterWeightsName))
}

func (p fingerprint) text() string { return hex.EncodeToString(p.Sum(nil)) }
