package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/numtest"
)

// lengths are all up to 130 and some beyond: every tail and every unrolled loop.
func lengths() []int {
	var n []int
	for i := range 131 {
		n = append(n, i)
	}
	return append(n, 191, 256, 300, 1027)
}

// vectors hands out vectors that end at an unreadable page.
type vectors struct {
	pages [][]float32
	rand  *rand.Rand
}

func newVectors(t testing.TB, count int) *vectors {
	v := &vectors{rand: rand.New(rand.NewPCG(7, 8))}
	for range count {
		v.pages = append(v.pages, numtest.EndOfPage(t, 2200))
	}
	return v
}

// get fills the i-th vector with n normal values.
func (v *vectors) get(i, n int) []float32 {
	x := last(v.pages[i], n)
	for j := range x {
		x[j] = float32(v.rand.NormFloat64())
	}
	return x
}

// near holds got against want with an error relative to size, the sum of what was added up.
func near(t *testing.T, what string, got float32, want, size, relative float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= relative*math.Abs(size)) {
		t.Fatalf("%s = %v, want %v within %v", what, got, want, relative*math.Abs(size))
	}
}

const ulp = 0x1p-23 // one unit in the last place of 1

func TestReductions(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		v := newVectors(t, 2)
		for _, n := range lengths() {
			x, y := v.get(0, n), v.get(1, n)
			var dot, abs, squares float64
			for i := range x {
				p := float64(x[i]) * float64(y[i])
				dot += p
				abs += math.Abs(p)
				squares += float64(x[i]) * float64(x[i])
			}
			what := fmt.Sprintf("of %d", n)
			near(t, "Dot "+what, Dot(x, y), dot, abs, float64(n)*0x1p-24)
			near(t, "SumSquares "+what, SumSquares(x), squares, squares, float64(n)*0x1p-24)
			if n == 0 {
				continue
			}
			for i := range x { // all negative: a tail filled with zeros would win
				x[i] = -1 - float32(math.Abs(float64(x[i])))
			}
			want := x[0]
			for _, e := range x {
				want = max(want, e)
			}
			near(t, "Max "+what, Max(x), float64(want), 0, 0)
			x[n-1] = -0.5
			near(t, "Max "+what, Max(x), -0.5, 0, 0)
		}
	})
}

func TestElementwise(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		v := newVectors(t, 4)
		for _, n := range lengths() {
			x, y, w, dst := v.get(0, n), v.get(1, n), v.get(2, n), v.get(3, n)
			old := append([]float32(nil), dst...)
			each := func(name string, want func(i int) (value, size float64)) {
				t.Helper()
				for i := range dst {
					value, size := want(i)
					near(t, fmt.Sprintf("%s of %d: element %d", name, n, i), dst[i], value, size, ulp)
				}
				copy(dst, old)
			}
			Axpy(1.5, x, dst)
			each("Axpy", func(i int) (float64, float64) {
				v := 1.5 * float64(x[i])
				return float64(old[i]) + v, math.Abs(v) + math.Abs(float64(old[i]))
			})
			Add(dst, x)
			each("Add", func(i int) (float64, float64) { v := float64(old[i]) + float64(x[i]); return v, v })
			Mul(dst, x)
			each("Mul", func(i int) (float64, float64) { v := float64(old[i]) * float64(x[i]); return v, v })
			Scale(-0.3, dst)
			each("Scale", func(i int) (float64, float64) { v := float64(old[i]) * float64(float32(-0.3)); return v, v })
			if n == 0 {
				continue
			}
			inv := RMSNorm(dst, x, w, 1e-5)
			var squares float64
			for _, e := range x {
				squares += float64(e) * float64(e)
			}
			want := 1 / math.Sqrt(squares/float64(n)+1e-5)
			near(t, "RMSNorm inv", inv, want, want, (float64(n)+2)*0x1p-24)
			each("RMSNorm", func(i int) (float64, float64) {
				v := float64(x[i]) * float64(inv) * float64(w[i])
				return v, v
			})
			_ = y
		}
	})
}

func TestRope(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		v := newVectors(t, 3)
		for _, n := range lengths() {
			for name, layout := range map[string]struct {
				rope func(x, cos, sin []float32)
				at   func(i int) (int, int)
			}{
				"half":  {RopeHalf, func(i int) (int, int) { return i, i + n }},
				"pairs": {RopePairs, func(i int) (int, int) { return 2 * i, 2*i + 1 }},
			} {
				x, cos, sin := v.get(0, 2*n), v.get(1, n), v.get(2, n)
				old := append([]float32(nil), x...)
				layout.rope(x, cos, sin)
				for i := range n {
					l, h := layout.at(i)
					a, b, c, s := float64(old[l]), float64(old[h]), float64(cos[i]), float64(sin[i])
					what := fmt.Sprintf("%s of %d: pair %d", name, n, i)
					near(t, what, x[l], a*c-b*s, math.Abs(a*c)+math.Abs(b*s), ulp)
					near(t, what, x[h], b*c+a*s, math.Abs(b*c)+math.Abs(a*s), ulp)
				}
			}
		}
	})
}

func TestAdamW(t *testing.T) {
	const lr, b1, b2, eps, wd, scale = 1e-2, 0.9, 0.95, 1e-8, 0.1, 0.7
	numtest.EachImpl(t, func(t *testing.T) {
		vec := newVectors(t, 4)
		for _, n := range []int{0, 1, 7, 8, 15, 16, 17, 33, 130} {
			p, g, m, v := vec.get(0, n), vec.get(1, n), vec.get(2, n), vec.get(3, n)
			wp, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
			clear(m)
			clear(v)
			for i := range p {
				wp[i] = float64(p[i])
			}
			for step := 1; step <= 4; step++ {
				c1, c2 := 1-math.Pow(b1, float64(step)), 1-math.Pow(b2, float64(step))
				AdamW(p, m, v, g, lr, b1, b2, eps, wd, float32(c1), float32(c2), scale)
				for i := range p {
					gi := float64(g[i]) * scale
					wm[i] = b1*wm[i] + (1-b1)*gi
					wv[i] = b2*wv[i] + (1-b2)*gi*gi
					wp[i] -= lr * (wm[i]/c1/(math.Sqrt(wv[i]/c2)+eps) + wd*wp[i])
					// The constants are float32: 1-b1 and 1-b2 carry some 2⁻²⁰ of relative error into the moments.
					what := fmt.Sprintf("of %d: step %d, element %d", n, step, i)
					near(t, "m "+what, m[i], wm[i], wm[i], 1e-5)
					near(t, "v "+what, v[i], wv[i], wv[i], 1e-5)
					near(t, "p "+what, p[i], wp[i], math.Abs(wp[i])+lr, 1e-6*float64(step))
				}
			}
		}
	})
}

// TestStretches joins what is done in several calls into assembly.
func TestStretches(t *testing.T) {
	const n = 2*stretch + 5
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], y[i] = float32(i%3), 1
	}
	Scale(2, x)
	Add(y, x)
	Axpy(3, x, y) // 1 + 4·2·(i mod 3)
	h := make([]uint16, n)
	ToBF16(h, y)
	FromBF16(y, h)
	for i := range y {
		if y[i] != float32(1+8*(i%3)) {
			t.Fatalf("element %d is %v, want %v", i, y[i], 1+8*(i%3))
		}
	}
	// Small integers: exact in any order.
	var want float32
	for i := range x {
		want += x[i] * y[i]
	}
	if got := Dot(x, y); got != want {
		t.Errorf("Dot = %v, want %v", got, want)
	}
	p := make([]float32, n)
	AdamW(p, make([]float32, n), make([]float32, n), y, 1, 0.9, 0.9, 0, 0, 1, 1, 1)
	for i := range p {
		if p[i] >= 0 || p[i] != p[i%3] {
			t.Fatalf("AdamW: element %d is %v, element %d %v", i, p[i], i%3, p[i%3])
		}
	}
}

func TestDifferentLengthsPanic(t *testing.T) {
	a, b := make([]float32, 4), make([]float32, 5)
	for name, call := range map[string]func(){
		"Dot":            func() { Dot(a, b) },
		"Axpy":           func() { Axpy(1, a, b) },
		"Add":            func() { Add(a, b) },
		"Mul":            func() { Mul(a, b) },
		"Max":            func() { Max(nil) },
		"RMSNorm":        func() { RMSNorm(a, a, b, 1) },
		"SwiGLU":         func() { SwiGLU(a, a, b) },
		"SwiGLUBackward": func() { SwiGLUBackward(a, b, a, a, a) },
		"RopeHalf":       func() { RopeHalf(b, a[:2], a[:2]) },
		"RopePairs":      func() { RopePairs(a, a[:2], a[:3]) },
		"AdamW":          func() { AdamW(a, a, a, b, 1, 1, 1, 1, 1, 1, 1, 1) },
		"ToBF16":         func() { ToBF16(make([]uint16, 3), a) },
		"FromF16":        func() { FromF16(a, make([]uint16, 5)) },
		"PackRowsF32":    func() { PackRowsF32(make([]float32, 31), a, 2, 2, 2) },
		"TransposeBF16":  func() { TransposeBF16(make([]uint16, 4), b, 2, 3, 3, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

// benchmarkVec times f on rows of 1024 values, all in the first cache; vectors counts those that f touches.
func benchmarkVec(b *testing.B, vectors int, f func(x [5][]float32)) {
	const n = 1024
	r := rand.New(rand.NewPCG(1, 1))
	var x [5][]float32
	for i := range x {
		x[i] = fill(r, n)
	}
	b.SetBytes(int64(vectors * n * 4))
	for b.Loop() {
		f(x)
	}
}

func BenchmarkDot(b *testing.B)  { benchmarkVec(b, 2, func(x [5][]float32) { Dot(x[0], x[1]) }) }
func BenchmarkAxpy(b *testing.B) { benchmarkVec(b, 2, func(x [5][]float32) { Axpy(1e-9, x[0], x[1]) }) }
func BenchmarkRMSNorm(b *testing.B) {
	benchmarkVec(b, 3, func(x [5][]float32) { RMSNorm(x[0], x[1], x[2], 1e-5) })
}
func BenchmarkSoftmax(b *testing.B) { benchmarkVec(b, 1, func(x [5][]float32) { Softmax(x[0]) }) }
func BenchmarkSwiGLU(b *testing.B) {
	benchmarkVec(b, 3, func(x [5][]float32) { SwiGLU(x[0], x[1], x[2]) })
}
func BenchmarkSwiGLUBackward(b *testing.B) {
	benchmarkVec(b, 5, func(x [5][]float32) { SwiGLUBackward(x[0], x[1], x[2], x[3], x[4]) })
}
func BenchmarkRopeHalf(b *testing.B) {
	benchmarkVec(b, 2, func(x [5][]float32) { RopeHalf(x[0], x[1][:512], x[2][:512]) })
}
func BenchmarkRopePairs(b *testing.B) {
	benchmarkVec(b, 2, func(x [5][]float32) { RopePairs(x[0], x[1][:512], x[2][:512]) })
}
func BenchmarkAdamW(b *testing.B) {
	benchmarkVec(b, 4, func(x [5][]float32) { AdamW(x[0], x[1], x[2], x[3], 1e-3, 0.9, 0.95, 1e-8, 0.1, 1, 1, 1) })
}
