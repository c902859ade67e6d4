package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/tensor"
)

func TestMixtureGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, g := range []Gate{
		{TopK: 2, Groups: 1, Keep: 1, Scale: 1},
		{TopK: 2, Groups: 2, Keep: 1, Sigmoid: true, Normalize: true, Scale: 2.5, Bias: []float32{0.1, -0.2, 0.05, 0.02}},
	} {
		router := dense(rng, 4, 6)
		var experts []Expert
		var params []input
		for range 4 {
			e := Expert{dense(rng, 5, 6), dense(rng, 5, 6), dense(rng, 6, 5)}
			experts = append(experts, e)
			params = append(params, ofDense("gate", e.Gate.(*tensor.Dense)), ofDense("down", e.Down.(*tensor.Dense)))
		}
		params = append(params, ofDense("router", router))
		check(t, rows(24), []*tensor.Tensor{steady(t, rng, router, g)}, params, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			return Experts(p, in[0], Route(p, Linear(p, in[0], router, nil), g), experts)
		})
	}
}

// steady returns 24 rows whose choice of experts a gradient check's steps cannot change: every two scores, and the
// scores of the two groups, are apart.
func steady(t *testing.T, rng *rand.Rand, router *tensor.Dense, g Gate) *tensor.Tensor {
	const gap = 0.02
	p := newPass(t, rows(1))
	var data []float32
	for len(data) < 24*6 {
		row := random(rng, 6, 1)
		s := append([]float32(nil), Linear(p, tensor.Of(1, 6, row), router, nil).Row(0)...)
		g.score(s)
		for i, b := range g.Bias {
			s[i] += b
		}
		ok := math.Abs(float64(s[0]+s[1]-s[2]-s[3])) > gap
		for i := range s {
			for j := range i {
				ok = ok && math.Abs(float64(s[i]-s[j])) > gap
			}
		}
		if ok {
			data = append(data, row...)
		}
	}
	return tensor.Of(24, 6, data)
}

func TestRouteRefusesMoreThanAll(t *testing.T) {
	defer func() {
		if got := recover(); got != "op: Route: choose 5 of 4 experts" {
			t.Errorf("panic %v", got)
		}
	}()
	Route(newPass(t, rows(1)), tensor.Of(1, 4, make([]float32, 4)), Gate{TopK: 5, Groups: 1, Keep: 1, Scale: 1})
}
