package quant

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// floats16 is a weight of F16 or BF16 in panels.
//
// BF16 multiplies activations rounded to bf16 in pairs, which is what the processor's instruction takes. F16 has more
// bits than bf16: its panels are widened to float32, a piece at a time, which is exact.
type floats16 struct {
	frozen
	t       Type
	out, in int
	panels  []uint16
}

// floats32 is a weight of F32 in panels.
type floats32 struct {
	frozen
	out, in int
	panels  []float32 // [ceil(out/16)][in][16]
}

func (a *Arena) newFloats(f *format, data []byte, out, in int) (tensor.Weight, error) {
	j := &floatJob{f: f, data: data, out: out, in: in}
	panels := (out + kernel.Panel - 1) / kernel.Panel
	if f.t == F32 {
		mem, err := a.take(4 * kernel.PanelsF32(out, in))
		if err != nil {
			return nil, err
		}
		w := &floats32{out: out, in: in, panels: asFloats(mem)}
		j.to32 = w.panels
		a.run(j, panels)
		return w, nil
	}
	n := kernel.PanelsF32(out, in)
	if f.t == BF16 {
		n = kernel.PanelsBF16(out, in)
	}
	mem, err := a.take(2 * n)
	if err != nil {
		return nil, err
	}
	w := &floats16{t: f.t, out: out, in: in, panels: asHalves(mem)}
	j.half = w
	a.run(j, panels)
	return w, nil
}

// floatJob packs a panel a part.
type floatJob struct {
	f       *format
	data    []byte
	out, in int
	to32    []float32
	half    *floats16
}

func (j *floatJob) Part(i, _ int) {
	lo := i * kernel.Panel
	rows := min(kernel.Panel, j.out-lo)
	src := make([]float32, rows*j.in)
	j.f.decode(src, j.data[lo*j.in*j.f.bytes:])
	switch j.f.t {
	case F32:
		kernel.PackRowsF32(j.to32[kernel.PanelsF32(lo, j.in):], src, rows, j.in, j.in)
	case BF16:
		kernel.PackRowsBF16(j.half.panels[kernel.PanelsBF16(lo, j.in):], src, rows, j.in, j.in)
	default:
		panel := make([]float32, kernel.PanelsF32(rows, j.in))
		kernel.PackRowsF32(panel, src, rows, j.in, j.in)
		for k := 0; k < j.in; k += f16Depth {
			n := min(f16Depth, j.in-k) * kernel.Panel
			kernel.ToF16(j.half.panels[j.half.at(lo, k):], panel[k*kernel.Panel:][:n])
		}
	}
}

// Type returns the stored format.
func (w *floats16) Type() Type { return w.t }

// Type returns the stored format.
func (w *floats32) Type() Type { return F32 }

// Bytes returns the size of the packed weight.
func (w *floats16) Bytes() int { return 2 * len(w.panels) }

// Bytes returns the size of the packed weight.
func (w *floats32) Bytes() int { return 4 * len(w.panels) }

// Dims returns the shape.
func (w *floats16) Dims() (out, in int) { return w.out, w.in }

// Dims returns the shape.
func (w *floats32) Dims() (out, in int) { return w.out, w.in }

// Decode writes row `row` as float32.
func (w *floats16) Decode(dst []float32, row int) {
	var line [piece]uint16
	for lo := 0; lo < w.in; lo += piece {
		n := min(piece, w.in-lo)
		for c := range n {
			line[c] = w.panels[w.at(row, lo+c)]
		}
		if w.t == BF16 {
			kernel.FromBF16(dst[lo:lo+n], line[:n])
		} else {
			kernel.FromF16(dst[lo:lo+n], line[:n])
		}
	}
}

// Decode writes row `row` as float32.
func (w *floats32) Decode(dst []float32, row int) {
	panel := w.panels[row&^(kernel.Panel-1)*w.in+row%kernel.Panel:]
	for c := range w.in {
		dst[c] = panel[c*kernel.Panel]
	}
}

// at returns where element [row, col] lies.
func (w *floats16) at(row, col int) int {
	lo, lane := row&^(kernel.Panel-1), row%kernel.Panel
	if w.t == BF16 {
		return kernel.PanelsBF16(lo, w.in) + (col/2*kernel.Panel+lane)*2 + col%2
	}
	// F16: groups of 64 rows, of whose panels the same columns lie together.
	first, chunk := row&^(f16Group-1), col&^(f16Depth-1)
	panels := (min(f16Group, w.out-first) + kernel.Panel - 1) / kernel.Panel
	depth := min(f16Depth, w.in-chunk)
	return first*w.in + (chunk*panels+(lo-first)/kernel.Panel*depth+col-chunk)*kernel.Panel + lane
}

const (
	// F16 is widened by pieces of four panels, whose sums a product for one row keeps in flight, by as many columns
	// as let the piece stay in the first-level cache. A piece is one run of memory: weights are read in order.
	f16Group = 4 * kernel.Panel
	f16Depth = 64
)

// decodeTile transposes panels. Two bf16 that are neighbours in a row lie together: they move as one word.
func (w *floats16) decodeTile(dst []float32, row, rows, col, cols int, scratch []float32) {
	for p := 0; p < rows; p += kernel.Panel {
		n := min(kernel.Panel, rows-p)
		out := dst[p*cols:]
		if w.t == F16 {
			for k := 0; k < cols; k += f16Depth {
				d := min(f16Depth, cols-k)
				kernel.FromF16(scratch[:d*kernel.Panel], w.panels[w.at(row+p, col+k):][:d*kernel.Panel])
				kernel.TransposeF32(out[k:], scratch, d, n, kernel.Panel, cols)
			}
			continue
		}
		pairs := (cols + 1) / 2
		words := asWords(w.panels[w.at(row+p, col):][:2*pairs*kernel.Panel])
		kernel.TransposeF32(scratch, words, pairs, n, kernel.Panel, pairs)
		for r := range n {
			kernel.FromBF16(out[r*cols:][:cols], asHalfPanels(scratch[r*pairs : (r+1)*pairs])[:cols])
		}
	}
}

func (w *floats32) decodeTile(dst []float32, row, rows, col, cols int, _ []float32) {
	for p := 0; p < rows; p += kernel.Panel {
		src := w.panels[(row+p)*w.in+col*kernel.Panel:][:cols*kernel.Panel]
		kernel.TransposeF32(dst[p*cols:], src, cols, min(kernel.Panel, rows-p), kernel.Panel, cols)
	}
}

// Prepare rounds x to bf16 for BF16.
func (w *floats16) Prepare(r *tensor.Run, x *tensor.Tensor) {
	if w.t == BF16 {
		r.BF16(x)
	}
}

// Prepare has nothing to do: x is float32.
func (w *floats32) Prepare(*tensor.Run, *tensor.Tensor) {}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ.
func (w *floats16) Columns(r *tensor.Run, y, x *tensor.Tensor, lo, hi, worker int) {
	if w.t == BF16 {
		a, lda := r.BF16(x)
		kernel.GemmBF16(y.Data[lo:], y.Cols, a, lda, w.panels[kernel.PanelsBF16(lo, w.in):], x.Rows, w.in, hi-lo, false)
		return
	}
	wide := r.Scratch(worker, f16Depth*f16Group)
	for lo < hi {
		n := min(f16Group-lo%f16Group, hi-lo)
		for k := 0; k < w.in; k += f16Depth {
			d := min(f16Depth, w.in-k)
			size := (n + kernel.Panel - 1) / kernel.Panel * d * kernel.Panel
			kernel.FromF16(wide[:size], w.panels[w.at(lo, k):][:size])
			kernel.GemmF32(y.Data[lo:], y.Cols, x.Data[k:], x.Cols, wide, x.Rows, d, n, k > 0)
		}
		lo += n
	}
}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ.
func (w *floats32) Columns(_ *tensor.Run, y, x *tensor.Tensor, lo, hi, _ int) {
	kernel.GemmF32(y.Data[lo:], y.Cols, x.Data, x.Cols, w.panels[kernel.PanelsF32(lo, w.in):], x.Rows, w.in, hi-lo, false)
}

// MatMulT adds dy·W to the gradient of x.
func (w *floats16) MatMulT(r *tensor.Run, x, y *tensor.Tensor) { matMulT(r, w, x, y, w.t == BF16) }

// MatMulT adds dy·W to the gradient of x.
func (w *floats32) MatMulT(r *tensor.Run, x, y *tensor.Tensor) { matMulT(r, w, x, y, false) }
