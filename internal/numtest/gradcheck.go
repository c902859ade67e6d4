package numtest

import (
	"math"
	"testing"
)

// GradCheck compares the gradient of a scalar function with central differences: f computes the value from x as it
// stands, grad is what the code under test says its gradient is. Every element of x is tried with a step of h.
//
// The error of a difference is of the order h² (curvature) + eps/h (rounding of a float32 function), so tol is
// relative to the largest gradient and not to each element.
func GradCheck(t testing.TB, name string, x, grad []float32, h float32, tol float64, f func() float64) {
	t.Helper()
	if len(x) != len(grad) {
		t.Fatalf("%s: %d values, %d gradients", name, len(x), len(grad))
	}
	want := make([]float64, len(x))
	most := 0.0
	for i, v := range x {
		x[i] = v + h
		up := f()
		step := float64(x[i])
		x[i] = v - h
		down := f()
		step -= float64(x[i])
		x[i] = v
		want[i] = (up - down) / step
		most = max(most, math.Abs(want[i]))
	}
	if most == 0 {
		t.Fatalf("%s: every difference is zero: the test sees nothing", name)
	}
	worst, at := 0.0, 0
	for i := range x {
		if d := math.Abs(float64(grad[i])-want[i]) / most; d > worst || d != d {
			worst, at = d, i
		}
	}
	if !(worst <= tol) {
		t.Errorf("%s[%d]: gradient %g, difference quotient %g, error %.2g of the largest (%g), want %.2g", name, at, grad[at], want[at], worst, most, tol)
	}
}
