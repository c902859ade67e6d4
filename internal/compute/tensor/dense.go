package tensor

import (
	"fmt"

	"retort/internal/compute/kernel"
)

// Vector is a learned vector: a norm's scale, a bias. Grad is nil where it is frozen.
type Vector struct {
	Data, Grad []float32
}

// Dense is a Weight in float32, trainable when Grad is not nil. For products it is packed into panels in its
// precision, once after every change.
type Dense struct {
	Data []float32 // [out, in]
	Grad []float32 // [out, in], or nil where it is frozen

	out, in   int
	precision Precision
	// Panels over rows serve y = x·Wᵀ, panels over columns dx = dy·W; those are made at the first backward pass.
	rows, cols           Panels
	rowsFresh, colsFresh bool

	job denseJob
}

// NewDense returns the weight [out, in] over data, which it keeps.
func NewDense(out, in int, data []float32, precision Precision) *Dense {
	if len(data) != out*in {
		panic(fmt.Sprintf("tensor: NewDense: %d values for [%d, %d]", len(data), out, in))
	}
	return &Dense{Data: data, out: out, in: in, precision: precision}
}

// Dims returns the shape.
func (w *Dense) Dims() (out, in int) { return w.out, w.in }

// Train makes w trainable: it gets a gradient of zeros.
func (w *Dense) Train() {
	if w.Grad == nil {
		w.Grad = make([]float32, len(w.Data))
	}
}

// Changed says that Data was written: the panels are packed again when next needed.
func (w *Dense) Changed() { w.rowsFresh, w.colsFresh = false, false }

// Decode copies row `row` to dst.
func (w *Dense) Decode(dst []float32, row int) { copy(dst, w.Data[row*w.in:(row+1)*w.in]) }

// Prepare packs w if it changed, and converts x if products are in bf16.
func (w *Dense) Prepare(r *Run, x *Tensor) {
	if !w.rowsFresh {
		w.pack(r, true)
		w.rowsFresh = true
	}
	r.Operand(x, w.precision)
}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ.
func (w *Dense) Columns(r *Run, y, x *Tensor, lo, hi, _ int) {
	Gemm(y.Data[lo:], y.Cols, r.Operand(x, w.precision), w.rows.From(lo), x.Rows, hi-lo, false)
}

// MatMulT adds dy·W to the gradient of x.
func (w *Dense) MatMulT(r *Run, x, y *Tensor) {
	if !w.colsFresh {
		w.pack(r, false)
		w.colsFresh = true
	}
	r.Zeroed(x)
	w.job = denseJob{w: w, what: jobInput, x: x, y: y, left: r.takeGrad(y, w.precision)}
	w.job.run(r, w.in)
	r.giveGrad(w.job.left)
	w.job = denseJob{}
}

// AccGrad adds dyᵀ·x to the gradient of w.
func (w *Dense) AccGrad(r *Run, y, x *Tensor) {
	if w.Grad == nil {
		return
	}
	w.job = denseJob{w: w, x: x, y: y, left: r.takeOperand(w.precision, w.out, y.Rows), right: r.takePanels(w.precision, w.in, x.Rows)}
	j := &w.job
	j.what = jobTranspose
	j.run(r, w.out)
	j.what = jobPackInput
	j.run(r, w.in)
	j.what = jobWeight
	j.run(r, w.in)
	r.giveOperand(j.left)
	r.givePanels(j.right)
	w.job = denseJob{}
}

// AccRow adds g to row `row` of the gradient.
func (w *Dense) AccRow(_ *Run, row int, g []float32) {
	if w.Grad != nil {
		kernel.Add(w.Grad[row*w.in:(row+1)*w.in], g)
	}
}

// pack makes the panels over rows or over columns from Data.
func (w *Dense) pack(r *Run, rows bool) {
	if rows {
		w.rows.Grow(w.precision, w.out, w.in)
		w.job = denseJob{w: w, what: jobPackRows}
		w.job.run(r, w.out)
		return
	}
	w.cols.Grow(w.precision, w.in, w.out)
	w.job = denseJob{w: w, what: jobPackCols}
	w.job.run(r, w.in)
}
