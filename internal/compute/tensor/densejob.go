package tensor

import "retort/internal/compute/kernel"

// denseJob is the parallel work of a Dense, split by ranges of panels (16 rows or columns of a result).
type denseJob struct {
	w    *Dense
	what denseWork
	x, y *Tensor
	step int // rows or columns a part
	n    int

	left  Operand // dy or its transpose
	right Panels  // x
}

type denseWork uint8

const (
	jobPackRows  denseWork = iota // W -> panels over rows
	jobPackCols                   // W -> panels over columns
	jobInput                      // dx += dy·W
	jobTranspose                  // dyᵀ
	jobPackInput                  // x -> panels over columns
	jobWeight                     // dW += dyᵀ·x
)

// run splits n rows or columns into parts of whole panels and runs them.
func (j *denseJob) run(r *Run, n int) {
	panels := (n + kernel.Panel - 1) / kernel.Panel
	step := max(1, panels/(8*r.Pool.Threads()))
	j.step, j.n = step*kernel.Panel, n
	r.Pool.Run(j, (panels+step-1)/step)
}

// Part does the work on rows or columns [lo, hi).
func (j *denseJob) Part(i, _ int) {
	lo, hi := i*j.step, min((i+1)*j.step, j.n)
	w := j.w
	switch j.what {
	case jobPackRows:
		w.rows.From(lo).PackRows(w.Data[lo*w.in:], hi-lo, w.in)
	case jobPackCols:
		w.cols.From(lo).PackCols(w.Data[lo:], hi-lo, w.in)
	case jobInput:
		Gemm(j.x.Grad[lo:], w.in, j.left, w.cols.From(lo), j.x.Rows, hi-lo, true)
	case jobTranspose:
		j.left.From(lo).SetTurned(0, j.y.Grad[lo:], j.y.Rows, hi-lo, w.out)
	case jobPackInput:
		j.right.From(lo).PackCols(j.x.Data[lo:], hi-lo, w.in)
	case jobWeight:
		Gemm(w.Grad[lo:], w.in, j.left, j.right.From(lo), w.out, hi-lo, true)
	}
}
