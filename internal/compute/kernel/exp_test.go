package kernel

import (
	"fmt"
	"math"
	"testing"

	"retort/internal/numtest"
)

// expUlp is the bound that ExpSum states, in units of the last place of the result.
const expUlp = 2

// expError returns the distance of got from exp(x) in units of the last place.
func expError(got float32, x float64) float64 {
	want := math.Exp(x)
	if want < 0x1p-126 && got == 0 {
		return 0 // may be flushed
	}
	unit := math.Ldexp(1, max(math.Ilogb(want), -126)-23)
	return math.Abs(float64(got)-want) / unit
}

func TestExp(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		// Every 997th float32 of either sign up to the overflow, which is a dense net over all exponents.
		var worst, at float64
		x := make([]float32, 0, 1024)
		arg := make([]float32, 0, 1024)
		flush := func() {
			copy(x[:len(arg)], arg)
			ExpSum(x[:len(arg)], 0)
			for i, a := range arg {
				if e := expError(x[i], float64(a)); e > worst {
					worst, at = e, float64(a)
				}
			}
			arg = arg[:0]
		}
		x = x[:1024]
		for _, sign := range []uint32{0, 1 << 31} {
			for bits := uint32(0); bits < math.Float32bits(88.72); bits += 9973 {
				arg = append(arg, math.Float32frombits(bits|sign))
				if len(arg) == cap(arg) {
					flush()
				}
			}
		}
		flush()
		t.Logf("worst error %.2f units in the last place, at %v", worst, at)
		if worst > expUlp {
			t.Errorf("exp(%v) is %.2f units in the last place off, want at most %v", at, worst, expUlp)
		}

		inf, nan := float32(math.Inf(1)), float32(math.NaN())
		special := []float32{inf, -inf, 89, 1000, -1000, -104, nan, 0, float32(math.Copysign(0, -1))}
		got := append([]float32(nil), special...)
		ExpSum(got, 0)
		for i, want := range []float32{inf, 0, inf, inf, 0, 0, nan, 1, 1} {
			if got[i] != want && !(got[i] != got[i] && want != want) {
				t.Errorf("exp(%v) = %v, want %v", special[i], got[i], want)
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		v := newVectors(t, 1)
		for _, n := range lengths() {
			x := v.get(0, n)
			for i := range x {
				x[i] = 10*x[i] + 200
			}
			var most float32
			for _, e := range x {
				most = max(most, e)
			}
			want := make([]float64, n)
			var sum float64
			for i, e := range x {
				want[i] = math.Exp(float64(e - most))
				sum += want[i]
			}
			tile := append([]float32(nil), x...)
			near(t, fmt.Sprintf("ExpSum of %d", n), ExpSum(tile, most), sum, sum, (float64(n)+2*expUlp)*0x1p-24)
			Softmax(x)
			for i := range x {
				near(t, fmt.Sprintf("Softmax of %d: element %d", n, i), x[i], want[i]/sum, want[i]/sum, (float64(n)+8)*0x1p-24)
			}
		}
		x := []float32{1, float32(math.Inf(-1)), 1}
		Softmax(x)
		if x[0] != 0.5 || x[1] != 0 || x[2] != 0.5 {
			t.Errorf("Softmax of 1, -Inf, 1 = %v, want 0.5, 0, 0.5", x)
		}
	})
}

func TestSwiGLU(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		v := newVectors(t, 5)
		for _, n := range lengths() {
			gate, up, dy := v.get(0, n), v.get(1, n), v.get(2, n)
			dGate, dUp := v.get(3, n), v.get(4, n)
			for i := range gate {
				gate[i] *= 8
			}
			oldGate, oldUp := append([]float32(nil), dGate...), append([]float32(nil), dUp...)
			SwiGLUBackward(dGate, dUp, dy, gate, up)
			forward := func(g, u float64) float64 { return g / (1 + math.Exp(-g)) * u }
			const tol = 8 * ulp // exp, a division and a few products and sums, each an ulp at most
			for i := range gate {
				g, u, d := float64(gate[i]), float64(up[i]), float64(dy[i])
				s := 1 / (1 + math.Exp(-g))
				what := fmt.Sprintf("of %d: element %d", n, i)
				wantUp, wantGate := d*g*s, d*u*s*(1+g*(1-s))
				near(t, "dUp "+what, dUp[i], float64(oldUp[i])+wantUp, math.Abs(float64(oldUp[i]))+math.Abs(wantUp), tol)
				near(t, "dGate "+what, dGate[i], float64(oldGate[i])+wantGate,
					math.Abs(float64(oldGate[i]))+math.Abs(d*u)*(s+math.Abs(g*s*(1-s))), tol)
				// The formula itself, by central differences.
				const h = 1e-5
				diff := (forward(g+h, u) - forward(g-h, u)) / (2 * h) * d
				near(t, "gradient "+what, float32(wantGate), diff, math.Abs(diff)+math.Abs(d*u), 1e-6)
			}
			dst := v.get(3, n)
			SwiGLU(dst, gate, up)
			for i := range dst {
				want := forward(float64(gate[i]), float64(up[i]))
				near(t, fmt.Sprintf("SwiGLU of %d: element %d", n, i), dst[i], want, want, tol)
			}
		}
		x := []float32{-200, 200}
		SwiGLU(x, x, []float32{1, 1})
		if x[0] != 0 || x[1] != 200 {
			t.Errorf("silu(-200), silu(200) = %v, want 0, 200", x)
		}
	})
}
