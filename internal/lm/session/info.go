package session

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/model"
)

// Info is what a model's files say of it. A figure they do not give is 0, a text "".
type Info struct {
	Path         string    `json:"path"`
	Name         string    `json:"name,omitempty"` // as the file calls it
	Architecture string    `json:"architecture"`
	Parameters   int64     `json:"parameters"`
	Size         int64     `json:"size"`    // bytes of tensors
	Tensors      []Share   `json:"tensors"` // by stored type, the most bytes first
	Context      int       `json:"context_length,omitempty"`
	Width        int       `json:"embedding_length,omitempty"`
	Layers       int       `json:"block_count,omitempty"`
	Heads        int       `json:"head_count,omitempty"`
	KVHeads      int       `json:"head_count_kv,omitempty"`
	Tokenizer    string    `json:"tokenizer,omitempty"`
	Vocabulary   int       `json:"vocabulary,omitempty"`
	Template     *Template `json:"chat_template"` // nil where there is none
	License      string    `json:"license,omitempty"`
}

// Share is how much of a model is stored in one way.
type Share struct {
	Type       string `json:"type"`
	Count      int    `json:"count"`
	Parameters int64  `json:"parameters"`
	Size       int64  `json:"size"`
}

// Template is a chat template.
type Template struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
	Text   string `json:"-"`
}

// maxConfig bounds a folder's config.json; the largest in use have some 100 KB.
const maxConfig = 4 << 20

// Type is how most of the model's bytes are stored.
func (i *Info) Type() string {
	if len(i.Tensors) == 0 {
		return ""
	}
	return i.Tensors[0].Type
}

// Describe reads the heads of the files of the model at path. Unlike Look it also reads what cannot run.
func Describe(path string) (Info, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		return infoOfFolder(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	info := infoOfFile(f)
	info.Path = path
	return info, nil
}

// infoOfFile describes an open file. A key that is missing or of another type is left out.
func infoOfFile(f *gguf.File) Info {
	i := Info{Path: f.Name()}
	text := func(key string) string { s, _ := f.StringOr(key, ""); return strings.Clone(s) }
	i.Architecture = text("general.architecture")
	number := func(key string) int { n, _ := f.IntOr(i.Architecture+"."+key, 0); return n }
	var tensors shares
	for k := range f.Tensors {
		t := &f.Tensors[k]
		tensors.add(t.Type.String(), int64(t.Elements()), t.Size)
	}
	i.Name, i.License = text("general.name"), text("general.license")
	i.Context, i.Width, i.Layers = number("context_length"), number("embedding_length"), number("block_count")
	i.Heads, i.KVHeads = number("attention.head_count"), number("attention.head_count_kv")
	i.Tokenizer = strings.TrimSuffix(text("tokenizer.ggml.model")+" "+text("tokenizer.ggml.pre"), " ")
	if v, ok := f.Value("tokenizer.ggml.tokens"); ok {
		i.Vocabulary = v.Len()
	}
	i.finish(tensors, text("tokenizer.chat_template"))
	return i
}

func infoOfFolder(path string) (Info, error) {
	i := Info{Path: path}
	f, err := safetensors.Open(path)
	if err != nil {
		return i, err
	}
	defer f.Close()
	var tensors shares
	for k := range f.Tensors {
		t := &f.Tensors[k]
		tensors.add(string(t.DType), int64(t.Elements()), t.Size)
	}
	var config struct {
		Arch    string `json:"model_type"`
		Context int    `json:"max_position_embeddings"`
		Width   int    `json:"hidden_size"`
		Layers  int    `json:"num_hidden_layers"`
		Heads   int    `json:"num_attention_heads"`
		KVHeads int    `json:"num_key_value_heads"`
		Vocab   int    `json:"vocab_size"`
	}
	b, err := atomicfile.ReadFile(filepath.Join(path, model.ConfigName), maxConfig)
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		return i, fmt.Errorf("%s: %s: %w", path, model.ConfigName, err)
	}
	i.Architecture, i.Context, i.Width, i.Layers = config.Arch, config.Context, config.Width, config.Layers
	i.Heads, i.KVHeads, i.Vocabulary = config.Heads, config.KVHeads, config.Vocab
	if _, err := os.Stat(filepath.Join(path, tokenizer.FileName)); err == nil {
		i.Tokenizer = tokenizer.FileName
	}
	template, err := tokenizer.FolderTemplate(path)
	if err != nil {
		return i, err
	}
	i.finish(tensors, template)
	return i, nil
}

// finish adds what is counted and hashed.
func (i *Info) finish(s shares, template string) {
	sort.SliceStable(s.list, func(a, b int) bool { return s.list[a].Size > s.list[b].Size })
	i.Tensors, i.Parameters, i.Size = s.list, s.parameters, s.size
	if template != "" {
		sum := sha256.Sum256([]byte(template))
		i.Template = &Template{len(template), hex.EncodeToString(sum[:]), template}
	}
}

// shares adds up tensors by type.
type shares struct {
	list             []Share
	parameters, size int64
}

func (s *shares) add(typ string, params, size int64) {
	s.parameters, s.size = s.parameters+params, s.size+size
	for i := range s.list {
		if x := &s.list[i]; x.Type == typ {
			x.Count, x.Parameters, x.Size = x.Count+1, x.Parameters+params, x.Size+size
			return
		}
	}
	s.list = append(s.list, Share{typ, 1, params, size})
}
