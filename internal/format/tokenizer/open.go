package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
)

// Names of the files of a folder that say how text becomes tokens.
const (
	FileName     = "tokenizer.json"
	GGUFName     = "tokenizer.gguf" // in its place where no tokenizer.json is certain: GGUF without tensors
	ConfigName   = "tokenizer_config.json"
	TemplateName = "chat_template.jinja"

	GenerationName = "generation_config.json"
	specialsName   = "special_tokens_map.json"
	modelName      = "config.json"
)

// FolderFiles are all of them but config.json, which is the model's.
var FolderFiles = []string{FileName, GGUFName, ConfigName, TemplateName, GenerationName, specialsName}

// What is read of a folder at most. The largest tokenizer.json in use have 35 MB, other files some 100 KB.
const (
	MaxFile   = 256 << 20
	maxConfig = 4 << 20
)

// TemplateKey is the chat template in GGUF metadata.
const TemplateKey = "tokenizer.chat_template"

// Files is what a model's files say of its text.
type Files struct {
	Tokenizer    *Tokenizer
	ChatTemplate string // Jinja; "" for none
}

// Open reads them from the model at path: a GGUF file, which may hold nothing else, a folder, or the tokenizer.json in one.
// A folder has tokenizer.json, or else tokenizer.gguf. Beside it, tokenizer_config.json, special_tokens_map.json,
// generation_config.json and config.json say which tokens are special and which end an answer.
func Open(path string) (*Files, error) {
	if filepath.Base(path) == FileName {
		return openFolder(filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return openFolder(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return FromGGUFFile(f)
}

// FromGGUFFile is Open of a file that is open; what it returns outlives the file.
func FromGGUFFile(f *gguf.File) (*Files, error) {
	t, err := FromGGUF(f)
	if err != nil {
		return nil, err
	}
	template, err := f.StringOr(TemplateKey, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return &Files{t, template}, nil
}

func openFolder(dir string) (*Files, error) {
	file, err := atomicfile.ReadFile(filepath.Join(dir, FileName), MaxFile)
	if made := filepath.Join(dir, GGUFName); errors.Is(err, fs.ErrNotExist) && exists(made) {
		return Open(made)
	}
	if err != nil {
		return nil, err
	}
	var beside hfBeside
	for _, x := range []struct {
		name string
		data *[]byte
	}{{ConfigName, &beside.config}, {specialsName, &beside.specials}, {GenerationName, &beside.generation}, {modelName, &beside.model}} {
		if *x.data, err = readOptional(dir, x.name); err != nil {
			return nil, err
		}
	}
	t, err := fromJSON(file, beside)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, FileName), err)
	}
	template, err := FolderTemplate(dir)
	if err != nil {
		return nil, err
	}
	return &Files{t, template}, nil
}

// FolderTemplate returns the chat template of a model's folder, "" for none: chat_template.jinja, or the one in
// tokenizer_config.json, or in tokenizer.gguf. It wants no vocabulary that can be read.
func FolderTemplate(dir string) (string, error) {
	if b, err := readOptional(dir, TemplateName); err != nil || b != nil {
		return string(b), err
	}
	b, err := readOptional(dir, ConfigName)
	if err != nil {
		return "", err
	}
	if b != nil {
		template, err := configTemplate(b)
		if err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Join(dir, ConfigName), err)
		}
		return template, nil
	}
	made := filepath.Join(dir, GGUFName)
	if !exists(made) {
		return "", nil
	}
	f, err := Open(made)
	if err != nil {
		return "", err
	}
	return f.ChatTemplate, nil
}

// configTemplate reads chat_template of a tokenizer_config.json: a text, or the list that older models bring.
func configTemplate(config []byte) (string, error) {
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return "", err
	}
	var one string
	if len(c.Template) == 0 || json.Unmarshal(c.Template, &one) == nil {
		return one, nil
	}
	var several []struct{ Name, Template string }
	if err := json.Unmarshal(c.Template, &several); err != nil {
		return "", errors.New("chat_template is neither a text nor a list")
	}
	for _, t := range several {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

// readOptional reads a small file of a folder; a missing one is nil.
func readOptional(dir, name string) ([]byte, error) {
	b, err := atomicfile.ReadFile(filepath.Join(dir, name), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
