package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Split returns the first n columns of x [T, C] and the others: [T, n], [T, C-n].
//
// dx is the two gradients side by side.
func Split(p *Pass, x *tensor.Tensor, n int) (a, b *tensor.Tensor) {
	a, b = p.New(x.Rows, n), p.New(x.Rows, x.Cols-n)
	for t := range x.Rows {
		copy(a.Row(t), x.Row(t))
		copy(b.Row(t), x.Row(t)[n:])
	}
	if p.Tape != nil {
		p.Tape.push(&split{a, b, x})
	}
	return a, b
}

type split struct{ a, b, x *tensor.Tensor }

// output is nil, since either of the two may be used alone.
func (s *split) output() *tensor.Tensor { return nil }

func (s *split) backward(p *Pass) {
	if s.a.Grad != nil || s.b.Grad != nil {
		dx, da, db := p.Run.Zeroed(s.x), p.Run.Zeroed(s.a), p.Run.Zeroed(s.b)
		n, m := s.a.Cols, s.b.Cols
		for t := range s.x.Rows {
			row := dx[t*(n+m) : (t+1)*(n+m)]
			kernel.Add(row[:n], da[t*n:(t+1)*n])
			kernel.Add(row[n:], db[t*m:(t+1)*m])
		}
	}
	p.Run.Free(s.a)
	p.Run.Free(s.b)
}
