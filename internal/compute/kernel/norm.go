package kernel

import "math"

// RMSNorm sets y[i] = x[i]·inv·w[i] with inv = 1/sqrt(mean(x²) + eps), and returns inv, which the backward pass needs.
//
// One row; y may be x. Source: Zhang and Sennrich 2019, Root Mean Square Layer Normalization.
func RMSNorm(y, x, w []float32, eps float32) (inv float32) {
	same(len(y), len(x), "RMSNorm")
	same(len(w), len(x), "RMSNorm")
	inv = float32(1 / math.Sqrt(float64(dot(x, x))/float64(len(x))+float64(eps)))
	mulScaled(y, x, w, inv)
	return inv
}

// mulScaledGeneric sets y = x·a·w.
func mulScaledGeneric(y, x, w []float32, a float32) {
	y, w = y[:len(x)], w[:len(x)]
	for i, v := range x {
		y[i] = v * a * w[i]
	}
}
