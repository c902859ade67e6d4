// Package convert writes a model in another form: a GGUF file or a folder of safetensors as the other, or its matrices in
// other types. What it writes is whole or not there, and what it reads must be a whole model.
//
// It knows no store, no flags and no terminal. Open this file first, then source.go (what is read), folder.go and
// vocabulary.go (what a folder gets).
package convert

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"retort/internal/compute/par"
	"retort/internal/format/weights"
)

// Options say how a model is written, and who is told what.
type Options struct {
	Mixture weights.Mixture // how matrices are stored; the zero Mixture keeps their types
	Pool    *par.Pool
	Adapter string // the folder of a PEFT adapter that is merged into the model; "" for none. What it changes becomes F32, F16 or BF16

	Progress func(done, total int64, name string) // bytes of the source, and the tensor at hand; nil: nobody is told
	Twice    func(bytes int64)                    // before it starts, how much is quantized already and will be rounded again
	Note     func(text string)                    // what whoever uses the result should know
}

// ErrSame is of a model that would be written over itself.
var ErrSame = errors.New("is the source itself")

// ToGGUF writes the model at src, a GGUF file or a folder, as the GGUF file dst, which is there whole or not at all.
//
// The vocabulary gets as many tokens as the embedding has rows, since llama.cpp opens no other file: pads of type unused. A
// model with more tokens than rows, or without all tensors of its architecture, is refused; one of an architecture that no
// model here has is taken as it is.
func ToGGUF(ctx context.Context, src, dst string, o Options) error {
	if err := checkPlace(src, dst); err != nil {
		return err
	}
	s, err := openSource(src, o.Adapter)
	if err != nil {
		return err
	}
	defer s.Close()
	if twice := o.Mixture.Twice(s, s.layout); twice > 0 && o.Twice != nil {
		o.Twice(twice)
	}
	told := o.Progress
	if told == nil {
		told = func(int64, int64, string) {}
	}
	r := weights.Recoding{Source: s, Metadata: s.md, Layout: s.layout, Mixture: o.Mixture, Pool: o.Pool, Told: told}
	if err := r.WriteGGUF(ctx, dst); err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	return nil
}

// checkPlace refuses to write the model src to dst where that is the source itself or has no folder to be in.
func checkPlace(src, dst string) error {
	if _, err := os.Stat(filepath.Dir(dst)); err != nil {
		return fmt.Errorf("no folder for %s: %w", dst, err)
	}
	from, err := os.Stat(src)
	if err != nil {
		return err
	}
	if to, err := os.Stat(dst); err == nil && os.SameFile(from, to) {
		return fmt.Errorf("%s %w", dst, ErrSame)
	}
	return nil
}
