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
	s := own(p, &p.again.swiGLU)
	*s = swiGLU{y, gate, up}
	p.Run.RunRows(gate.Rows, s)
	if p.Tape != nil {
		p.Tape.push(s)
	}
	return y
}

type swiGLU struct{ y, gate, up *tensor.Tensor }

// Rows is the forward pass of rows [lo, hi).
func (s *swiGLU) Rows(lo, hi, _ int) {
	a, b := lo*s.y.Cols, hi*s.y.Cols
	kernel.SwiGLU(s.y.Data[a:b], s.gate.Data[a:b], s.up.Data[a:b])
}

func (s *swiGLU) output() *tensor.Tensor { return s.y }

func (s *swiGLU) backward(p *Pass) {
	dg, du, n := p.Run.Zeroed(s.gate), p.Run.Zeroed(s.up), s.y.Cols
	p.Run.Rows(s.y.Rows, func(lo, hi, _ int) {
		a, b := lo*n, hi*n
		kernel.SwiGLUBackward(dg[a:b], du[a:b], s.y.Grad[a:b], s.gate.Data[a:b], s.up.Data[a:b])
	})
}
