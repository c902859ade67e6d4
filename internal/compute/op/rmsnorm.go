package op

import (
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// RMSNorm returns y with y[t] = x[t]/rms(x[t]) * w for each run of len(w) values, rms(v) = sqrt(mean(v²)+eps).
//
// x and y are [T, n·len(w)]: n is 1 for a layer's norm, the number of heads for a norm of each head (Qwen3).
// With r = 1/rms and x̂ = x·r: dw += dy·x̂, dx += r·(dy·w − x̂·mean(dy·w·x̂)).
// Source: Zhang and Sennrich 2019, arXiv 1910.07467.
func RMSNorm(p *Pass, x *tensor.Tensor, w *tensor.Vector, eps float32) *tensor.Tensor {
	y := p.New(x.Rows, x.Cols)
	s := own(p, &p.again.norm)
	*s = rmsNorm{y: y, x: x, w: w, eps: eps}
	p.Run.RunRows(x.Rows, s)
	if p.Tape != nil {
		p.Tape.push(s)
	}
	return y
}

type rmsNorm struct {
	y, x *tensor.Tensor
	w    *tensor.Vector
	eps  float32
	inv  []float32 // r of each run of values, which the gradients of x and of w share
}

// Rows is the forward pass of rows [lo, hi).
func (s *rmsNorm) Rows(lo, hi, _ int) {
	d := len(s.w.Data)
	for i := lo * s.x.Cols; i < hi*s.x.Cols; i += d {
		kernel.RMSNorm(s.y.Data[i:i+d], s.x.Data[i:i+d], s.w.Data, s.eps)
	}
}

func (s *rmsNorm) output() *tensor.Tensor { return s.y }

func (s *rmsNorm) backward(p *Pass) {
	dx := p.Run.Zeroed(s.x)
	dy := s.y.Grad
	d := len(s.w.Data)
	s.inv = make([]float32, len(dy)/d)
	p.Run.Rows(s.x.Rows, func(lo, hi, worker int) {
		dyw := p.Run.Scratch(worker, d)
		for i := lo * s.x.Cols; i < hi*s.x.Cols; i += d {
			x := s.x.Data[i : i+d]
			copy(dyw, dy[i:i+d])
			kernel.Mul(dyw, s.w.Data)
			r := 1 / float32(math.Sqrt(float64(kernel.SumSquares(x)/float32(d)+s.eps)))
			s.inv[i/d] = r
			mean := kernel.Dot(dyw, x) * r / float32(d)
			kernel.Axpy(r, dyw, dx[i:i+d])
			kernel.Axpy(-r*r*mean, x, dx[i:i+d])
		}
	})
	if s.w.Grad != nil {
		s.backwardWeight(dy, d)
	}
}

// backwardWeight adds to the gradient of w row by row in order, so that the sum does not depend on the workers.
func (s *rmsNorm) backwardWeight(dy []float32, d int) {
	g := s.w.Grad
	for i := 0; i < len(dy); i += d {
		r := s.inv[i/d]
		for j, v := range s.x.Data[i : i+d] {
			g[j] += dy[i+j] * v * r
		}
	}
}
