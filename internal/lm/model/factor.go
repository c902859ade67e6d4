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
	precision  tensor.Precision // of products

	overRows, overCols   tensor.Panels
	rowsFresh, colsFresh bool
	onChange             func() // told when data was written, or nil
}

func newFactor(rows, cols int, precision tensor.Precision) factor {
	return factor{data: make([]float32, rows*cols), grad: make([]float32, rows*cols), rows: rows, cols: cols, precision: precision}
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
	f.overRows.Grow(f.precision, f.rows, f.cols)
	r.Rows(panelsOf(f.rows), func(lo, hi, _ int) {
		lo, hi = lo*kernel.Panel, min(hi*kernel.Panel, f.rows)
		f.overRows.From(lo).PackRows(f.data[lo*f.cols:], hi-lo, f.cols)
	})
	f.rowsFresh = true
}

func (f *factor) packCols(r *tensor.Run) {
	if f.colsFresh {
		return
	}
	f.overCols.Grow(f.precision, f.cols, f.rows)
	r.Rows(panelsOf(f.cols), func(lo, hi, _ int) {
		lo, hi = lo*kernel.Panel, min(hi*kernel.Panel, f.cols)
		f.overCols.From(lo).PackCols(f.data[lo:], hi-lo, f.cols)
	})
	f.colsFresh = true
}

// panelsOf is how many panels n rows or columns are.
func panelsOf(n int) int { return (n + kernel.Panel - 1) / kernel.Panel }

// narrow is a [T, r] activation of a LoRA in the forms that products ask for.
type narrow struct {
	rank         int
	rows, turned tensor.Operand // as it is; [r, T], for sums over T
}

// growRows makes room for t rows, growTurned for the transposed form of as many.
func (n *narrow) growRows(t, rank int, precision tensor.Precision) {
	n.rank = rank
	n.rows.Grow(precision, t, rank)
}

func (n *narrow) growTurned(t, rank int, precision tensor.Precision) {
	n.rank = rank
	n.turned.Grow(precision, rank, t)
}

// multiply sets values, [hi-lo, r], to rows [lo, hi) of scale·a·b, with a [T, k] and b of r columns.
func (n *narrow) multiply(values []float32, a tensor.Operand, b tensor.Panels, lo, hi int, scale float32) {
	tensor.Gemm(values, n.rank, a.From(lo), b, hi-lo, n.rank, false)
	kernel.Scale(scale, values)
}

// setRows keeps values as rows [lo, hi), setTurned as columns [lo, hi) of the transposed form.
func (n *narrow) setRows(values []float32, lo, hi int) { n.rows.From(lo).SetRows(values, hi-lo) }

func (n *narrow) setTurned(values []float32, lo, hi int) {
	n.turned.SetTurned(lo, values, hi-lo, n.rank, n.rank)
}
