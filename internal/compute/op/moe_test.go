package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/tensor"
)

func TestMixtureGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, g := range []Gate{
		{TopK: 2, Groups: 1, Keep: 1, Scale: 1},
		{TopK: 2, Groups: 2, Keep: 1, Sigmoid: true, Normalize: true, Scale: 2.5, Bias: []float32{0.1, -0.2, 0.05, 0.02}},
	} {
		router, mirror := dense(rng, 4, 6), dense(rng, 4, 6)
		for e := range 4 { // the other mixture's choice is as steady
			copy(mirror.Data[(3-e)*6:(4-e)*6], router.Data[e*6:])
		}
		var experts []Expert
		var params []input
		for range 4 {
			e := Expert{dense(rng, 5, 6), dense(rng, 5, 6), dense(rng, 6, 5)}
			experts = append(experts, e)
			params = append(params, ofDense("gate", e.Gate.(*tensor.Dense)), ofDense("down", e.Down.(*tensor.Dense)))
		}
		params = append(params, ofDense("router", router))
		other := g
		if g.Bias != nil {
			other.Bias = []float32{g.Bias[3], g.Bias[2], g.Bias[1], g.Bias[0]}
		}
		check(t, rows(24), []*tensor.Tensor{steady(t, rng, router, g)}, params, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			y := Experts(p, in[0], Route(p, Linear(p, in[0], router, nil), g), experts)
			return Add(p, y, Experts(p, in[0], Route(p, Linear(p, in[0], mirror, nil), other), experts))
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

// TestRoute: who is chosen, with which weights; the scores are round numbers, so that the definition can be read off.
func TestRoute(t *testing.T) {
	logit := func(s ...float64) []float32 { // whose sigmoid, and share of a softmax where they sum up to 1, is s
		z := make([]float32, len(s))
		for i, v := range s {
			z[i] = float32(math.Log(v / (1 - v)))
		}
		return z
	}
	share := func(s ...float64) []float32 {
		z := make([]float32, len(s))
		for i, v := range s {
			z[i] = float32(math.Log(v))
		}
		return z
	}
	for _, c := range []struct {
		name    string
		gate    Gate
		z       []float32
		experts []int32
		weights []float64
	}{
		{"softmax", Gate{TopK: 2, Groups: 1, Keep: 1, Scale: 2}, share(0.1, 0.4, 0.3, 0.2), []int32{1, 2}, []float64{0.8, 0.6}},
		{"normalized", Gate{TopK: 2, Groups: 1, Keep: 1, Scale: 3, Normalize: true}, share(0.1, 0.6, 0.2, 0.1), []int32{1, 2}, []float64{2.25, 0.75}},
		{"of equals the first", Gate{TopK: 2, Groups: 1, Keep: 1, Scale: 1}, share(0.25, 0.25, 0.25, 0.25), []int32{0, 1}, []float64{0.25, 0.25}},
		{"bias chooses and does not weigh", Gate{TopK: 1, Groups: 1, Keep: 1, Scale: 1, Sigmoid: true, Bias: []float32{0, 0, 0.35, 0}}, logit(0.9, 0.1, 0.6, 0.2), []int32{2}, []float64{0.6}},
		{"bias adds to the score, not to the logit", Gate{TopK: 1, Groups: 1, Keep: 1, Scale: 1, Sigmoid: true, Bias: []float32{0, 0, 0.35, 0}}, logit(0.99, 0.1, 0.6, 0.2), []int32{0}, []float64{0.99}},
		{"a group's best two", Gate{TopK: 2, Groups: 2, Keep: 1, Scale: 1, Sigmoid: true}, logit(0.9, 0.1, 0.15, 0.6, 0.5, 0.3), []int32{3, 4}, []float64{0.6, 0.5}},
		{"a group's best two, the best last", Gate{TopK: 1, Groups: 2, Keep: 1, Scale: 1, Sigmoid: true}, logit(0.6, 0.5, 0.3, 0.2, 0.05, 0.8), []int32{0}, []float64{0.6}},
		{"a group's best two, one after the other", Gate{TopK: 1, Groups: 2, Keep: 1, Scale: 1, Sigmoid: true}, logit(0.5, 0.6, 0.1, 0.8, 0.1, 0.2), []int32{1}, []float64{0.6}},
		{"a group's best", Gate{TopK: 1, Groups: 2, Keep: 1, Scale: 1}, share(0.4, 0.02, 0.3, 0.28), []int32{0}, []float64{0.4}},
		{"of equal groups the first", Gate{TopK: 1, Groups: 2, Keep: 1, Scale: 1}, share(0.1, 0.4, 0.4, 0.1), []int32{1}, []float64{0.4}},
		{"two groups of three", Gate{TopK: 3, Groups: 3, Keep: 2, Scale: 1}, share(0.3, 0.05, 0.1, 0.08, 0.2, 0.27), []int32{0, 5, 4}, []float64{0.3, 0.27, 0.2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := tensor.Of(2, len(c.z), append(make([]float32, len(c.z)), c.z...)) // the second of two rows
			got := Route(newPass(t, rows(2)), z, c.gate)
			if !slices.Equal(got.Experts[c.gate.TopK:], c.experts) {
				t.Fatalf("experts %v, want %v", got.Experts[c.gate.TopK:], c.experts)
			}
			near(t, "weights", got.Weights.Row(1), c.weights, 1e-6)
		})
	}
}
