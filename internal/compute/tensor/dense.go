package tensor

import (
	"fmt"

	"retort/internal/compute/kernel"
)

// Precision is the arithmetic in which a Dense multiplies. Sums are float32 in both.
type Precision uint8

const (
	Float32  Precision = iota // products of float32: exact tests, files with F32 weights
	BFloat16                  // products of bf16, as training on CPUs and GPUs does; the master weight stays float32
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
	// Panels over rows serve y = x·Wᵀ, panels over columns dx = dy·W. Only those of the precision are made, and
	// those over columns at the first backward pass.
	rows32, cols32 []float32
	rows16, cols16 []uint16
	rowsFresh      bool
	colsFresh      bool

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
	if w.precision == BFloat16 {
		r.BF16(x)
	}
}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ.
func (w *Dense) Columns(r *Run, y, x *Tensor, lo, hi, _ int) {
	if w.precision == BFloat16 {
		a, lda := r.BF16(x)
		kernel.GemmBF16(y.Data[lo:], y.Cols, a, lda, w.rows16[kernel.PanelsBF16(lo, w.in):], x.Rows, w.in, hi-lo, false)
		return
	}
	kernel.GemmF32(y.Data[lo:], y.Cols, x.Data, x.Cols, w.rows32[kernel.PanelsF32(lo, w.in):], x.Rows, w.in, hi-lo, false)
}

// MatMulT adds dy·W to the gradient of x.
func (w *Dense) MatMulT(r *Run, x, y *Tensor) {
	if !w.colsFresh {
		w.pack(r, false)
		w.colsFresh = true
	}
	r.Zeroed(x)
	w.job = denseJob{w: w, what: jobInput, x: x, y: y}
	if w.precision == BFloat16 {
		w.job.half = r.gradBF16(y)
		defer func() { r.halves.give(w.job.half); w.job.half = nil }()
	}
	w.job.run(r, w.in)
}

// AccGrad adds dyᵀ·x to the gradient of w.
func (w *Dense) AccGrad(r *Run, y, x *Tensor) {
	if w.Grad == nil {
		return
	}
	w.job = denseJob{w: w, what: jobWeight, x: x, y: y}
	j := &w.job
	if w.precision == BFloat16 {
		j.stride = evenCols(y.Rows)
		j.half = r.halves.take(w.out * j.stride)
		j.xHalf = r.halves.take(kernel.PanelsBF16(w.in, x.Rows))
	} else {
		j.full = r.floats.take(w.out * y.Rows)
		j.xFull = r.floats.take(kernel.PanelsF32(w.in, x.Rows))
	}
	j.what = jobTranspose
	j.run(r, w.out)
	j.what = jobPackInput
	j.run(r, w.in)
	j.what = jobWeight
	j.run(r, w.in)
	r.halves.give(j.half)
	r.halves.give(j.xHalf)
	r.floats.give(j.full)
	r.floats.give(j.xFull)
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
	w.job = denseJob{w: w, what: jobPackCols}
	n := w.in
	if rows {
		w.job.what, n = jobPackRows, w.out
	}
	switch {
	case rows && w.precision == BFloat16 && w.rows16 == nil:
		w.rows16 = make([]uint16, kernel.PanelsBF16(w.out, w.in))
	case rows && w.precision == Float32 && w.rows32 == nil:
		w.rows32 = make([]float32, kernel.PanelsF32(w.out, w.in))
	case !rows && w.precision == BFloat16 && w.cols16 == nil:
		w.cols16 = make([]uint16, kernel.PanelsBF16(w.in, w.out))
	case !rows && w.precision == Float32 && w.cols32 == nil:
		w.cols32 = make([]float32, kernel.PanelsF32(w.in, w.out))
	}
	w.job.run(r, n)
}
