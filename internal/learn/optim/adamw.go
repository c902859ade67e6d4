// Package optim changes parameters by their gradients: AdamW, the clipping of gradients, and the schedules of
// the learning rate. It knows no models and no data. Open this file first.
package optim

import (
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Group is a parameter in one piece: its values and its gradient, of one length.
type Group struct {
	Name        string
	Data, Grad  []float32
	Decay       bool      // weight decay applies: matrices, not norms and biases
	M, V        []float32 // the moments, made by NewAdamW
	AfterUpdate func()    // told when Data has changed, or nil
}

// AdamWOptions are the constants of AdamW.
type AdamWOptions struct {
	Beta1, Beta2, Eps, WeightDecay float64
	Clip                           float64 // bound on the norm of all gradients together; 0 is none
}

// DefaultAdamW is what DeepSeek-V3 and most of the field train with.
var DefaultAdamW = AdamWOptions{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1}

// AdamW is the optimizer of Loshchilov and Hutter 2017, arXiv 1711.05101 (algorithm 2), with decoupled decay:
//
//	m ← β1·m + (1−β1)·g,  v ← β2·v + (1−β2)·g²
//	p ← p − lr·( (m/(1−β1^t)) / (sqrt(v/(1−β2^t)) + ε) + wd·p )
type AdamW struct {
	AdamWOptions
	Groups []*Group
	Steps  int // done
}

// NewAdamW returns an optimizer with moments of zero.
func NewAdamW(groups []*Group, o AdamWOptions) *AdamW {
	for _, g := range groups {
		g.M, g.V = make([]float32, len(g.Data)), make([]float32, len(g.Data))
	}
	return &AdamW{AdamWOptions: o, Groups: groups}
}

// piece is how many values of a group one part of a step takes.
const piece = 1 << 15

// Step updates every group by its gradient, clears the gradients and returns their norm before clipping. A step
// whose gradients are not finite changes nothing but counts; ok is false then.
func (a *AdamW) Step(r *tensor.Run, lr float64) (norm float64, ok bool) {
	pieces := a.pieces()
	sums := make([]float64, len(pieces))
	r.Rows(len(pieces), func(lo, hi, _ int) {
		for i := lo; i < hi; i++ {
			sums[i] = float64(kernel.SumSquares(pieces[i].grad()))
		}
	})
	sum := 0.0
	for _, s := range sums { // in one fixed order: the norm does not depend on the workers
		sum += s
	}
	norm = math.Sqrt(sum)
	a.Steps++
	ok = !math.IsNaN(norm) && !math.IsInf(norm, 0)
	scale := 1.0
	if a.Clip > 0 && norm > a.Clip {
		scale = a.Clip / norm
	}
	c1, c2 := 1-math.Pow(a.Beta1, float64(a.Steps)), 1-math.Pow(a.Beta2, float64(a.Steps))
	r.Rows(len(pieces), func(lo, hi, _ int) {
		for _, p := range pieces[lo:hi] {
			if ok {
				p.update(a, lr, c1, c2, scale)
			}
			clear(p.grad())
		}
	})
	for _, g := range a.Groups {
		if g.AfterUpdate != nil {
			g.AfterUpdate()
		}
	}
	return norm, ok
}

type part struct {
	g      *Group
	lo, hi int
}

func (a *AdamW) pieces() []part {
	var ps []part
	for _, g := range a.Groups {
		for lo := 0; lo < len(g.Data); lo += piece {
			ps = append(ps, part{g, lo, min(lo+piece, len(g.Data))})
		}
	}
	return ps
}

func (p part) grad() []float32 { return p.g.Grad[p.lo:p.hi] }

func (p part) update(a *AdamW, lr, c1, c2, scale float64) {
	wd := 0.0
	if p.g.Decay {
		wd = a.WeightDecay
	}
	kernel.AdamW(p.g.Data[p.lo:p.hi], p.g.M[p.lo:p.hi], p.g.V[p.lo:p.hi], p.grad(), float32(lr), float32(a.Beta1), float32(a.Beta2),
		float32(a.Eps), float32(wd), float32(c1), float32(c2), float32(scale))
}
