// Package safetensors reads and writes safetensors files, the form in which models are published for training, alone or
// as shards with an index.
//
//	u64 N, little-endian
//	N bytes of JSON: {"__metadata__": {string: string}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}, …}
//	tensor data; offsets count from here, and the tensors cover it without gap or overlap
//
// A file is read with suspicion: at least as strictly as the reference library (Rust crate and Python package
// safetensors), and duplicate names, unknown fields and dtypes that we cannot use are refused besides. Pickle files
// (.bin, .pt) are refused: loading one means running it.
//
// Open header.go for the single file, shards.go for the index, writer.go for the way back. What the dtypes' bytes mean
// is package quant's business.
package safetensors

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"retort/internal/format/mmap"
)

// Names of the field for a model's files in its folder.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// Bounds on what a file may say.
const (
	maxHeader = 100_000_000 // the reference library's
	maxRank   = 8
	maxShards = 4096
)

// A DType is an element type, by the name that files use.
type DType string

const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U8     DType = "U8"
	BOOL   DType = "BOOL"
	F8E4M3 DType = "F8_E4M3" // e4m3fn: no infinity, largest 448
	F8E5M2 DType = "F8_E5M2"
	F8E8M0 DType = "F8_E8M0" // a power of two: scales of FP8 blocks
)

// Size is the bytes of one element, 0 for a dtype that is not known.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16, I16:
		return 2
	case I8, U8, BOOL, F8E4M3, F8E5M2, F8E8M0:
		return 1
	}
	return 0
}

// A File is an opened model: one file or all shards of an index. It is safe for concurrent use.
type File struct {
	// Metadata is the free text that the writer left, such as "format": "pt"; with shards that of the first.
	Metadata map[string]string
	// Tensors are in the order of their bytes, with shards by shard name first.
	Tensors []Tensor

	name     string
	byName   map[string]int
	mappings []*mmap.File
}

// A Tensor is one entry of a header, checked: its bytes are there, and exactly as many as its shape needs.
type Tensor struct {
	Name   string
	DType  DType
	Shape  []int // outermost first: a [out, in] matrix is Shape{out, in}; empty for a scalar
	Offset int64 // of the first byte, from the start of its file
	Size   int64 // in bytes; 0 if a dim is 0

	data    []byte
	mapping *mmap.File
}

// Open opens a model: a file, an index (a name that ends in .index.json), or a folder that holds model.safetensors or
// else model.safetensors.index.json. Close it when no tensor is needed any more.
func Open(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if info.IsDir() {
		if path, err = findModel(path); err != nil {
			return nil, fmt.Errorf("safetensors: %w", err)
		}
	}
	f := &File{name: path, byName: make(map[string]int)}
	if strings.HasSuffix(path, ".index.json") {
		err = f.openShards(path)
	} else {
		err = f.openFile(path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

// findModel chooses as the reference loaders do: the single file first.
func findModel(dir string) (string, error) {
	for _, name := range []string{SingleName, IndexName} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	for _, pattern := range []string{"*.bin", "*.pt", "*.pth"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); found != nil {
			return "", fmt.Errorf("%s: %w; has no %s", found[0], errPickle, SingleName)
		}
	}
	return "", fmt.Errorf("%s: has neither %s nor %s", dir, SingleName, IndexName)
}

var errPickle = errors.New("pickled weights are not read, since loading them means running them: convert them to safetensors")

// openFile maps one file and appends its tensors.
func (f *File) openFile(path string) error {
	m, err := mmap.Open(path)
	if err != nil {
		return err
	}
	f.mappings = append(f.mappings, m)
	if fault := m.Guard(func() { err = f.parse(m.Bytes(), m) }); fault != nil {
		err = fault
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Parse reads a single file that is already in memory. The name is for errors. Data is kept, not copied.
func Parse(name string, data []byte) (*File, error) {
	f := &File{name: name, byName: make(map[string]int)}
	if err := f.parse(data, nil); err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", name, err)
	}
	return f, nil
}

// Close unmaps the files. Tensor data may not be read after it.
func (f *File) Close() error {
	var errs []error
	for _, m := range f.mappings {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// Name is the path that was opened (in a folder, the file found there), or the name given to Parse.
func (f *File) Name() string { return f.name }

// Tensor finds a tensor by its name; nil if there is none of that name.
func (f *File) Tensor(name string) *Tensor {
	i, ok := f.byName[name]
	if !ok {
		return nil
	}
	return &f.Tensors[i]
}

// Elements is the product of the shape.
func (t *Tensor) Elements() int { return int(t.Size) / t.DType.Size() }

// Data is the tensor's bytes in the mapping: read-only, little-endian, gone at Close, and of any alignment, since the
// format promises none. Should another process shorten the file, a touch faults (see package mmap); ReadAt does not.
func (t *Tensor) Data() []byte { return t.data }

// ReadAt is io.ReaderAt over the tensor's bytes. A file that was shortened meanwhile is an error.
func (t *Tensor) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("safetensors: %s: offset %d is negative", t.Name, off)
	}
	if off >= t.Size {
		return 0, io.EOF
	}
	if t.mapping == nil {
		n = copy(p, t.data[off:])
	} else if err := t.mapping.Guard(func() { n = copy(p, t.data[off:]) }); err != nil {
		return 0, fmt.Errorf("safetensors: %s: %w", t.Name, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
