package tensor

import "retort/internal/compute/kernel"

// A Weight is an [out, in] matrix W that a model multiplies by. What is stored (float32, bf16, four bits), how it
// is packed for the CPU, and whether it learns are its own affair.
//
// x is [T, in], y is [T, out]. Within one kernel implementation each row of a result depends on that row of the
// input alone, never on T, on the number of workers or on the neighbours.
type Weight interface {
	// Dims returns the shape.
	Dims() (out, in int)
	// Decode writes row `row` as float32 into dst, [in]: embedding look-up, tests.
	Decode(dst []float32, row int)
	// Prepare converts x into the form that W multiplies, unless x has it already.
	Prepare(r *Run, x *Tensor)
	// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ after Prepare; lo is a multiple of kernel.Panel, and so is hi
	// unless it is out. It is called by several workers at once, on ranges that do not overlap.
	Columns(r *Run, y, x *Tensor, lo, hi, worker int)
	// MatMulT adds dy·W to dx, with dy the Grad of y, [T, out], and dx the Grad of x, [T, in].
	MatMulT(r *Run, x, y *Tensor)
	// AccGrad adds dyᵀ·x to the gradient of W; it does nothing on a frozen weight.
	AccGrad(r *Run, y, x *Tensor)
	// AccRow adds g, [in], to row `row` of the gradient of W; it does nothing on a frozen weight.
	AccRow(r *Run, row int, g []float32)
}

// MatMul sets y = x·Wᵀ.
func MatMul(r *Run, y, x *Tensor, w Weight) {
	r.ws[0], r.ys[0] = w, y
	matMul(r, x, 1)
}

// MatMulAll sets ys[i] = x·ws[i]ᵀ as one job for the pool: projections of one input pay one barrier.
func MatMulAll(r *Run, x *Tensor, ys []*Tensor, ws []Weight) {
	if len(ws) > len(r.ws) {
		panic("tensor: MatMulAll: too many weights for one job")
	}
	copy(r.ws[:], ws)
	copy(r.ys[:], ys)
	matMul(r, x, len(ws))
}

// matMulJob is the preallocated job of MatMulAll: parts are ranges of panels, counted through all weights.
type matMulJob struct {
	r    *Run
	x    *Tensor
	n    int
	step int // panels a part
}

func matMul(r *Run, x *Tensor, n int) {
	panels := 0
	for i := range n {
		out, in := r.ws[i].Dims()
		if y := r.ys[i]; x.Cols != in || y.Cols != out || y.Rows != x.Rows {
			panic("tensor: MatMul: shapes do not fit")
		}
		r.ws[i].Prepare(r, x)
		r.ys[i].Changed()
		panels += (out + kernel.Panel - 1) / kernel.Panel
	}
	// About eight parts a worker even out unequal cores; each is long enough (a panel or more) to hide its hand-over.
	step := max(1, panels/(8*r.Pool.Threads()))
	r.mm = matMulJob{r: r, x: x, n: n, step: step}
	r.Pool.Run(&r.mm, (panels+step-1)/step)
	for i := range n {
		r.ws[i], r.ys[i] = nil, nil
	}
}

// Part computes panels [i*step, (i+1)*step) of the weights laid end to end.
func (j *matMulJob) Part(i, worker int) {
	first, last := i*j.step, (i+1)*j.step
	base := 0
	for k := range j.n {
		w := j.r.ws[k]
		out, _ := w.Dims()
		panels := (out + kernel.Panel - 1) / kernel.Panel
		lo, hi := max(first-base, 0), min(last-base, panels)
		if lo < hi {
			w.Columns(j.r, j.r.ys[k], j.x, lo*kernel.Panel, min(hi*kernel.Panel, out), worker)
		}
		base += panels
	}
}
