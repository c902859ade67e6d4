package convert

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/tokenizer"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

// source is a model to be written in another form: its tensors under GGUF's names, and all else that a GGUF file says.
type source struct {
	weights.Source
	md     *gguf.Metadata
	layout weights.Layout
	rope   *weights.Tensor // what a GGUF file has beside the tensors of a folder, or nil
	model  *model.Config   // nil of an architecture that no model here has
	folder string          // the folder, "" of a GGUF file
	config []byte          // its config.json
}

// Tensor is that of the files, or the one that config.json stands for.
func (s *source) Tensor(name string) (weights.Tensor, bool) {
	if s.rope != nil && name == s.rope.Name {
		return *s.rope, true
	}
	return s.Source.Tensor(name)
}

// Describe is Tensor without a copy of the data.
func (s *source) Describe(name string) (weights.Tensor, bool) {
	if s.rope != nil && name == s.rope.Name {
		return *s.rope, true
	}
	return weights.Describe(s.Source, name)
}

// Names are those of the files, and of the tensor that config.json stands for.
func (s *source) Names() []string {
	if s.rope == nil {
		return s.Source.Names()
	}
	return append(slices.Clip(s.Source.Names()), s.rope.Name)
}

// openSource opens the model at path, a GGUF file or a folder with config.json and safetensors, with the PEFT adapter in the
// folder adapter merged into it, "" for none.
func openSource(path, adapter string) (*source, error) {
	open := openGGUF
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		open = openFolder
	}
	s, err := open(path)
	if err != nil {
		return nil, err
	}
	_, ok := weights.Describe(s, "output.weight")
	s.layout.Tied = !ok
	if err = s.padVocabulary(); err == nil && adapter != "" {
		err = s.merge(adapter)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// padVocabulary gives the vocabulary as many tokens as the embedding has rows.
func (s *source) padVocabulary() error {
	t, ok := weights.Describe(s, "token_embd.weight")
	if !ok || len(t.Dims) != 2 { // a vocabulary alone
		return nil
	}
	return tokenizer.PadMetadata(s.md, t.Dims[0])
}

// merge puts the adapter in the folder dir into the tensors.
func (s *source) merge(dir string) error {
	if s.model == nil {
		return fmt.Errorf("an adapter cannot be merged into a model of an architecture that is not supported")
	}
	merged, err := model.MergeAdapter(s.Source, *s.model, dir)
	if err == nil {
		s.Source = merged
	}
	return err
}

// openGGUF opens a GGUF file. One of an architecture that no model here has is taken as it is.
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
	if err == nil && model.Supports(arch) {
		var c model.Config
		if c, err = model.ConfigFromGGUF(f); err == nil {
			s.model, err = &c, complete(c, s.Source)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func openFolder(path string) (*source, error) {
	b, err := atomicfile.ReadFile(filepath.Join(path, model.ConfigName), maxConfig)
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
	md, err := folderMetadata(path, b, c)
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
	if err == nil {
		err = complete(c, src)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &source{Source: src, md: md, layout: weights.Layout{Layers: c.Layers}, rope: rope, model: &c, folder: path, config: b}, nil
}

// Metadata returns what ToGGUF says before the tensors of the model in the folder dir: its shape, its vocabulary with a token
// for every row of the embedding, its template. A folder that ToGGUF refuses is an error.
func Metadata(dir string) (*gguf.Metadata, error) {
	s, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.padVocabulary(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s.md, nil
}

// complete says what of a model is missing, left over or misshapen in src, of which it reads the headers alone: a file made
// of that would be of no use.
func complete(c model.Config, src weights.Source) error {
	m, err := model.Bind(c, weights.Headers(src), model.LoadOptions{})
	if err != nil {
		return err
	}
	return m.Close()
}

// folderMetadata says of a folder's model what a GGUF file says before its tensors.
func folderMetadata(path string, config []byte, c model.Config) (*gguf.Metadata, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	md := c.Metadata(filepath.Base(abs))
	if err := restoreMetadata(md, path, config); err != nil {
		return nil, err
	}
	files, err := tokenizer.Open(path)
	if err != nil {
		return nil, err
	}
	if err := files.Tokenizer.SetMetadata(md); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if files.ChatTemplate != "" {
		md.Set(tokenizer.TemplateKey, gguf.ValueOf(files.ChatTemplate))
	}
	return md, nil
}
