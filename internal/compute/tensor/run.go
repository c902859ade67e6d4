package tensor

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/par"
)

// A Run is what computing needs besides numbers: the worker pool and scratch memory that is used again from
// step to step. One goroutine at a time uses a Run; the workers inside share it.
type Run struct {
	Pool *par.Pool

	floats buffers[float32]
	halves buffers[uint16]
	bytes  buffers[byte]
	spare  []*Tensor // released headers
	live   []*Tensor // every tensor since the start, in order of making

	ws [8]Weight
	ys [8]*Tensor
	mm matMulJob

	scratch [][]float32 // one a worker
	rows    rowsJob
	conv    convertJob
}

// NewRun returns a Run over pool.
func NewRun(pool *par.Pool) *Run {
	return &Run{Pool: pool, scratch: make([][]float32, pool.Threads())}
}

// New returns a [rows, cols] tensor whose Data is not set.
func (r *Run) New(rows, cols int) *Tensor {
	var x *Tensor
	if n := len(r.spare); n > 0 {
		x, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		x = new(Tensor)
	}
	x.Rows, x.Cols, x.state = rows, cols, stateLive
	x.Data = r.floats.take(rows * cols)
	r.live = append(r.live, x)
	return x
}

// Zeroed returns x.Grad, made of zeros where it was nil.
func (r *Run) Zeroed(x *Tensor) []float32 {
	if x.Grad == nil {
		x.Grad = r.floats.take(len(x.Data))
		clear(x.Grad)
	}
	return x.Grad
}

// Free releases the memory of x before its time; x may not be used again.
func (r *Run) Free(x *Tensor) {
	if x.state != stateLive {
		return
	}
	r.floats.give(x.Data)
	if x.Grad != nil {
		r.floats.give(x.Grad)
	}
	x.Data, x.Grad, x.state = nil, nil, stateFree
	x.Changed()
}

// Mark returns a place to which Release goes back.
func (r *Run) Mark() int { return len(r.live) }

// Release frees every tensor made since mark.
func (r *Run) Release(mark int) {
	for i := mark; i < len(r.live); i++ {
		r.Free(r.live[i])
		r.spare = append(r.spare, r.live[i])
		r.live[i] = nil
	}
	r.live = r.live[:mark]
}

// Bytes returns how much activation memory the Run holds, used or waiting for use.
func (r *Run) Bytes() int { return 4*r.floats.total + 2*r.halves.total + r.bytes.total }

// Scratch returns n floats that belong to worker until its part ends. Their content is not set.
func (r *Run) Scratch(worker, n int) []float32 {
	if cap(r.scratch[worker]) < n {
		r.scratch[worker] = make([]float32, n+n/4)
	}
	return r.scratch[worker][:n]
}

// RowsJob is a loop over independent rows: Rows does [lo, hi).
type RowsJob interface{ Rows(lo, hi, worker int) }

// RowsFunc makes a RowsJob of a function.
type RowsFunc func(lo, hi, worker int)

// Rows calls f.
func (f RowsFunc) Rows(lo, hi, worker int) { f(lo, hi, worker) }

// rowsJob cuts a RowsJob into parts.
type rowsJob struct {
	n, step int
	job     RowsJob
}

func (j *rowsJob) Part(i, worker int) { j.job.Rows(i*j.step, min((i+1)*j.step, j.n), worker) }

// Rows calls f on ranges that together cover n rows, on all workers, and returns when all are done. It is for
// loops over independent rows; one row is a plain call.
func (r *Run) Rows(n int, f func(lo, hi, worker int)) { r.RunRows(n, RowsFunc(f)) }

// RunRows is Rows for a job whose memory the caller has already: a function with its variables is an allocation,
// which each token of an answer would pay again.
func (r *Run) RunRows(n int, job RowsJob) {
	if n == 0 {
		return
	}
	step := max(1, (n+4*r.Pool.Threads()-1)/(4*r.Pool.Threads()))
	if n == 1 || r.Pool.Threads() == 1 {
		job.Rows(0, n, 0)
		return
	}
	r.rows = rowsJob{n: n, step: step, job: job}
	r.Pool.Run(&r.rows, (n+step-1)/step)
	r.rows.job = nil
}

// convertJob fills the converted form of a tensor, a range of rows a part.
type convertJob struct {
	x       *Tensor
	grad    []uint16 // where the gradient goes in bf16, or nil
	toInt8  bool
	n, step int
}

func (j *convertJob) Part(i, _ int) {
	lo, hi := i*j.step, min((i+1)*j.step, j.n)
	if j.grad != nil {
		ld := evenCols(j.x.Cols)
		for t := lo; t < hi; t++ {
			kernel.ToBF16(j.grad[t*ld:t*ld+j.x.Cols], j.x.Grad[t*j.x.Cols:(t+1)*j.x.Cols])
		}
		return
	}
	if j.toInt8 {
		j.x.int8.Quantize(j.x.Data, lo, hi)
		return
	}
	ld := evenCols(j.x.Cols)
	for t := lo; t < hi; t++ {
		kernel.ToBF16(j.x.bf16[t*ld:t*ld+j.x.Cols], j.x.Row(t))
	}
}

func evenCols(n int) int { return n + n&1 }

func (r *Run) convert(x *Tensor, toInt8 bool) {
	step := max(1, (x.Rows+4*r.Pool.Threads()-1)/(4*r.Pool.Threads()))
	r.conv = convertJob{x: x, toInt8: toInt8, n: x.Rows, step: step}
	r.Pool.Run(&r.conv, (x.Rows+step-1)/step)
	r.conv.x = nil
}

// BF16 returns the rows of x in bf16 and their stride, which is even (an odd end is zero), converting them once.
func (r *Run) BF16(x *Tensor) (rows []uint16, stride int) {
	stride = evenCols(x.Cols)
	if x.bf16 == nil {
		x.run = r
		x.bf16 = r.halves.take(x.Rows * stride)
		if stride != x.Cols {
			clear(x.bf16)
		}
		r.convert(x, false)
	}
	return x.bf16, stride
}

// Int8 returns the rows of x as int8 in blocks with their scales, quantizing them once.
func (r *Run) Int8(x *Tensor) *kernel.Int8 {
	if x.int8.Data == nil {
		x.run = r
		x.int8.Rows, x.int8.Cols = x.Rows, x.Cols
		x.int8.Data = r.bytes.take(kernel.Int8Size(x.Rows, x.Cols))
		r.convert(x, true)
	}
	return &x.int8
}

// gradBF16 returns the gradient of y in bf16, with an even stride; the caller gives it back.
func (r *Run) gradBF16(y *Tensor) []uint16 {
	stride := evenCols(y.Cols)
	h := r.halves.take(y.Rows * stride)
	if stride != y.Cols {
		clear(h)
	}
	r.conv = convertJob{grad: h, x: y, n: y.Rows, step: max(1, (y.Rows+4*r.Pool.Threads()-1)/(4*r.Pool.Threads()))}
	r.Pool.Run(&r.conv, (y.Rows+r.conv.step-1)/r.conv.step)
	r.conv = convertJob{}
	return h
}
