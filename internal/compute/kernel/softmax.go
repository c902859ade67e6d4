package kernel

import "math"

// Softmax sets x[i] = exp(x[i]-m) / Σ exp(x[j]-m), with m the largest x. One row; an empty one stays empty.
//
// An x of -Inf becomes 0. If all are -Inf, or one is NaN or +Inf, the result is NaN.
func Softmax(x []float32) {
	if len(x) == 0 {
		return
	}
	scale(1/expSum(x, maximum(x)), x)
}

// ExpSum sets x[i] = exp(x[i]-max) and returns the sum: one tile of a running softmax.
//
// exp is within 2 units in the last place of the exact value of float32(x[i]-max); results below 2⁻¹²⁶ may be 0.
func ExpSum(x []float32, max float32) float32 { return expSum(x, max) }

func expSumGeneric(x []float32, max float32) float32 {
	var s0, s1 float32 // two sums halve the length of the chain
	for i, v := range x {
		e := exp(v - max)
		x[i] = e
		if i&1 == 0 {
			s0 += e
		} else {
			s1 += e
		}
	}
	return s0 + s1
}

func exp(x float32) float32 { return float32(math.Exp(float64(x))) }
