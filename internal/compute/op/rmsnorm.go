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
	if x.Rows == 1 {
		normRows(y, x, w, eps, 0, 1)
	} else {
		p.Run.Rows(x.Rows, func(lo, hi, _ int) { normRows(y, x, w, eps, lo, hi) })
	}
	if p.Tape != nil {
		p.Tape.push(&rmsNorm{y, x, w, eps})
	}
	return y
}

func normRows(y, x *tensor.Tensor, w *tensor.Vector, eps float32, lo, hi int) {
	d := len(w.Data)
	for i := lo * x.Cols; i < hi*x.Cols; i += d {
		kernel.RMSNorm(y.Data[i:i+d], x.Data[i:i+d], w.Data, eps)
	}
}

type rmsNorm struct {
	y, x *tensor.Tensor
	w    *tensor.Vector
	eps  float32
}

func (s *rmsNorm) output() *tensor.Tensor { return s.y }

func (s *rmsNorm) backward(p *Pass) {
	dx := p.Run.Zeroed(s.x)
	dy := s.y.Grad
	d := len(s.w.Data)
	if s.w.Grad != nil {
		s.backwardWeight(dy, d)
	}
	p.Run.Rows(s.x.Rows, func(lo, hi, worker int) {
		dyw := p.Run.Scratch(worker, d)
		for i := lo * s.x.Cols; i < hi*s.x.Cols; i += d {
			x := s.x.Data[i : i+d]
			copy(dyw, dy[i:i+d])
			kernel.Mul(dyw, s.w.Data)
			r := 1 / float32(math.Sqrt(float64(kernel.SumSquares(x)/float32(d)+s.eps)))
			mean := kernel.Dot(dyw, x) * r / float32(d)
			kernel.Axpy(r, dyw, dx[i:i+d])
			kernel.Axpy(-r*r*mean, x, dx[i:i+d])
		}
	})
}

// backwardWeight adds to the gradient of w row by row in order, so that the sum does not depend on the workers.
func (s *rmsNorm) backwardWeight(dy []float32, d int) {
	g := s.w.Grad
	for i := 0; i < len(dy); i += d {
		x := s.x.Data[i : i+d]
		r := 1 / float32(math.Sqrt(float64(kernel.SumSquares(x)/float32(d)+s.eps)))
		for j, v := range x {
			g[j] += dy[i+j] * v * r
		}
	}
}
