package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/model"
)

// Check opens a model as far as its headers: a GGUF file, all parts of one, or a folder with config.json and safetensors.
// It must be one that this program can run, which package model decides. It reads no weights.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return checkFolder(path)
	}
	_, names := shardsOf(filepath.Base(path))
	first := filepath.Join(filepath.Dir(path), names[0])
	if len(names) > 1 {
		if err := checkFirst(first, len(names)); err != nil {
			return err
		}
	}
	f, err := gguf.Open(first)
	if err != nil {
		return err
	}
	return errors.Join(runs(f, false), f.Close())
}

// runs reports why a GGUF file is no model that can be run. The first part of several may hold no tensors; it still says
// of which architecture the model is.
func runs(f *gguf.File, part bool) error {
	c, err := model.ConfigFromGGUF(f)
	if part && c.Arch != "" && f.Tensor("token_embd.weight") == nil {
		return nil
	}
	if v, ok := f.Value("tokenizer.ggml.tokens"); err == nil && ok {
		err = tooMany(v.Len(), c.Vocab)
	}
	return err
}

const (
	leastHead = 64 << 10
	mostHead  = 64 << 20 // the longest heads known, of 250,000 tokens and merges, have 20 MB
)

// judgeHead judges a GGUF file of size bytes, -1 if unknown, by the first of them. It is one of so many parts, by its name.
// known is false where more of the head is needed. A head that is broken is no error here: the file's hash may have more to
// say on it, and Check has the last word.
func judgeHead(name string, head []byte, size int64, parts int) (known bool, err error) {
	if size < 0 {
		size = math.MaxInt / 2
	}
	f, err := gguf.ParseHead(name, head, size)
	if errors.Is(err, gguf.ErrMore) {
		return false, nil
	}
	if err != nil {
		return true, nil
	}
	for _, t := range f.Tensors { // RoPE's tables are all that a config reads of the tensors' data
		if strings.HasPrefix(t.Name, "rope_") && t.Data() == nil {
			return false, nil
		}
	}
	if parts > 1 {
		count, err := f.IntOr("split.count", 1)
		if err != nil {
			return true, fmt.Errorf("%s: %w", name, err)
		}
		if count != parts {
			return true, fmt.Errorf("%s: says it is one of %d parts, its name says of %d", name, count, parts)
		}
	}
	return true, runs(f, parts > 1)
}

// checkFirst holds the first of several parts to the number that its name tells.
func checkFirst(path string, parts int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for n := int64(leastHead); ; n *= 4 {
		head := make([]byte, min(n, info.Size()))
		if _, err := f.ReadAt(head, 0); err != nil {
			return err
		}
		if known, err := judgeHead(filepath.Base(path), head, info.Size(), parts); known || n >= min(mostHead, info.Size()) {
			return err
		}
	}
}

// checkFolder opens a folder of safetensors.
func checkFolder(path string) error {
	names, err := folderFiles(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".json") {
			if err := checkJSON(filepath.Join(path, name)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(path, name)) }
	if err := checkPlanned(path, names, read); err != nil {
		return err
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return checkRows(path)
}

// checkRows demands a row of the embedding for each token of a folder. A vocabulary that cannot be read is no fault here.
func checkRows(path string) error {
	config, err := os.ReadFile(filepath.Join(path, model.ConfigName))
	if err != nil {
		return err
	}
	c, err := model.ConfigFromJSON(config)
	if err != nil {
		return err
	}
	files, err := tokenizer.Open(path)
	if err != nil {
		return nil
	}
	return tooMany(files.Tokenizer.Vocab(), c.Vocab)
}

// tooMany refuses a vocabulary of more tokens than there are rows.
func tooMany(tokens, rows int) error {
	if tokens > rows {
		return fmt.Errorf("its tokenizer has %d tokens, want %d at most: the rows of its embedding", tokens, rows)
	}
	return nil
}

// checkPlanned judges a folder by the names of its files and, of their contents, config.json and the index alone. where
// is for the errors.
func checkPlanned(where string, names []string, read func(name string) ([]byte, error)) error {
	config, err := read(model.ConfigName)
	if err == nil {
		_, err = model.ConfigFromJSON(config)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if slices.Contains(names, safetensors.SingleName) {
		return nil // the loaders read no index beside it
	}
	if !slices.Contains(names, safetensors.IndexName) {
		return fmt.Errorf("%s holds neither %s nor %s", where, safetensors.SingleName, safetensors.IndexName)
	}
	data, err := read(safetensors.IndexName)
	if err != nil {
		return err
	}
	var index struct {
		Files map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%s: %s: %w", where, safetensors.IndexName, err)
	}
	missing := map[string]bool{}
	for _, shard := range index.Files {
		if !slices.Contains(names, shard) {
			missing[shard] = true
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: %s names %s, which is not there", where, safetensors.IndexName, someOf(slices.Sorted(maps.Keys(missing))))
	}
	return nil
}

// someOf lists names for an error.
func someOf(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// maxJSON bounds tokenizer.json and its kind; the largest in use have 35 MB.
const maxJSON = 256 << 20

// checkJSON demands one JSON value.
func checkJSON(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxJSON {
		return fmt.Errorf("JSON of %d bytes, at most %d", info.Size(), maxJSON)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return fmt.Errorf("not JSON")
	}
	return nil
}
