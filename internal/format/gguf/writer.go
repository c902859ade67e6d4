package gguf

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"retort/internal/format/atomicfile"
)

// maxNameWritten is the longest tensor name that llama.cpp loads.
const maxNameWritten = 63

// A Writer makes a GGUF file of version 3. First the metadata is Set and the tensors are added, in the order that the
// file shall have; then Commit writes all of it, asking each tensor for its bytes when its turn comes, so that a model
// larger than memory can be written. Until Commit has returned nil nothing stands under the final name.
//
//	w, err := gguf.Create(path)
//	…
//	defer w.Abort()
//	w.Set("general.architecture", gguf.ValueOf("llama"))
//	w.Add("output_norm.weight", gguf.F32, []int{576}, func(dst io.Writer) error { … })
//	return w.Commit(ctx)
type Writer struct {
	Metadata

	file    *atomicfile.File
	tensors []source
	names   map[string]bool
	end     uint64 // of the data so far, padded
	align   int    // fixed by the first Add
	err     error  // of the first bad Add
}

// A source is a tensor to come.
type source struct {
	Tensor // Offset counts from the start of the data
	write  func(io.Writer) error
}

// Create starts a file for path. It ends with Commit or Abort.
func Create(path string) (*Writer, error) {
	file, err := atomicfile.Create(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: create: %w", err)
	}
	return &Writer{file: file, names: make(map[string]bool)}, nil
}

// Add announces a tensor. Commit calls write, which must write exactly the bytes that typ and dims need; dims[0] is the
// row length. general.alignment, if it is to be other than 32, is Set before the first Add. A bad name, type or shape
// is reported by Commit.
func (w *Writer) Add(name string, typ Type, dims []int, write func(io.Writer) error) {
	if err := w.add(name, typ, dims, write); err != nil && w.err == nil {
		w.err = fmt.Errorf("tensor %q: %w", name, err)
	}
}

func (w *Writer) add(name string, typ Type, dims []int, write func(io.Writer) error) error {
	if w.align == 0 {
		align, err := w.alignment()
		if err != nil {
			return err
		}
		w.align = align
	}
	if err := checkName(name, maxNameWritten); err != nil {
		return err
	}
	if w.names[name] {
		return errors.New("is there twice")
	}
	wide := make([]uint64, len(dims))
	for i, d := range dims {
		if d <= 0 {
			return fmt.Errorf("dimensions %v: no element", dims)
		}
		wide[i] = uint64(d)
	}
	size, err := typ.size(wide)
	if err != nil {
		return err
	}
	padded := (size + uint64(w.align) - 1) &^ (uint64(w.align) - 1)
	if padded > math.MaxInt64-w.end {
		return errors.New("file would have more than 2^63 bytes")
	}
	w.names[name] = true
	t := Tensor{Name: name, Type: typ, Dims: append([]int(nil), dims...), Offset: int64(w.end), Size: int64(size)}
	w.tensors = append(w.tensors, source{t, write})
	w.end += padded
	return nil
}

// Abort gives up and removes what was written. After Commit it does nothing, so it can be deferred.
func (w *Writer) Abort() { w.file.Abort() }

// Commit writes the file, makes it durable and gives it its name. If ctx is cancelled it stops at the next write.
func (w *Writer) Commit(ctx context.Context) error {
	if err := w.commit(ctx); err != nil {
		w.file.Abort()
		return fmt.Errorf("gguf: write %s: %w", w.file.Path(), err)
	}
	return nil
}

func (w *Writer) commit(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	align, err := w.alignment()
	if err != nil {
		return err
	}
	if w.align != 0 && w.align != align {
		return fmt.Errorf("%s: became %d after tensors were added for %d", alignmentKey, align, w.align)
	}
	out := newOutput(ctx, w.file, align)
	if err := w.writeHeader(out); err != nil {
		return err
	}
	for i := range w.tensors {
		t := &w.tensors[i]
		if err := out.tensor(t); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	if err := out.buf.Flush(); err != nil {
		return err
	}
	// What our own reader refuses (a value past a bound, arrays nested too deep) never gets its name.
	check, err := openOne(w.file.Name())
	if err != nil {
		return err
	}
	if err := check.Close(); err != nil {
		return err
	}
	return w.file.Commit()
}

// writeHeader writes everything before the first tensor's data, with the padding.
func (w *Writer) writeHeader(out *output) error {
	b := append([]byte(nil), "GGUF"...)
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(w.Len()))
	for key, v := range w.All() {
		if size := v.kind.size(); size != 0 && len(v.raw) != size {
			return fmt.Errorf("metadata %q: has no value", key)
		}
		var err error
		// An array may still lie in the file that it was read from.
		fault := guard(v.source, func() {
			b = appendString(b, key)
			b = binary.LittleEndian.AppendUint32(b, uint32(v.kind))
			switch v.kind {
			case String:
				b = binary.LittleEndian.AppendUint64(b, uint64(len(v.raw)))
			case Array:
				b = appendArrayHead(b, v)
			}
			_, err = out.Write(append(b, v.raw...))
		})
		if fault != nil {
			err = fault
		}
		if err != nil {
			return fmt.Errorf("metadata %q: %w", key, err)
		}
		b = b[:0]
	}
	for i := range w.tensors {
		t := &w.tensors[i]
		b = appendString(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Dims)))
		for _, d := range t.Dims {
			b = binary.LittleEndian.AppendUint64(b, uint64(d))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Type))
		b = binary.LittleEndian.AppendUint64(b, uint64(t.Offset))
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	if len(w.tensors) == 0 {
		return nil // as llama.cpp writes vocabularies
	}
	return out.pad()
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// An output counts the file's bytes.
type output struct {
	ctx   context.Context
	buf   *bufio.Writer
	n     int64
	align int64
}

func newOutput(ctx context.Context, w io.Writer, align int) *output {
	return &output{ctx: ctx, buf: bufio.NewWriterSize(w, 1<<20), align: int64(align)}
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.buf.Write(p)
	o.n += int64(n)
	return n, err
}

// pad fills up with zeros to the alignment.
func (o *output) pad() error {
	_, err := o.Write(make([]byte, -o.n&(o.align-1)))
	return err
}

// tensor writes one tensor's data and its padding.
func (o *output) tensor(t *source) error {
	if err := atomicfile.Section(o.ctx, o, t.Size, t.write); err != nil {
		return err
	}
	return o.pad()
}
