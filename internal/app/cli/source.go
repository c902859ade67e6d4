package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	return &source{Source: src, md: md, layout: weights.Layout{Layers: c.Layers}, rope: rope}, nil
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

// keptKey is the object in config.json with what a GGUF file says of its model and no key of transformers does: name,
// license, and of a student which training it is the end of. transformers pass it over.
const keptKey = "retort_metadata"

// keptBytes bounds what is kept, so that config.json stays one that is read: a value beyond is left out.
const keptBytes = 64 << 10

// isKept says whether the text under key goes into a folder and back: all of it that the folder does not say otherwise.
func isKept(key string) bool {
	switch key {
	case "general.architecture", "general.alignment", "general.file_type", "general.quantization_version":
		return false
	}
	return strings.HasPrefix(key, "general.") || strings.HasPrefix(key, "retort.")
}

// keepMetadata adds to config.json in dir what restoreMetadata reads there.
func keepMetadata(dir string, md *gguf.Metadata) error {
	kept, left := map[string]string{}, keptBytes
	for key := range md.All() {
		if text, err := md.String(key); err == nil && isKept(key) && len(key)+len(text) <= left {
			kept[key] = text
			left -= len(key) + len(text)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	path := filepath.Join(dir, model.ConfigName)
	b, err := readBounded(path, maxConfig)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(b, &config); err != nil {
		return err
	}
	if config[keptKey], err = json.Marshal(kept); err != nil {
		return err
	}
	if b, err = json.MarshalIndent(config, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o666)
}

// restoreMetadata sets in md what keepMetadata wrote into the config.json of the folder at path.
func restoreMetadata(md *gguf.Metadata, path string, config []byte) error {
	var c struct {
		Kept map[string]string `json:"retort_metadata"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("%s: %s: %w", path, model.ConfigName, err)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Kept)) {
		if isKept(key) {
			md.Set(key, gguf.ValueOf(c.Kept[key]))
		}
	}
	return nil
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
