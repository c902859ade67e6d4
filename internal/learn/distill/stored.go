package distill

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/convert"
	"retort/internal/lm/model"
)

// stored is a student before it learns, as it lies there.
type stored struct {
	file *gguf.File // nil of a folder
	path string     // of a folder
}

func openStored(s Source) (*stored, error) {
	if s.folder() {
		return &stored{path: s.Path}, nil
	}
	f, err := s.file()
	return &stored{file: f}, err
}

func (s *stored) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// load makes a model of it, which is to be closed first.
func (s *stored) load(o model.LoadOptions) (*model.Model, error) {
	if s.file == nil {
		return model.Load(s.path, o)
	}
	return model.FromGGUF(s.file, o)
}

// describe writes where the tensors of a file lie.
func (s *stored) describe(w io.Writer) {
	if s.file == nil {
		return
	}
	for i := range s.file.Tensors {
		t := &s.file.Tensors[i]
		fmt.Fprintf(w, "%s %v %d %v\n", t.Name, t.Dims, t.Offset, t.Type)
	}
}

// metadata is what a file of the same model with other weights says before its tensors. The vocabulary gets as many tokens
// as there are rows.
func (s *stored) metadata(rows int) (*gguf.Metadata, error) {
	if s.file == nil {
		return convert.Metadata(s.path)
	}
	md := &gguf.Metadata{}
	for k, v := range s.file.All() {
		md.Set(k, v)
	}
	return md, tokenizer.PadMetadata(md, rows)
}

// adapterNote is the file beside a student's adapter that says which training it is of.
const adapterNote = "retort.json"

// writeAdapter writes the part of low rank that m learned, for others' tools and as what eval knows again.
func writeAdapter(ctx context.Context, m *model.Model, dir, id string) error {
	if err := m.WriteAdapter(ctx, dir); err != nil {
		return err
	}
	b, err := json.Marshal(map[string]string{keyTraining: id})
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, adapterNote), append(b, '\n'))
}

// trainedHere says whether the model, or its adapter, is a student of this pipeline: the file says so, or that of the folder
// made of it.
func (s Source) trainedHere() bool {
	if s.Adapter != "" {
		if _, err := os.Stat(filepath.Join(s.Adapter, adapterNote)); err == nil {
			return true
		}
	}
	f, err := openStored(s)
	if err != nil {
		return false
	}
	defer f.close()
	var md *gguf.Metadata
	if f.file != nil {
		md = &f.file.Metadata
	} else if md, err = convert.Metadata(f.path); err != nil {
		return false
	}
	_, ok := md.Value(keyTraining)
	return ok
}
