// Package gguf reads and writes GGUF files, versions 2 and 3, little-endian: what llama.cpp, Ollama and most of the
// field keep quantized models in.
//
//	"GGUF" u32 version  u64 tensors  u64 pairs
//	pairs    × { key string, u32 kind, value }                      string: u64 length, bytes
//	tensors  × { name string, u32 dims, u64 … , u32 type, u64 offset }   the first dim is the row, contiguous in memory
//	zeros up to a multiple of general.alignment (32 where it is missing)
//	tensor data; each offset counts from here and is a multiple of the alignment
//
// A file is read with suspicion: every count, length, offset and product is checked against the bytes that are there
// before anything is sliced or allocated, so that no file makes the reader take more than a small multiple of its own
// size. The package does not know what a model is, nor how a quantized block is decoded (package quant).
//
// Open reader.go first, then metadata.go; writer.go is the way back. Source: docs/gguf.md of ggml.
package gguf

import (
	"errors"
	"fmt"
	"io"

	"retort/internal/format/mmap"
)

// Bounds on what a file may say. Each is far above every model known and far below what would hurt.
const (
	maxDims         = 4       // ggml's tensors have no more
	maxTensors      = 1 << 20 // DeepSeek-V3 with every expert apart: 58·256·3 and a few hundred
	maxPairs        = 1 << 16
	maxName         = 255     // ggml itself stops at 63
	maxKey          = 65535   // the specification's
	maxString       = 1 << 28 // a whole tokenizer.json fits
	maxElements     = 1 << 27
	maxNesting      = 4 // arrays in arrays
	minAlignment    = 8 // the specification's; keeps every element type aligned in memory
	maxAlignment    = 1 << 20
	defaultAlign    = 32
	alignmentKey    = "general.alignment"
	architectureKey = "general.architecture"
)

// A File is an opened GGUF file: its metadata and its tensors, both in the file's order. It is safe for concurrent use.
type File struct {
	Metadata
	Version   int // 2 or 3
	Alignment int // of tensor data, in bytes
	Tensors   []Tensor

	name    string
	byName  map[string]int
	mapping *mmap.File   // nil for a file in memory
	parts   []*mmap.File // of a model in parts: those of the others
}

// Open maps the file at path and reads its header. Of a model in parts the path is any part's: the others are found beside
// it by their names, and what is returned is the whole model, with the metadata of the first. Close it when no tensor is
// needed any more.
func Open(path string) (*File, error) {
	f, err := openOne(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	whole, err := f.join(path)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	return whole, nil
}

// openOne maps and reads one file, part or whole.
func openOne(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := read(path, m.Bytes(), m)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Parse reads a file that is already in memory, such as an embedded one. The name is for errors. Data is kept, not
// copied.
func Parse(name string, data []byte) (*File, error) {
	f, err := read(name, data, nil)
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", name, err)
	}
	return f, nil
}

// Close unmaps the file and all parts. Tensor data and arrays may not be read after it.
func (f *File) Close() error {
	var errs []error
	for _, m := range append(f.parts, f.mapping) {
		if m != nil {
			errs = append(errs, m.Close())
		}
	}
	return errors.Join(errs...)
}

// Name is the path, of a model in parts that of the first, or the name given to Parse.
func (f *File) Name() string { return f.name }

// Architecture is general.architecture, which every model has: "llama", "qwen2", "deepseek2".
func (f *File) Architecture() (string, error) { return f.String(architectureKey) }

// Tensor finds a tensor by its name; nil if the file has none of that name.
func (f *File) Tensor(name string) *Tensor {
	i, ok := f.byName[name]
	if !ok {
		return nil
	}
	return &f.Tensors[i]
}

// A Tensor is one entry of a file's tensor table, checked: its bytes lie inside the file, aligned, and no other tensor
// has any of them.
type Tensor struct {
	Name   string
	Type   Type
	Dims   []int // Dims[0] is the row length: a [out, in] matrix is stored as Dims{in, out}
	Offset int64 // of the first byte, from the start of its file
	Size   int64 // in bytes

	data    []byte
	mapping *mmap.File
}

// Elements is the product of the dims.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// Data is the tensor's bytes in the mapping: read-only, aligned to the file's alignment (so at least 8), gone at Close.
// Should another process shorten the file, a touch faults (see package mmap); ReadAt does not.
func (t *Tensor) Data() []byte { return t.data }

// ReadAt is io.ReaderAt over the tensor's bytes. A file that was shortened meanwhile is an error.
func (t *Tensor) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("gguf: %s: offset %d is negative", t.Name, off)
	}
	if off >= t.Size {
		return 0, io.EOF
	}
	var n int
	if err := guard(t.mapping, func() { n = copy(p, t.data[off:]) }); err != nil {
		return 0, fmt.Errorf("gguf: %s: %w", t.Name, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// guard runs f so that a fault in m is an error; without a mapping nothing can fault.
func guard(m *mmap.File, f func()) error {
	if m == nil {
		f()
		return nil
	}
	return m.Guard(f)
}
