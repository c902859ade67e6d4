package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/format/tokenizer"
	"retort/internal/learn/teacher"
	"retort/internal/lm/convert"
	"retort/internal/lm/model"
)

// Source opens a model: one on disk, or one that the program holds.
type Source struct {
	Name    string
	Path    string                                       // of a GGUF file, any part of one in parts, or a folder; or empty
	Open    func() (f *gguf.File, sum string, err error) // of an embedded one
	Adapter string                                       // the folder of a PEFT adapter that it answers with; or empty
	Note    string                                       // told in the report: where it comes from
}

// name is how reports call the model.
func (s Source) name() string {
	name := s.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(s.Path), ".gguf")
	}
	if s.Adapter != "" {
		name += " + " + filepath.Base(s.Adapter)
	}
	return name
}

// folder says whether the model is a folder.
func (s Source) folder() bool {
	info, err := os.Stat(s.Path)
	return s.Open == nil && err == nil && info.IsDir()
}

// file opens the GGUF file of a model that is no folder.
func (s Source) file() (*gguf.File, error) {
	if s.Open == nil {
		return gguf.Open(s.Path)
	}
	f, _, err := s.Open()
	return f, err
}

// source is what is known of a model without its weights.
type source struct {
	Source
	sum  string // names its answers: of all files that decide them
	form *teacher.Form
}

// source reads what a model is.
func (r *run) source(s Source) (source, error) {
	sum, err := r.sum(s)
	if err != nil {
		return source{}, err
	}
	if s.folder() {
		form, err := teacher.Look(s.Path)
		return source{s, sum, form}, err
	}
	f, err := s.file()
	if err != nil {
		return source{}, err
	}
	defer f.Close()
	form, err := teacher.LookFile(f)
	return source{s, sum, form}, err
}

// open loads a model of the run to answer width questions at a time, the longest of which needs room tokens.
func (r *run) open(ctx context.Context, s source, width, room int) (*teacher.Local, error) {
	sum, err := r.sum(s.Source)
	if err != nil {
		return nil, err
	}
	if sum != s.sum {
		return nil, fmt.Errorf("%s has changed while it was in use", s.name())
	}
	o := teacher.Options{Adapter: s.Adapter, Threads: r.o.Threads, Width: width, Room: room}
	if s.folder() {
		return teacher.Open(ctx, s.Path, o)
	}
	f, err := s.file()
	if err != nil {
		return nil, err
	}
	return teacher.OpenFile(ctx, f, o)
}

// learns refuses a student that could not be trained and written.
func (s source) learns() error {
	tok := s.form.Tokenizer
	switch n := tok.Vocab(); {
	case s.Adapter != "":
		return errors.New("an adapter goes with answers alone: merge it into the model first")
	case tok.EOS < 0:
		return errors.New("its tokenizer names no token that ends a text (tokenizer.ggml.eos_token_id, or eos_token of a folder): it could not learn to end an answer")
	case n > s.form.Rows:
		return fmt.Errorf("its tokenizer has %d tokens, want %d at most: the rows of its embedding", n, s.form.Rows)
	}
	if s.folder() {
		_, err := convert.Metadata(s.Path)
		return err
	}
	return nil
}

// sum names a model's answers. That of a single file is its SHA-256; that of several files the SHA-256 of what sha256sum
// says of them, in order and by the names that they have for a model.
func (r *run) sum(s Source) (string, error) {
	var sums []string
	if s.Open != nil {
		f, sum, err := s.Open()
		if err != nil {
			return "", err
		}
		f.Close()
		sums = append(sums, sum+"  model.gguf\n")
	}
	parts, err := s.parts()
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		sum, err := r.state.hash(p.path)
		if err != nil && strings.HasPrefix(p.name, adapterParts) {
			err = fmt.Errorf("adapter %s, want a folder with %s and %s: %w", s.Adapter, model.AdapterConfigName, model.AdapterWeightsName, err)
		}
		if err != nil {
			return "", err
		}
		sums = append(sums, sum+"  "+p.name+"\n")
	}
	if len(sums) == 1 {
		sum, _, _ := strings.Cut(sums[0], " ")
		return sum, nil
	}
	sum := sha256.Sum256([]byte(strings.Join(sums, "")))
	return hex.EncodeToString(sum[:]), nil
}

// part is a file that decides what a model answers.
type part struct{ name, path string }

// adapterParts is the folder of an adapter's parts.
const adapterParts = "adapter/"

// parts lists those of s that are on disk.
func (s Source) parts() (list []part, err error) {
	switch {
	case s.Open != nil:
	case s.folder():
		list, err = folderParts(s.Path)
	default:
		list = fileParts(s.Path)
	}
	if s.Adapter != "" && err == nil {
		for _, name := range []string{model.AdapterConfigName, model.AdapterWeightsName} {
			list = append(list, part{adapterParts + name, filepath.Join(s.Adapter, name)})
		}
	}
	return list, err
}

// fileParts are a GGUF file, or all parts of the one that it is a part of: whichever was named, and whatever they are called.
func fileParts(path string) (list []part) {
	paths, _ := gguf.Parts(path)
	for i, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return []part{{"model.gguf", path}} // a whole file of such a name, or one that will not open
		}
		list = append(list, part{fmt.Sprintf("model-%05d-of-%05d.gguf", i+1, len(paths)), p})
	}
	if list == nil {
		list = []part{{"model.gguf", path}}
	}
	return list
}

// folderParts are a folder's configuration, vocabulary and weights.
func folderParts(dir string) (list []part, err error) {
	names := append([]string{model.ConfigName}, tokenizer.FolderFiles...)
	if _, err := os.Stat(filepath.Join(dir, safetensors.SingleName)); err == nil {
		names = append(names, safetensors.SingleName)
	} else {
		found, err := os.ReadDir(dir) // sorted
		if err != nil {
			return nil, err
		}
		names = append(names, safetensors.IndexName)
		for _, f := range found {
			if strings.HasSuffix(f.Name(), ".safetensors") {
				names = append(names, f.Name())
			}
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		list = append(list, part{name, path})
	}
	return list, nil
}
