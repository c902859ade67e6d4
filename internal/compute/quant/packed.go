package quant

import (
	"fmt"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// New returns the frozen weight [out, in] that data stores row by row as t. It lies in the Go heap; see Arena.New.
func New(t Type, data []byte, out, in int) (tensor.Weight, error) {
	return (*Arena)(nil).New(t, data, out, in)
}

// New returns the frozen weight [out, in] that data stores row by row as t, packed for the kernels into the arena.
// data is not used afterwards. Decode of the weight gives exactly what Decode of data gives.
//
// Quantized weights multiply activations rounded to int8, BF16 ones activations rounded to bf16; F16 and F32 ones
// multiply float32. The error names a shape that t cannot have, or data of another size.
func (a *Arena) New(t Type, data []byte, out, in int) (tensor.Weight, error) {
	f := t.format()
	switch {
	case f == nil:
		return nil, fmt.Errorf("quant: unknown %v", t)
	case out <= 0 || in <= 0 || in%f.block != 0:
		return nil, fmt.Errorf("quant: %v weight of shape [%d, %d], want rows of a multiple of %d", t, out, in, f.block)
	case out > len(data) || in/f.block > len(data) || len(data) != out*(in/f.block*f.bytes):
		return nil, fmt.Errorf("quant: %v weight of shape [%d, %d] in %d bytes, want %d a row", t, out, in, len(data), in/f.block*f.bytes)
	}
	if f.fill == nil {
		return a.newFloats(f, data, out, in)
	}
	return a.newPacked(f, data, out, in)
}

// Packed is a weight in panels of 16 rows for the integer kernels.
type Packed struct {
	frozen
	t       Type
	format  kernel.PanelFormat
	out, in int
	panels  []byte // [ceil(out/16)][size]
	size    int    // bytes a panel
}

// frozen is the gradient of a weight that has none.
type frozen struct{}

// AccGrad does nothing: the weight is frozen.
func (frozen) AccGrad(*tensor.Run, *tensor.Tensor, *tensor.Tensor) {}

// AccRow does nothing: the weight is frozen.
func (frozen) AccRow(*tensor.Run, int, []float32) {}

func (a *Arena) newPacked(f *format, data []byte, out, in int) (tensor.Weight, error) {
	w := &Packed{t: f.t, format: f.panel, out: out, in: in, size: f.panel.Bytes(in)}
	panels := (out + kernel.Panel - 1) / kernel.Panel
	var err error
	if w.panels, err = a.take(panels * w.size); err != nil {
		return nil, err
	}
	a.run(&packJob{f: f, w: w, data: data}, panels)
	return w, nil
}

// packJob packs a panel a part.
type packJob struct {
	f    *format
	w    *Packed
	data []byte
}

func (j *packJob) Part(i, _ int) {
	w := j.w
	panel := w.panels[i*w.size:][:w.size]
	row := w.in / j.f.block * j.f.bytes
	rows := min(kernel.Panel, w.out-i*kernel.Panel)
	var b kernel.PanelBlock // rows beyond the last stay zero
	for k := range w.in / 32 {
		for r := range rows {
			j.f.fill(&b, r, j.data[(i*kernel.Panel+r)*row:][:row], k)
		}
		w.format.Pack(panel, k, &b)
	}
}

// Type returns the stored format.
func (w *Packed) Type() Type { return w.t }

// Bytes returns the size of the packed weight: what decoding a token reads.
func (w *Packed) Bytes() int { return len(w.panels) }

// Dims returns the shape.
func (w *Packed) Dims() (out, in int) { return w.out, w.in }

// Decode writes row `row` as float32.
func (w *Packed) Decode(dst []float32, row int) {
	w.format.DecodeRow(dst[:w.in], w.panels[row/kernel.Panel*w.size:][:w.size], row%kernel.Panel)
}

// Prepare rounds x to int8 blocks.
func (w *Packed) Prepare(r *tensor.Run, x *tensor.Tensor) { r.Int8(x) }

// half of a second-level cache of 1 MiB: the panels that stay there while all rows of x pass by.
const cachedBytes = 512 << 10

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ.
func (w *Packed) Columns(r *tensor.Run, y, x *tensor.Tensor, lo, hi, _ int) {
	a := r.Int8(x)
	step := max(1, cachedBytes/w.size) * kernel.Panel
	for ; lo < hi; lo += step {
		kernel.MatMulInt8(w.format, y.Data[lo:], y.Cols, a, 0, x.Rows, w.panels[lo/kernel.Panel*w.size:], min(step, hi-lo))
	}
}

// MatMulT adds dy·W to the gradient of x.
func (w *Packed) MatMulT(r *tensor.Run, x, y *tensor.Tensor) { matMulT(r, w, x, y, true) }

func (w *Packed) decodeTile(dst []float32, row, rows, col, cols int, scratch []float32) {
	for p := 0; p < rows; p += kernel.Panel {
		panel := w.panels[(row+p)/kernel.Panel*w.size:][:w.size]
		w.format.DecodeTile(dst[p*cols:], cols, panel, min(kernel.Panel, rows-p), col, col+cols, scratch)
	}
}
