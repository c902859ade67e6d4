package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Add returns z = x + y, all [T, D]: the residual stream. Without a tape it writes into x, which is dead then.
//
// dx += dz, dy += dz.
func Add(p *Pass, x, y *tensor.Tensor) *tensor.Tensor {
	if p.Tape == nil {
		p.addRows(x.Data, y.Data, x.Cols)
		x.Changed()
		return x
	}
	z := p.New(x.Rows, x.Cols)
	copy(z.Data, x.Data)
	p.addRows(z.Data, y.Data, x.Cols)
	p.Tape.push(&add{z, x, y})
	return z
}

type add struct{ z, x, y *tensor.Tensor }

func (s *add) output() *tensor.Tensor { return s.z }

func (s *add) backward(p *Pass) {
	p.addRows(p.Run.Zeroed(s.x), s.z.Grad, s.z.Cols)
	p.addRows(p.Run.Zeroed(s.y), s.z.Grad, s.z.Cols)
}

// addRows sets x += y over rows of n values.
func (p *Pass) addRows(x, y []float32, n int) {
	p.again.add = addRows{x, y, n}
	p.Run.RunRows(len(x)/n, &p.again.add)
}

type addRows struct {
	x, y []float32
	n    int
}

// Rows adds rows [lo, hi).
func (j *addRows) Rows(lo, hi, _ int) { kernel.Add(j.x[lo*j.n:hi*j.n], j.y[lo*j.n:hi*j.n]) }
