package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

// source is a model to be written in another form: its tensors under GGUF's names, and all else that a GGUF file says.
type source struct {
	weights.Source
	md     *gguf.Metadata
	layout weights.Layout
	rope   *weights.Tensor // what a GGUF file has beside the tensors of a folder, or nil
}

// Tensor is that of the files, or the one that config.json stands for.
func (s *source) Tensor(name string) (weights.Tensor, bool) {
	if s.rope != nil && name == s.rope.Name {
		return *s.rope, true
	}
	return s.Source.Tensor(name)
}

// Names are those of the files, and of the tensor that config.json stands for.
func (s *source) Names() []string {
	if s.rope == nil {
		return s.Source.Names()
	}
	return append(slices.Clip(s.Source.Names()), s.rope.Name)
}

// openSource opens the model at path, a GGUF file or a folder with config.json and safetensors.
func openSource(path string) (*source, error) {
	open := openGGUF
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		open = openFolder
	}
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	_, ok := s.Tensor("output.weight")
	s.layout.Tied = !ok
	return s, nil
}

func openGGUF(path string) (*source, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	s := &source{Source: weights.FromGGUF(f), md: &f.Metadata}
	arch, err := f.Architecture()
	if err == nil {
		s.layout.Layers, err = f.Int(arch + ".block_count")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func openFolder(path string) (*source, error) {
	b, err := readBounded(filepath.Join(path, model.ConfigName), maxConfig)
	if err != nil {
		return nil, err
	}
	c, err := model.ConfigFromJSON(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	rope := c.RopeTensor()
	if rope != nil && c.Arch != "llama" { // llama.cpp refuses a file of another architecture for that tensor
		return nil, fmt.Errorf("%s: rope scaling %q of model_type %q has no form in GGUF, only that of llama has", path, c.Rope.Scaling, c.Arch)
	}
	md, err := folderMetadata(path, c)
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	l := weights.Layout{Arch: c.Arch, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, Tied: c.Tied}
	if c.MoE != nil {
		l.Experts = c.MoE.Experts
	}
	src, err := weights.FromSafetensors(f, l)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &source{Source: src, md: md, layout: weights.Layout{Layers: c.Layers}, rope: rope}, nil
}

// folderMetadata says of a folder's model what a GGUF file says before its tensors.
func folderMetadata(path string, c model.Config) (*gguf.Metadata, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	md := c.Metadata(filepath.Base(abs))
	tok, template, err := readFolderVocabulary(path)
	if err != nil {
		return nil, err
	}
	if err := tok.SetMetadata(md); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if template != "" {
		md.Set("tokenizer.chat_template", gguf.ValueOf(template))
	}
	return md, nil
}

// vocabularyName is the vocabulary in a folder that convert made of a GGUF file where that has no certain tokenizer.json:
// a GGUF file without tensors, as llama.cpp keeps vocabularies.
const vocabularyName = "tokenizer.gguf"

// writeVocabulary writes everything but the tensors of a model.
func writeVocabulary(ctx context.Context, path string, md *gguf.Metadata) error {
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	for key, v := range md.All() {
		w.Set(key, v)
	}
	return w.Commit(ctx)
}
