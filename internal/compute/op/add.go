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
		addRows(p, x.Data, y.Data, x.Cols, x.Rows)
		x.Changed()
		return x
	}
	z := p.New(x.Rows, x.Cols)
	copy(z.Data, x.Data)
	addRows(p, z.Data, y.Data, x.Cols, x.Rows)
	p.Tape.push(&add{z, x, y})
	return z
}

type add struct{ z, x, y *tensor.Tensor }

func (s *add) output() *tensor.Tensor { return s.z }

func (s *add) backward(p *Pass) {
	addRows(p, p.Run.Zeroed(s.x), s.z.Grad, s.z.Cols, s.z.Rows)
	addRows(p, p.Run.Zeroed(s.y), s.z.Grad, s.z.Cols, s.z.Rows)
}

// addRows sets x += y over rows of n values.
func addRows(p *Pass, x, y []float32, n, rows int) {
	if rows == 1 {
		kernel.Add(x, y)
		return
	}
	p.Run.Rows(rows, func(lo, hi, _ int) { kernel.Add(x[lo*n:hi*n], y[lo*n:hi*n]) })
}
