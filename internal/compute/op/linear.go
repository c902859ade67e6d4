package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Linear returns y = x·Wᵀ + b, with x [T, in], W [out, in], b [out] or nil, y [T, out].
//
// dx += dy·W, dW += dyᵀ·x, db += Σ_t dy[t].
func Linear(p *Pass, x *tensor.Tensor, w tensor.Weight, b *tensor.Vector) *tensor.Tensor {
	out, _ := w.Dims()
	y := p.New(x.Rows, out)
	tensor.MatMul(p.Run, y, x, w)
	finishLinear(p, y, x, w, b)
	return y
}

// Linear2 is two Linears of one input as one job for the pool: gate and up.
func Linear2(p *Pass, x *tensor.Tensor, w1, w2 tensor.Weight) (y1, y2 *tensor.Tensor) {
	out1, _ := w1.Dims()
	out2, _ := w2.Dims()
	y1, y2 = p.New(x.Rows, out1), p.New(x.Rows, out2)
	ys, ws := [2]*tensor.Tensor{y1, y2}, [2]tensor.Weight{w1, w2}
	tensor.MatMulAll(p.Run, x, ys[:], ws[:])
	finishLinear(p, y1, x, w1, nil)
	finishLinear(p, y2, x, w2, nil)
	return y1, y2
}

// Linear3 is three Linears of one input as one job for the pool: query, key and value.
func Linear3(p *Pass, x *tensor.Tensor, w [3]tensor.Weight, b [3]*tensor.Vector) (y [3]*tensor.Tensor) {
	for i := range w {
		out, _ := w[i].Dims()
		y[i] = p.New(x.Rows, out)
	}
	tensor.MatMulAll(p.Run, x, y[:], w[:])
	for i := range w {
		finishLinear(p, y[i], x, w[i], b[i])
	}
	return y
}

func finishLinear(p *Pass, y, x *tensor.Tensor, w tensor.Weight, b *tensor.Vector) {
	if b != nil {
		for t := range y.Rows {
			kernel.Add(y.Row(t), b.Data)
		}
	}
	if p.Tape != nil {
		p.Tape.push(&linear{y, x, w, b})
	}
}

type linear struct {
	y, x *tensor.Tensor
	w    tensor.Weight
	b    *tensor.Vector
}

func (s *linear) output() *tensor.Tensor { return s.y }

func (s *linear) backward(p *Pass) {
	if s.b != nil && s.b.Grad != nil {
		for t := range s.y.Rows {
			kernel.Add(s.b.Grad, s.y.Grad[t*s.y.Cols:(t+1)*s.y.Cols])
		}
	}
	s.w.AccGrad(p.Run, s.y, s.x)
	s.w.MatMulT(p.Run, s.x, s.y)
}
