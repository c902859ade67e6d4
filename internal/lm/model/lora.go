package model

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"retort/internal/compute/kernel"
	"retort/internal/compute/quant"
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
// run again (op.Apply) needs no care. One Run at a time may use the LoRAs of a model: each has room for its u, and they
// share what backward needs.
// Source: Hu et al. 2021, arXiv 2106.09685.
type LoRA struct {
	base   tensor.Weight
	stored quant.Type // of W in the file
	merged []byte     // W so stored after Merge
	a, b   factor
	scale  float32

	precision tensor.Precision // of products with A and B

	u    narrow // of the product at hand
	back *loraBack
	job  loraJob
}

// loraBack is scratch of the backward pass.
type loraBack struct {
	u, v narrow
	// Whose v is at hand: AccGrad leaves it for the MatMulT that follows.
	of *LoRA
	y  *tensor.Tensor
}

// newLoRA wraps base; name decides the random numbers of A together with the seed.
//
// A is uniform in ±1/sqrt(in), which is what PEFT's kaiming_uniform_(a=sqrt(5)) comes to.
func newLoRA(base tensor.Weight, stored quant.Type, c *LoRAConfig, name string, p tensor.Precision, back *loraBack) *LoRA {
	out, in := base.Dims()
	w := &LoRA{base: base, stored: stored, a: newFactor(c.Rank, in, p), b: newFactor(out, c.Rank, p), scale: float32(c.Alpha / float64(c.Rank)), precision: p, back: back}
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
	w.u.growRows(x.Rows, w.a.rows, w.precision)
	w.job = loraJob{w: w, what: loraForward, x: r.Operand(x, w.precision)}
	w.job.overRows(r, x.Rows)
}

// Columns sets y[:, lo:hi] = x·W[lo:hi, :]ᵀ + u·B[lo:hi, :]ᵀ.
func (w *LoRA) Columns(r *tensor.Run, y, x *tensor.Tensor, lo, hi, worker int) {
	w.base.Columns(r, y, x, lo, hi, worker)
	tensor.Gemm(y.Data[lo:], y.Cols, w.u.rows, w.b.overRows.From(lo), x.Rows, hi-lo, true)
}

// AccGrad adds dyᵀ·u to the gradient of B and vᵀ·x to that of A.
func (w *LoRA) AccGrad(r *tensor.Run, y, x *tensor.Tensor) {
	w.a.packRows(r)
	w.back.u.growTurned(x.Rows, w.a.rows, w.precision)
	w.back.v.growTurned(x.Rows, w.a.rows, w.precision)
	w.backward(r, y, loraNarrow, r.Operand(x, w.precision))
	w.job = loraJob{w: w, what: loraGrads, xt: x, yt: y}
	w.job.overPanels(r)
	w.back.of, w.back.y = w, y
}

// MatMulT adds dy·W + v·A to the gradient of x.
func (w *LoRA) MatMulT(r *tensor.Run, x, y *tensor.Tensor) {
	w.base.MatMulT(r, x, y)
	w.a.packCols(r)
	if w.back.of != w || w.back.y != y {
		w.backward(r, y, loraBackward, tensor.Operand{})
	}
	w.back.of, w.back.y = nil, nil
	w.job = loraJob{w: w, what: loraInput, xt: x}
	w.job.overRows(r, x.Rows)
	w.job = loraJob{}
}

// backward computes v, and what else the work asks for, from the gradient of y.
func (w *LoRA) backward(r *tensor.Run, y *tensor.Tensor, what loraWork, x tensor.Operand) {
	w.b.packCols(r)
	w.back.v.growRows(y.Rows, w.b.cols, w.precision)
	dy := tensor.Of(y.Rows, y.Cols, y.Grad)
	w.job = loraJob{w: w, what: what, x: x, dy: r.Operand(dy, w.precision)}
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
	x, dy   tensor.Operand
	xt, yt  *tensor.Tensor
	n, step int
}

type loraWork uint8

const (
	loraForward  loraWork = iota // u
	loraNarrow                   // v, and the transposed forms of u and v
	loraBackward                 // v
	loraInput                    // dx += v·A
	loraGrads                    // dA += vᵀ·x, dB += dyᵀ·u
)

// leastRows are worth a part of their own: a tile of the kernels has twelve.
const leastRows = 24

func (j *loraJob) overRows(r *tensor.Run, rows int) {
	j.r, j.n, j.step = r, rows, max(leastRows, (rows+4*r.Pool.Threads()-1)/(4*r.Pool.Threads()))
	r.Pool.Run(j, (rows+j.step-1)/j.step)
}

func (j *loraJob) overPanels(r *tensor.Run) {
	j.r, j.n = r, panelsOf(j.w.a.cols)+panelsOf(j.w.b.rows)
	j.step = max(1, j.n/(8*r.Pool.Threads()))
	r.Pool.Run(j, (j.n+j.step-1)/j.step)
}

// Part does the work on rows or panels [lo, hi).
func (j *loraJob) Part(i, worker int) {
	w, lo, hi := j.w, i*j.step, min((i+1)*j.step, j.n)
	if j.what <= loraBackward {
		values := j.r.Scratch(worker, (hi-lo)*w.a.rows)
		j.narrow(values, lo, hi)
		return
	}
	switch j.what {
	case loraInput:
		tensor.Gemm(j.xt.Grad[lo*w.a.cols:], w.a.cols, w.back.v.rows.From(lo), w.a.overCols, hi-lo, w.a.cols, true)
	case loraGrads:
		for p := lo; p < hi; p++ {
			j.panelGrad(p, worker)
		}
	}
}

// narrow computes rows [lo, hi) of u, of v or of both, by way of values, [hi-lo, r].
func (j *loraJob) narrow(values []float32, lo, hi int) {
	w, back := j.w, j.w.back
	if j.what == loraForward {
		w.u.multiply(values, j.x, w.a.overRows, lo, hi, w.scale)
		w.u.setRows(values, lo, hi)
		return
	}
	if j.what == loraNarrow {
		back.u.multiply(values, j.x, w.a.overRows, lo, hi, w.scale)
		back.u.setTurned(values, lo, hi)
	}
	back.v.multiply(values, j.dy, w.b.overCols, lo, hi, w.scale)
	back.v.setRows(values, lo, hi)
	if j.what == loraNarrow {
		back.v.setTurned(values, lo, hi)
	}
}

// panelGrad adds to the gradient of 16 columns of A, or of 16 rows of B.
func (j *loraJob) panelGrad(p, worker int) {
	w, t, rank := j.w, j.xt.Rows, j.w.a.rows
	scratch := j.r.Scratch(worker, rank*kernel.Panel+tensor.PanelScratch(t))
	sum, packed := scratch[:rank*kernel.Panel], tensor.ScratchPanels(w.precision, scratch[rank*kernel.Panel:], t)
	if n := panelsOf(w.a.cols); p >= n {
		lo := (p - n) * kernel.Panel
		cols := min(kernel.Panel, w.b.rows-lo)
		packed.PackCols(j.yt.Grad[lo:], cols, w.b.rows)
		tensor.Gemm(sum, kernel.Panel, w.back.u.turned, packed, rank, cols, false)
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
	packed.PackCols(j.xt.Data[lo:], cols, w.a.cols)
	tensor.Gemm(w.a.grad[lo:], w.a.cols, w.back.v.turned, packed, rank, cols, true)
}
