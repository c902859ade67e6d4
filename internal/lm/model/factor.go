package model

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// factor is one of the two small matrices of a LoRA, [rows, cols], with its gradient and the panels that products
// need: over rows for a·Fᵀ, over columns for a·F.
type factor struct {
	data, grad []float32 // [rows, cols]
	rows, cols int
	half       bool // products in bf16

	overRows, overCols   panels
	rowsFresh, colsFresh bool
	onChange             func() // told when data was written, or nil
}

func newFactor(rows, cols int, half bool) factor {
	return factor{data: make([]float32, rows*cols), grad: make([]float32, rows*cols), rows: rows, cols: cols, half: half}
}

func (f *factor) changed() {
	f.rowsFresh, f.colsFresh = false, false
	if f.onChange != nil {
		f.onChange()
	}
}

// packRows brings the panels over rows up to date, packCols those over columns. Nobody else may read them meanwhile.
func (f *factor) packRows(r *tensor.Run) {
	if f.rowsFresh {
		return
	}
	f.overRows.grow(f.rows, f.cols, f.half)
	r.Rows((f.rows+kernel.Panel-1)/kernel.Panel, func(lo, hi, _ int) {
		lo, hi = lo*kernel.Panel, min(hi*kernel.Panel, f.rows)
		p := f.overRows.from(lo, f.cols)
		if f.half {
			kernel.PackRowsBF16(p.half, f.data[lo*f.cols:], hi-lo, f.cols, f.cols)
		} else {
			kernel.PackRowsF32(p.full, f.data[lo*f.cols:], hi-lo, f.cols, f.cols)
		}
	})
	f.rowsFresh = true
}

func (f *factor) packCols(r *tensor.Run) {
	if f.colsFresh {
		return
	}
	f.overCols.grow(f.cols, f.rows, f.half)
	r.Rows((f.cols+kernel.Panel-1)/kernel.Panel, func(lo, hi, _ int) {
		lo, hi = lo*kernel.Panel, min(hi*kernel.Panel, f.cols)
		f.overCols.from(lo, f.rows).packCols(f.data[lo:], f.rows, hi-lo, f.cols)
	})
	f.colsFresh = true
}

// panels is the right side of a product, in the one precision that is set.
type panels struct {
	full []float32
	half []uint16
}

// grow makes room for n columns of k values.
func (p *panels) grow(n, k int, half bool) {
	if half {
		p.half = resized(p.half, kernel.PanelsBF16(n, k))
	} else {
		p.full = resized(p.full, kernel.PanelsF32(n, k))
	}
}

// from returns the panels from column lo on, a multiple of kernel.Panel.
func (p panels) from(lo, k int) panels {
	if p.half != nil {
		return panels{half: p.half[kernel.PanelsBF16(lo, k):]}
	}
	return panels{full: p.full[kernel.PanelsF32(lo, k):]}
}

// packCols packs columns of src, [k, n] with row stride ld.
func (p panels) packCols(src []float32, k, n, ld int) {
	if p.half != nil {
		kernel.PackColsBF16(p.half, src, k, n, ld)
	} else {
		kernel.PackColsF32(p.full, src, k, n, ld)
	}
}

// operand is the left side of a product, row-major, in the one precision that is set.
type operand struct {
	full   []float32
	half   []uint16
	stride int // even for bf16, with a zero behind each odd row
}

// from returns the rows from lo on.
func (a operand) from(lo int) operand {
	if a.half != nil {
		return operand{half: a.half[lo*a.stride:], stride: a.stride}
	}
	return operand{full: a.full[lo*a.stride:], stride: a.stride}
}

// operandOf returns x in the precision of products.
func operandOf(r *tensor.Run, x *tensor.Tensor, half bool) operand {
	if half {
		rows, stride := r.BF16(x)
		return operand{half: rows, stride: stride}
	}
	return operand{full: x.Data, stride: x.Cols}
}

// gemm sets c = a·b, or adds it, for a [m, k], b of n columns and c of row stride ldc.
func gemm(c []float32, ldc int, a operand, b panels, m, k, n int, acc bool) {
	if a.half != nil {
		kernel.GemmBF16(c, ldc, a.half, a.stride, b.half, m, k, n, acc)
	} else {
		kernel.GemmF32(c, ldc, a.full, a.stride, b.full, m, k, n, acc)
	}
}

// narrow is a [T, r] activation of a LoRA in the forms that products ask for.
type narrow struct {
	rank, t      int
	rows, turned operand // as it is; [r, T], for sums over T
}

// growRows makes room for t rows, growTurned for the transposed form of as many.
func (n *narrow) growRows(t, rank int, half bool) {
	n.rank, n.t = rank, t
	n.rows = n.rows.resized(t, rank, half)
}

func (n *narrow) growTurned(t, rank int, half bool) {
	n.rank, n.t = rank, t
	n.turned = n.turned.resized(rank, t, half)
}

// resized returns room for [rows, cols].
func (a operand) resized(rows, cols int, half bool) operand {
	if half {
		return operand{half: resized(a.half, rows*even(cols)), stride: even(cols)}
	}
	return operand{full: resized(a.full, rows*cols), stride: cols}
}

// multiply sets values, [hi-lo, r], to rows [lo, hi) of scale·a·b, with a [T, k] and b of r columns.
func (n *narrow) multiply(values []float32, a operand, b panels, k, lo, hi int, scale float32) {
	gemm(values, n.rank, a.from(lo), b, hi-lo, k, n.rank, false)
	kernel.Scale(scale, values)
}

// setRows keeps values as rows [lo, hi), setTurned as columns [lo, hi) of the transposed form.
func (n *narrow) setRows(values []float32, lo, hi int) {
	if n.rows.half == nil {
		copy(n.rows.full[lo*n.rank:], values)
		return
	}
	for t := lo; t < hi; t++ {
		row := n.rows.half[t*n.rows.stride : (t+1)*n.rows.stride]
		row[len(row)-1] = 0 // the odd end, where there is one
		kernel.ToBF16(row[:n.rank], values[(t-lo)*n.rank:(t-lo+1)*n.rank])
	}
}

func (n *narrow) setTurned(values []float32, lo, hi int) {
	if n.turned.half == nil {
		kernel.TransposeF32(n.turned.full[lo:], values, hi-lo, n.rank, n.rank, n.turned.stride)
		return
	}
	kernel.TransposeBF16(n.turned.half[lo:], values, hi-lo, n.rank, n.rank, n.turned.stride)
	if hi == n.t && n.turned.stride != n.t { // the odd end
		for i := range n.rank {
			n.turned.half[(i+1)*n.turned.stride-1] = 0
		}
	}
}

// resized returns a slice of n elements, s if it is long enough. Its content is not set.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func even(n int) int { return n + n&1 }
