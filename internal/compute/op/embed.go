package op

import (
	"fmt"

	"retort/internal/compute/tensor"
)

// Embed returns the rows of w that the batch's tokens name: y[t] = W[tokens[t]], with W [V, D], y [T, D].
//
// dW[tokens[t]] += dy[t]. A token that W has no row of is a fault of the caller's and panics: behind the last row packed
// weights hold others that are not the vocabulary's.
func Embed(p *Pass, w tensor.Weight) *tensor.Tensor {
	vocab, width := w.Dims()
	y := p.New(len(p.Batch.Tokens), width)
	for t, id := range p.Batch.Tokens {
		if id < 0 || int(id) >= vocab {
			panic(fmt.Sprintf("op: Embed: token %d, want 0 to %d", id, vocab-1))
		}
		w.Decode(y.Row(t), int(id))
	}
	if p.Tape != nil {
		p.Tape.push(&embed{y, p.Batch.Tokens, w})
	}
	return y
}

type embed struct {
	y      *tensor.Tensor
	tokens []int32
	w      tensor.Weight
}

func (s *embed) output() *tensor.Tensor { return s.y }

func (s *embed) backward(p *Pass) {
	for t, id := range s.tokens {
		s.w.AccRow(p.Run, int(id), s.y.Grad[t*s.y.Cols:(t+1)*s.y.Cols])
	}
}
