package op

import "retort/internal/compute/tensor"

// A Layer is part of a model with one input and one output of the same shape.
type Layer interface {
	Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor
}

// Apply returns layer.Forward(p, x) and gives back all memory that the layer used but its output. Without a tape
// the output is written into x, which is dead then; that is how a deep model runs in the memory of one layer.
//
// With a tape nothing is given back before the backward pass, unless recompute is set: then only x is kept, and the
// backward pass runs the layer again. Source: Chen et al. 2016, arXiv 1604.06174.
func Apply(p *Pass, layer Layer, x *tensor.Tensor, recompute bool) *tensor.Tensor {
	if p.Tape != nil && !recompute {
		return layer.Forward(p, x)
	}
	tape := p.Tape
	p.Tape = nil
	in := x
	if tape != nil {
		in = p.New(x.Rows, x.Cols)
		copy(in.Data, x.Data)
	}
	mark := p.Run.Mark()
	y := layer.Forward(p, in)
	if y != in {
		copy(in.Data, y.Data)
	}
	in.Changed()
	p.Run.Release(mark)
	p.Tape = tape
	if tape != nil {
		tape.push(&applied{y: in, x: x, layer: layer})
	}
	return in
}

type applied struct {
	y, x  *tensor.Tensor
	layer Layer
}

func (s *applied) output() *tensor.Tensor { return s.y }

// backward records the layer again and undoes it at once.
func (s *applied) backward(p *Pass) {
	mark, from := p.Run.Mark(), len(p.Tape.steps)
	// The step itself is still on the tape's place `from`; what is recorded now comes after it.
	y := s.layer.Forward(p, s.x)
	copy(p.Run.Zeroed(y), s.y.Grad)
	p.Tape.backwardTo(p, from)
	p.Run.Release(mark)
}
