package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/tensor"
)

func TestRopeGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for _, pairs := range []bool{false, true} {
		r := NewRopeTable([]float64{1, 0.3, 0.01}, pairs, 1.2)
		id := dense(rng, 16, 16)
		check(t, rows(5, 2), []*tensor.Tensor{x(rng, 7, 16)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			y := Linear(p, in[0], id, nil)
			Rope(p, y, r, 8, 1)
			return y
		})
	}
}

// TestRope: values [at, at+width) of each head are turned by position times frequency and scaled, the others stay. The
// table grows as positions come.
func TestRope(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 20))
	const heads, d, at, scale = 2, 8, 1, 1.25
	freq := []float64{1, 0.3, 0.01}
	for _, pairs := range []bool{false, true} {
		r := NewRopeTable(freq, pairs, scale)
		for _, pos := range [][]int32{{2, 0}, {1, 7}, {900, 3}} {
			b := rows(2)
			b.Pos = pos
			in := x(rng, 2, heads*d)
			want := make([]float64, len(in.Data))
			for i, v := range in.Data {
				want[i] = float64(v)
			}
			for i := range 2 * heads { // a head of a row
				for j, f := range freq {
					first, second := i*d+at+j, i*d+at+j+len(freq)
					if pairs {
						first, second = i*d+at+2*j, i*d+at+2*j+1
					}
					sin, cos := math.Sincos(float64(pos[i/heads]) * f)
					a, b := want[first], want[second]
					want[first], want[second] = scale*(a*cos-b*sin), scale*(a*sin+b*cos)
				}
			}
			Rope(newPass(t, b), in, r, d, at)
			near(t, "rotated", in.Data, want, 1e-6)
		}
	}
	if w := NewRopeTable(freq, false, 1).Width(); w != 6 {
		t.Errorf("width %d", w)
	}
}
