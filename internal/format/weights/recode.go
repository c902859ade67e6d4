package weights

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// Recoding is a model that is to be written in other types.
type Recoding struct {
	Source   Source
	Metadata *gguf.Metadata // of the new file, but for what the types decide
	Layout   Layout         // Layers and Tied count
	Mixture  Mixture
	Pool     *par.Pool
	Told     func(done, total int64, name string) // bytes of the source, and the tensor at hand
}

// WriteGGUF writes the model as the GGUF file at path, which is there whole or not at all, tensor by tensor, each with
// all workers. A number that its new type cannot hold is an error with its tensor and place, and so is one that is not
// finite, also in a tensor that is copied: a file with either is no model.
func (c Recoding) WriteGGUF(ctx context.Context, path string) error {
	out, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer out.Abort()
	for key, v := range c.Metadata.All() {
		if !strings.HasPrefix(key, "split.") { // parts become one file
			out.Set(key, v)
		}
	}
	out.Set("general.quantization_version", gguf.ValueOf(uint32(2)))
	total, done := int64(0), int64(0)
	for _, name := range c.Source.Names() {
		t, _ := Describe(c.Source, name)
		total += int64(t.size())
		want := c.Mixture.storedAs(t, c.Layout)
		if want != t.Type && !t.Type.Known() {
			return fmt.Errorf("%s is stored as %v, which cannot be decoded", name, gguf.Type(t.Type))
		}
		dims := slices.Clone(t.Dims)
		slices.Reverse(dims)
		out.Add(name, gguf.Type(want), dims, func(dst io.Writer) error {
			t, _ := c.Source.Tensor(name)
			r := recoder{from: t.Type, to: want, data: t.Data, pool: c.Pool, told: func(n int64) { c.Told(done+n, total, name) }}
			if len(dims) > 0 {
				r.row = dims[0]
			}
			err := r.write(ctx, dst)
			done += int64(len(t.Data))
			return err
		})
	}
	out.Set("general.file_type", gguf.ValueOf(c.Mixture.fileType(c.Source)))
	return out.Commit(ctx)
}

// Twice is how many bytes of src are quantized and would be rounded a second time.
func (m Mixture) Twice(src Source, in Layout) int64 {
	n := int64(0)
	for _, name := range src.Names() {
		if t, _ := Describe(src, name); m.storedAs(t, in) != t.Type && t.Type.Known() && t.Type.BlockSize() > 1 {
			n += int64(t.size())
		}
	}
	return n
}

// recoder writes a tensor in another type.
type recoder struct {
	from, to quant.Type
	row      int // weights
	data     []byte
	pool     *par.Pool
	told     func(done int64) // bytes of the source

	out     []byte // of the rows at hand, nil for a copy
	lo, hi  int    // rows at hand
	scratch [][]float32
	errs    []error // of the workers: each has a row's RangeError at most, the first that it met
}

// chunkWeights is how many weights are encoded before they are written: enough for all workers, few enough that a
// cancelled run ends soon.
const chunkWeights = 1 << 20

func (r *recoder) write(ctx context.Context, dst io.Writer) error {
	if !r.from.Known() {
		return r.copy(ctx, dst)
	}
	size := r.from.RowBytes(r.row)
	rows := len(r.data) / size
	step := max(1, chunkWeights/r.row)
	r.scratch, r.errs = make([][]float32, r.pool.Threads()), make([]error, r.pool.Threads())
	for i := range r.scratch {
		r.scratch[i] = make([]float32, r.row)
	}
	for r.lo = 0; r.lo < rows; r.lo = r.hi {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.hi = min(r.lo+step, rows)
		out := r.data[r.lo*size : r.hi*size]
		if r.from != r.to {
			r.out = append(r.out[:0], make([]byte, (r.hi-r.lo)*r.to.RowBytes(r.row))...)
			out = r.out
		}
		r.pool.Run(r, r.hi-r.lo)
		if err := r.firstError(); err != nil {
			return err
		}
		if _, err := dst.Write(out); err != nil {
			return err
		}
		r.told(int64(r.hi * size))
	}
	return nil
}

// Part encodes one row, or looks it through if it is copied.
func (r *recoder) Part(i, worker int) {
	from, to := r.from.RowBytes(r.row), r.to.RowBytes(r.row)
	values := r.scratch[worker]
	quant.Decode(r.from, values, r.data[(r.lo+i)*from:(r.lo+i+1)*from])
	var err error
	if r.from != r.to {
		err = quant.Encode(r.to, r.out[i*to:(i+1)*to], values)
	} else if at := quant.Finite(values); at >= 0 {
		err = &quant.RangeError{Type: r.to, Index: at, Value: values[at]}
	}
	r.note(err, r.lo+i, worker)
}

// note keeps the error of a row, whose index then counts from the tensor's start, unless the worker has one of a row before.
func (r *recoder) note(err error, row, worker int) {
	r.errs[worker] = earlier(r.errs[worker], quant.Behind(err, row*r.row))
}

// firstError returns the error of the earliest row.
func (r *recoder) firstError() (first error) {
	for _, err := range r.errs {
		first = earlier(first, err)
	}
	return first
}

// earlier returns the error of the earlier weight, so that which worker met it does not show.
func earlier(a, b error) error {
	var x, y *quant.RangeError
	if a == nil || errors.As(a, &x) && errors.As(b, &y) && y.Index < x.Index {
		return b
	}
	return a
}

// copy writes the tensor as it is, of a type that cannot be decoded.
func (r *recoder) copy(ctx context.Context, dst io.Writer) error {
	const chunk = 4 << 20
	for at := 0; at < len(r.data); at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+chunk, len(r.data))
		if _, err := dst.Write(r.data[at:end]); err != nil {
			return err
		}
		r.told(int64(end))
	}
	return nil
}
