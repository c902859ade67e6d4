// Package weights opens the stored tensors of a model, whatever file they lie in, and binds them to the shapes a
// model wants: everything that is missing, misshapen or left over is told in one error.
//
// Names are GGUF's ("blk.0.attn_q.weight"); names.go translates those of Hugging Face's safetensors. It does not
// know what a model computes. Open this file first.
package weights

import (
	"fmt"
	"sort"
	"strings"

	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// A Tensor is one stored tensor. Dims are outermost first: a matrix is [out, in].
type Tensor struct {
	Name string // GGUF's name
	Type quant.Type
	Dims []int
	Data []byte // as stored; gone when the source is closed
}

// Elements is the product of the dims.
func (t Tensor) Elements() int {
	n := 1
	for _, d := range t.Dims {
		n *= d
	}
	return n
}

// size is the length of Data, also where Describe left it out.
func (t Tensor) size() int {
	if t.Data != nil {
		return len(t.Data)
	}
	return t.Elements() / t.Type.BlockSize() * t.Type.BlockBytes()
}

// Floats decodes the whole tensor.
func (t Tensor) Floats() []float32 {
	dst := make([]float32, t.Elements())
	quant.Decode(t.Type, dst, t.Data)
	return dst
}

// Source gives tensors by GGUF's name.
type Source interface {
	Tensor(name string) (Tensor, bool)
	Names() []string // in the file's order
	Close() error
}

// Describe returns the tensor name of src without copying anything: Data is nil where the source would have to make it.
// Such a source has the method Describe, which one that wraps another has to forward.
func Describe(src Source, name string) (Tensor, bool) {
	if s, ok := src.(interface{ Describe(string) (Tensor, bool) }); ok {
		return s.Describe(name)
	}
	return src.Tensor(name)
}

// Headers is src for a Binder that is to compare names and shapes alone: no data is read, and no tensor it gives has any.
func Headers(src Source) Source { return headers{src} }

type headers struct{ Source }

func (h headers) Describe(name string) (Tensor, bool) { return Describe(h.Source, name) }

// A Binder looks tensors up for a model and remembers what did not fit.
type Binder struct {
	src    Source
	used   map[string]bool
	faults []string
}

// NewBinder returns a Binder over src.
func NewBinder(src Source) *Binder { return &Binder{src: src, used: map[string]bool{}} }

// Has says whether there is a tensor of that name.
func (b *Binder) Has(name string) bool {
	_, ok := Describe(b.src, name)
	return ok
}

// Tensor returns the tensor name of shape dims. If it is missing, has another shape or cannot be decoded, that is
// remembered for Err, and the result has no data: data that is there can be decoded.
func (b *Binder) Tensor(name string, dims ...int) Tensor {
	t, ok := Describe(b.src, name)
	b.used[name] = true
	if !ok {
		b.faults = append(b.faults, fmt.Sprintf("%s: missing, want shape %v", name, dims))
		return Tensor{Name: name}
	}
	if !fits(t.Dims, dims) {
		b.faults = append(b.faults, fmt.Sprintf("%s: shape %v, want %v", name, t.Dims, dims))
		return Tensor{Name: name}
	}
	if _, ok := b.src.(headers); ok {
		return Tensor{Name: name}
	}
	t, _ = b.src.Tensor(name)
	if err := t.Check(); err != nil {
		b.Fault(name, err)
		return Tensor{Name: name}
	}
	return t
}

// Check says why t cannot be decoded: sources give what a file says, and a file may say anything.
func (t Tensor) Check() error {
	if !t.Type.Known() {
		return fmt.Errorf("stored as %v, which cannot be decoded", gguf.Type(t.Type))
	}
	rows, row := t.Dims, 1
	if n := len(rows); n > 0 {
		rows, row = rows[:n-1], rows[n-1]
	}
	if block := t.Type.BlockSize(); row < 1 || row%block != 0 {
		return fmt.Errorf("rows of %d weights, %v wants a multiple of %d", row, t.Type, block)
	}
	// Divided, because a product could wrap around.
	left := len(t.Data)
	for _, d := range append([]int{t.Type.RowBytes(row)}, rows...) {
		if d < 1 || left%d != 0 {
			left = 0
			break
		}
		left /= d
	}
	if left != 1 {
		return fmt.Errorf("%d bytes of %v, which shape %v does not have", len(t.Data), t.Type, t.Dims)
	}
	return nil
}

// fits compares shapes; outermost ones may be left out on either side.
func fits(have, want []int) bool {
	for len(have) > len(want) && have[0] == 1 {
		have = have[1:]
	}
	for len(want) > len(have) && want[0] == 1 {
		want = want[1:]
	}
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if have[i] != want[i] {
			return false
		}
	}
	return true
}

// Fault remembers a complaint of the caller's.
func (b *Binder) Fault(name string, err error) {
	b.faults = append(b.faults, fmt.Sprintf("%s: %v", name, err))
}

// Ignore says that a tensor may be there without being used.
func (b *Binder) Ignore(name string) { b.used[name] = true }

const mostFaults = 20 // lines of an error; the rest is counted

// Err returns one error that lists every fault, and every tensor that nobody asked for.
func (b *Binder) Err() error {
	faults := b.faults
	for _, name := range b.src.Names() {
		if !b.used[name] {
			faults = append(faults, name+": not part of this architecture")
		}
	}
	return Faults(faults)
}

// Faults makes one error of all that does not fit, or nil of none. It sorts them.
func Faults(faults []string) error {
	if len(faults) == 0 {
		return nil
	}
	sort.Strings(faults)
	count, more := len(faults), ""
	if n := len(faults) - mostFaults; n > 0 {
		faults, more = faults[:mostFaults], fmt.Sprintf("\n  … and %d more", n)
	}
	return fmt.Errorf("weights: %d tensors do not fit:\n  %s%s", count, strings.Join(faults, "\n  "), more)
}
