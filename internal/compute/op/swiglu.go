package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// SwiGLU returns y = silu(gate)·up element by element, silu(v) = v·σ(v); all [T, F].
//
// dup += dy·silu(gate), dgate += dy·up·σ(gate)·(1 + gate·(1−σ(gate))).
// Source: Shazeer 2020, arXiv 2002.05202.
func SwiGLU(p *Pass, gate, up *tensor.Tensor) *tensor.Tensor {
	y := p.New(gate.Rows, gate.Cols)
	n := gate.Cols
	if gate.Rows == 1 {
		kernel.SwiGLU(y.Data, gate.Data, up.Data)
	} else {
		p.Run.Rows(gate.Rows, func(lo, hi, _ int) {
			kernel.SwiGLU(y.Data[lo*n:hi*n], gate.Data[lo*n:hi*n], up.Data[lo*n:hi*n])
		})
	}
	if p.Tape != nil {
		p.Tape.push(&swiGLU{y, gate, up})
	}
	return y
}

type swiGLU struct{ y, gate, up *tensor.Tensor }

func (s *swiGLU) output() *tensor.Tensor { return s.y }

func (s *swiGLU) backward(p *Pass) {
	dg, du, n := p.Run.Zeroed(s.gate), p.Run.Zeroed(s.up), s.y.Cols
	p.Run.Rows(s.y.Rows, func(lo, hi, _ int) {
		a, b := lo*n, hi*n
		kernel.SwiGLUBackward(dg[a:b], du[a:b], s.y.Grad[a:b], s.gate.Data[a:b], s.up.Data[a:b])
	})
}
