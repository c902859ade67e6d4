package session

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The logarithm of a sum over a vocabulary of several tiles is that of the plain sum, and leaves the logits as they are.
func TestLogSumExp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	z := make([]float32, 2500)
	sum := 0.0
	for i := range z {
		z[i] = float32(rng.NormFloat64()*5) + 40
		sum += math.Exp(float64(z[i]))
	}
	before := slices.Clone(z)
	const tol = 1024.0 / (1 << 24) // of a sum of 1024 float32 in any order, each addition off by at most 2⁻²⁴
	if got, want := logSumExp(z), math.Log(sum); math.Abs(got-want) > tol {
		t.Errorf("%.9f, want %.9f", got, want)
	}
	if !slices.Equal(z, before) {
		t.Error("the logits were written over")
	}
}

func TestLargest(t *testing.T) {
	z := []float32{1, 5, -2, 5, 3}
	for n, want := range [][]int32{nil, {1}, {1, 3}, {1, 3, 4}, {1, 3, 4, 0}, {1, 3, 4, 0, 2}, {1, 3, 4, 0, 2}} {
		if got := largest(z, n); !slices.Equal(got, want) {
			t.Errorf("the %d largest are at %v, want %v", n, got, want)
		}
	}
}
