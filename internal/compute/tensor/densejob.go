package tensor

import "retort/internal/compute/kernel"

// denseJob is the parallel work of a Dense, split by ranges of panels (16 rows or columns of a result).
type denseJob struct {
	w    *Dense
	what denseWork
	x, y *Tensor
	step int // rows or columns a part
	n    int

	half, xHalf []uint16 // dy and x, converted for the product at hand
	full, xFull []float32
	stride      int
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
	half := w.precision == BFloat16
	switch j.what {
	case jobPackRows:
		if half {
			kernel.PackRowsBF16(w.rows16[kernel.PanelsBF16(lo, w.in):], w.Data[lo*w.in:], hi-lo, w.in, w.in)
		} else {
			kernel.PackRowsF32(w.rows32[kernel.PanelsF32(lo, w.in):], w.Data[lo*w.in:], hi-lo, w.in, w.in)
		}
	case jobPackCols:
		if half {
			kernel.PackColsBF16(w.cols16[kernel.PanelsBF16(lo, w.out):], w.Data[lo:], w.out, hi-lo, w.in)
		} else {
			kernel.PackColsF32(w.cols32[kernel.PanelsF32(lo, w.out):], w.Data[lo:], w.out, hi-lo, w.in)
		}
	case jobInput:
		if half {
			kernel.GemmBF16(j.x.Grad[lo:], w.in, j.half, evenCols(w.out), w.cols16[kernel.PanelsBF16(lo, w.out):], j.x.Rows, w.out, hi-lo, true)
		} else {
			kernel.GemmF32(j.x.Grad[lo:], w.in, j.y.Grad, w.out, w.cols32[kernel.PanelsF32(lo, w.out):], j.x.Rows, w.out, hi-lo, true)
		}
	case jobTranspose:
		if half {
			if j.stride != j.y.Rows { // the odd end
				for c := lo; c < hi; c++ {
					j.half[(c+1)*j.stride-1] = 0
				}
			}
			kernel.TransposeBF16(j.half[lo*j.stride:], j.y.Grad[lo:], j.y.Rows, hi-lo, w.out, j.stride)
		} else {
			kernel.TransposeF32(j.full[lo*j.y.Rows:], j.y.Grad[lo:], j.y.Rows, hi-lo, w.out, j.y.Rows)
		}
	case jobPackInput:
		if half {
			kernel.PackColsBF16(j.xHalf[kernel.PanelsBF16(lo, j.x.Rows):], j.x.Data[lo:], j.x.Rows, hi-lo, w.in)
		} else {
			kernel.PackColsF32(j.xFull[kernel.PanelsF32(lo, j.x.Rows):], j.x.Data[lo:], j.x.Rows, hi-lo, w.in)
		}
	case jobWeight:
		if half {
			kernel.GemmBF16(w.Grad[lo:], w.in, j.half, j.stride, j.xHalf[kernel.PanelsBF16(lo, j.x.Rows):], w.out, j.x.Rows, hi-lo, true)
		} else {
			kernel.GemmF32(w.Grad[lo:], w.in, j.full, j.y.Rows, j.xFull[kernel.PanelsF32(lo, j.x.Rows):], w.out, j.x.Rows, hi-lo, true)
		}
	}
}
