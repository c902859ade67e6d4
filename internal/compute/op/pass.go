// Package op holds the differentiable operations that models are written in: each file is one op with its
// formula, its forward pass and, right below, its backward pass.
//
// An op asks its Pass three things and no more: the workers (Run), whether gradients are wanted (Tape), and which
// rows belong to which sequence (Batch). It knows no models, no files and no text. Open pass.go first, then
// linear.go.
//
// Letters in this package: T rows (tokens), D model width, H query heads, K key/value heads, d head width,
// E experts, V vocabulary.
package op

import (
	"retort/internal/compute/tensor"
)

// A Pass is one run of a model over a Batch. One that answers may be used again for the next Batch, and then allocates
// nothing.
type Pass struct {
	Run   *tensor.Run
	Tape  *Tape // nil when no gradients are wanted
	Batch *Batch

	again memory
}

// memory is what ops without a tape use again and again: the step of each op at work, and slices of integers.
type memory struct {
	add    addRows
	norm   rmsNorm
	rope   rope
	swiGLU swiGLU
	attend attend
	heads  headsJob
	chosen []int32
	places []int32
	ends   []int32
}

// own returns a step that a tape may keep, or without a tape the one at again.
func own[S any](p *Pass, again *S) *S {
	if p.Tape == nil {
		return again
	}
	return new(S)
}

// ownInts returns n integers that a tape may keep, or without a tape those at again. Their content is not set.
func ownInts(p *Pass, again *[]int32, n int) []int32 {
	if p.Tape != nil {
		return make([]int32, n)
	}
	if cap(*again) < n {
		*again = make([]int32, n+n/4)
	}
	return (*again)[:n]
}

// New returns a [rows, cols] tensor whose content is not set.
func (p *Pass) New(rows, cols int) *tensor.Tensor { return p.Run.New(rows, cols) }

// A Batch is T rows, flat: prefill, decoding, packed training rows and speculative checks differ only in it.
type Batch struct {
	Tokens []int32
	Pos    []int32 // position of each row in its sequence
	Seqs   []Seq   // rows in order, without gaps
}

// A Seq is a run of rows that attend to one another, and to what Cache holds of the sequence before them.
type Seq struct {
	Lo, Hi int   // rows of the batch
	Cache  Cache // nil in training: the sequence is these rows alone
}

// Cache gives an attention op the keys and values of one sequence in one layer.
type Cache interface {
	Layer(i int) *KV
}

// Rows returns the number of rows, T.
func (b *Batch) Rows() int { return len(b.Tokens) }

// A Tape records the steps of a forward pass that a backward pass undoes in reverse.
type Tape struct {
	steps []step
}

// A step is one recorded op. backward adds to the gradients of its inputs what the gradient of its output says;
// output is the tensor that the step alone made, whose memory goes back once the step is undone. A step that made none,
// or several, returns nil and sees to both itself.
type step interface {
	backward(p *Pass)
	output() *tensor.Tensor
}

func (t *Tape) push(s step) { t.steps = append(t.steps, s) }

// Backward runs the recorded steps in reverse and empties the tape. The gradient of the last output must be set.
func (t *Tape) Backward(p *Pass) { t.backwardTo(p, 0) }

// backwardTo undoes the steps from the last down to number from.
func (t *Tape) backwardTo(p *Pass, from int) {
	for i := len(t.steps) - 1; i >= from; i-- {
		s := t.steps[i]
		t.steps[i] = nil
		y := s.output()
		if y == nil || y.Grad != nil { // an output that nothing used has no gradient to hand on
			s.backward(p)
		}
		if y != nil {
			p.Run.Free(y)
		}
	}
	t.steps = t.steps[:from]
}
