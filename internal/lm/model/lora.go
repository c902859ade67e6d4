package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"unsafe"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// LoRAConfig asks for a model whose stored weights stay as they are while a part of low rank, added to every linear
// map of every block, learns: queries, keys, values, output, gate, up and down; those of latent attention; those of
// each expert. Norms, biases, router, embedding and output head are frozen.
//
// With P weights in the blocks, of which a matrix [out, in] gets Rank·(out+in) new ones, and L of those together, a
// run needs the stored model (a byte a weight in Q8_0, two in bf16), 20 bytes for each of the L (value, gradient and
// two moments in float32, two panels in bf16; 24 in float32), and the activations: see Model.TrainBytes.
type LoRAConfig struct {
	Rank  int
	Alpha float64 // the new part is multiplied by Alpha/Rank
	Seed  uint64  // of A; B begins at zero, so that a fresh model is the stored one
}

const maxRank = 4096

func (c *LoRAConfig) check() error {
	if c.Rank < 1 || c.Rank > maxRank {
		return fmt.Errorf("model: lora rank %d, want 1 to %d", c.Rank, maxRank)
	}
	if !(c.Alpha > 0 && c.Alpha <= 1e6) {
		return fmt.Errorf("model: lora alpha %g, want above 0, to 1e6", c.Alpha)
	}
	return nil
}

// LoRA is a frozen weight W [out, in] with a trainable part of low rank: y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ, s = α/r.
//
// A is [r, in] and B is [out, r]. With u = s·x·Aᵀ and v = s·dy·B, both [T, r]: dB += dyᵀ·u, dA += vᵀ·x,
// dx += dy·W + v·A. The values between are few, so backward computes u again instead of keeping it, and a block that is
// run again (op.Apply) needs no care. Each LoRA has scratch of its own; one Run at a time may use it.
// Source: Hu et al. 2021, arXiv 2106.09685.
type LoRA struct {
	base   tensor.Weight
	stored storedMatrix
	a, b   factor
	scale  float32
	half   bool

	u, v   narrow
	undone *tensor.Tensor // whose v is at hand: set by AccGrad for the MatMulT that follows it
	job    loraJob
}

// newLoRA wraps base; name decides the random numbers of A together with the seed.
//
// A is uniform in ±1/sqrt(in), which is what PEFT's kaiming_uniform_(a=sqrt(5)) comes to.
func newLoRA(base tensor.Weight, stored storedMatrix, c *LoRAConfig, name string, p tensor.Precision) *LoRA {
	out, in := base.Dims()
	half := p == tensor.BFloat16
	w := &LoRA{base: base, stored: stored, a: newFactor(c.Rank, in, half), b: newFactor(out, c.Rank, half), scale: float32(c.Alpha / float64(c.Rank)), half: half}
	h := fnv.New64a()
	h.Write([]byte(name))
	rng := rand.New(rand.NewPCG(c.Seed, h.Sum64()))
	bound := 1 / math.Sqrt(float64(in))
	for i := range w.a.data {
		w.a.data[i] = float32((2*rng.Float64() - 1) * bound)
	}
	return w
}

// Dims returns the shape.
func (w *LoRA) Dims() (out, in int) { return w.base.Dims() }

// Decode writes row `row` of W + s·B·A.
func (w *LoRA) Decode(dst []float32, row int) {
	w.base.Decode(dst, row)
	w.addRow(dst, row)
}

// addRow adds row `row` of s·B·A.
func (w *LoRA) addRow(dst []float32, row int) {
	for i, b := range w.b.data[row*w.b.cols : (row+1)*w.b.cols] {
		kernel.Axpy(w.scale*b, w.a.data[i*w.a.cols:(i+1)*w.a.cols], dst[:w.a.cols])
	}
}

// Prepare computes u for the product at hand, once for all of its columns.
func (w *LoRA) Prepare(r *tensor.Run, x *tensor.Tensor) {
	w.base.Prepare(r, x)
	w.a.packRows(r)
	w.b.packRows(r)
	w.u.grow(x.Rows, w.a.rows, w.half, false)
	w.job = loraJob{w: w, what: loraForward, x: operandOf(r, x, w.half)}
	w.job.overRows(r, x.Rows)
}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ + u·B[lo:hi, :]ᵀ.
func (w *LoRA) Columns(r *tensor.Run, y, x *tensor.Tensor, lo, hi, worker int) {
	w.base.Columns(r, y, x, lo, hi, worker)
	gemm(y.Data[lo:], y.Cols, w.u.rows, w.b.overRows.from(lo, w.b.cols), x.Rows, w.b.cols, hi-lo, true)
}

// AccGrad adds dyᵀ·u to the gradient of B and vᵀ·x to that of A.
func (w *LoRA) AccGrad(r *tensor.Run, y, x *tensor.Tensor) {
	w.a.packRows(r)
	w.u.grow(x.Rows, w.a.rows, w.half, true)
	w.backward(r, y, x, loraNarrow)
	w.job = loraJob{w: w, what: loraGrads, r: r, xt: x, yt: y}
	w.job.overPanels(r)
	w.undone = y
}

// MatMulT adds dy·W + v·A to the gradient of x.
func (w *LoRA) MatMulT(r *tensor.Run, x, y *tensor.Tensor) {
	w.base.MatMulT(r, x, y)
	w.a.packCols(r)
	if w.undone != y {
		w.backward(r, y, x, loraBackward)
	}
	w.undone = nil
	w.job = loraJob{w: w, what: loraInput, xt: x}
	w.job.overRows(r, x.Rows)
	w.job = loraJob{}
}

// backward computes v, and what else the work asks for, from the gradient of y.
func (w *LoRA) backward(r *tensor.Run, y, x *tensor.Tensor, what loraWork) {
	w.b.packCols(r)
	w.v.grow(y.Rows, w.b.cols, w.half, true)
	dy := tensor.Of(y.Rows, y.Cols, y.Grad)
	w.job = loraJob{w: w, what: what, dy: operandOf(r, dy, w.half)}
	if what == loraNarrow {
		w.job.x = operandOf(r, x, w.half)
	}
	w.job.overRows(r, y.Rows)
	dy.Changed()
}

// AccRow does nothing: rows of a LoRA are not looked up, and W is frozen.
func (w *LoRA) AccRow(*tensor.Run, int, []float32) {}

// loraJob is the parallel work of a LoRA, split by rows of the activations or by panels of A and B.
type loraJob struct {
	w       *LoRA
	r       *tensor.Run
	what    loraWork
	x, dy   operand
	xt, yt  *tensor.Tensor
	n, step int
}

type loraWork uint8

const (
	loraForward  loraWork = iota // u
	loraNarrow                   // u and v, and their transposed forms
	loraBackward                 // v
	loraInput                    // dx += v·A
	loraGrads                    // dA += vᵀ·x, dB += dyᵀ·u
)

// leastRows are worth a part of their own: a tile of the kernels has twelve.
const leastRows = 24

func (j *loraJob) overRows(r *tensor.Run, rows int) {
	j.n, j.step = rows, max(leastRows, (rows+4*r.Pool.Threads()-1)/(4*r.Pool.Threads()))
	r.Pool.Run(j, (rows+j.step-1)/j.step)
}

func (j *loraJob) overPanels(r *tensor.Run) {
	j.n = panelsOf(j.w.a.cols) + panelsOf(j.w.b.rows)
	j.step = max(1, j.n/(8*r.Pool.Threads()))
	r.Pool.Run(j, (j.n+j.step-1)/j.step)
}

func panelsOf(n int) int { return (n + kernel.Panel - 1) / kernel.Panel }

// Part does the work on rows or panels [lo, hi).
func (j *loraJob) Part(i, worker int) {
	w, lo, hi := j.w, i*j.step, min((i+1)*j.step, j.n)
	switch j.what {
	case loraForward:
		w.u.set(j.x, w.a.overRows, w.a.cols, lo, hi, w.scale)
	case loraNarrow:
		w.u.set(j.x, w.a.overRows, w.a.cols, lo, hi, w.scale)
		w.u.turn(lo, hi)
		w.v.set(j.dy, w.b.overCols, w.b.rows, lo, hi, w.scale)
		w.v.turn(lo, hi)
	case loraBackward:
		w.v.set(j.dy, w.b.overCols, w.b.rows, lo, hi, w.scale)
	case loraInput:
		gemm(j.xt.Grad[lo*w.a.cols:], w.a.cols, w.v.rows.from(lo), w.a.overCols, hi-lo, w.a.rows, w.a.cols, true)
	case loraGrads:
		for p := lo; p < hi; p++ {
			j.panelGrad(p, worker)
		}
	}
}

// panelGrad adds to the gradient of 16 columns of A, or of 16 rows of B.
func (j *loraJob) panelGrad(p, worker int) {
	w, t, rank := j.w, j.xt.Rows, j.w.a.rows
	scratch := j.r.Scratch(worker, rank*kernel.Panel+kernel.PanelsF32(1, even(t)))
	sum, packed := scratch[:rank*kernel.Panel], panels{full: scratch[rank*kernel.Panel:]}
	if w.half {
		packed = panels{half: asHalves(packed.full)}
	}
	if n := panelsOf(w.a.cols); p >= n {
		lo := (p - n) * kernel.Panel
		cols := min(kernel.Panel, w.b.rows-lo)
		packed.packCols(j.yt.Grad[lo:], t, cols, w.b.rows)
		gemm(sum, kernel.Panel, w.u.turned, packed, rank, t, cols, false)
		for c := range cols { // B lies the other way round
			grad := w.b.grad[(lo+c)*rank : (lo+c+1)*rank]
			for i := range grad {
				grad[i] += sum[i*kernel.Panel+c]
			}
		}
		return
	}
	lo := p * kernel.Panel
	cols := min(kernel.Panel, w.a.cols-lo)
	packed.packCols(j.xt.Data[lo:], t, cols, w.a.cols)
	gemm(w.a.grad[lo:], w.a.cols, w.v.turned, packed, rank, t, cols, true)
}

// asHalves sees scratch memory of float32 as bf16.
func asHalves(f []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(f))), 2*len(f))
}
