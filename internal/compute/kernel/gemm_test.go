package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/numtest"
)

// product is one of the three gemms on matrices given as float32, so that one test serves them all.
type product struct {
	name   string
	pair   bool // k goes in pairs
	narrow bool // A and B hold bf16 values
	gemm   func(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool, room *room)
}

// room gives operands that end at an unreadable page, without a mapping for each of them.
type room struct {
	a, b, c []float32
	a16     []uint16
	b16     []uint16
}

func newRoom(t testing.TB, n int) *room {
	return &room{numtest.EndOfPage(t, n), numtest.EndOfPage(t, n), numtest.EndOfPage(t, n), numtest.EndOfPage16(t, n), numtest.EndOfPage16(t, n)}
}

// last returns the last n elements of s.
func last[E any](s []E, n int) []E { return s[len(s)-n:] }

var products = []product{
	{"f32", false, false, func(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool, room *room) {
		aa := last(room.a, (m-1)*lda+k)
		copy(aa, a)
		bb := last(room.b, PanelsF32(n, k))
		PackColsF32(bb, b, k, n, n)
		GemmF32(c, ldc, aa, lda, bb, m, k, n, acc)
	}},
	{"bf16", true, true, func(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool, room *room) {
		lda += lda % 2
		aa := last(room.a16, (m-1)*lda+k+k%2)
		clear(aa)
		for i := range m {
			ToBF16(aa[i*lda:], a[i*(len(a)/m):][:k])
		}
		bb := last(room.b16, PanelsBF16(n, k))
		PackColsBF16(bb, b, k, n, n)
		GemmBF16(c, ldc, aa, lda, bb, m, k, n, acc)
	}},
	{"f32b16", false, true, func(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool, room *room) {
		aa := last(room.a, (m-1)*lda+k)
		copy(aa, a)
		wide := make([]float32, PanelsF32(n, k))
		PackColsF32(wide, b, k, n, n)
		bb := last(room.b16, len(wide))
		ToBF16(bb, wide)
		GemmF32B16(c, ldc, aa, lda, bb, m, k, n, acc)
	}},
}

// fill returns n values in [-1, 1), rounded to bf16.
func fill(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = widen(bf16(2*r.Float32() - 1))
	}
	return x
}

// check holds C against exact sums; the bound is that of gemm.go.
func check(t *testing.T, c []float32, ldc int, a, b, c0 []float32, m, k, n int, acc bool) {
	t.Helper()
	for i := range m {
		for j := range n {
			var sum, abs float64
			if acc {
				sum = float64(c0[i*n+j])
				abs = math.Abs(sum)
			}
			for l := range k {
				v := float64(a[i*k+l]) * float64(b[l*n+j])
				sum += v
				abs += math.Abs(v)
			}
			bound := float64(k+1) * 0x1p-24 * abs
			if got := float64(c[i*ldc+j]); !(math.Abs(got-sum) <= bound) {
				t.Fatalf("m %d k %d n %d acc %v: C[%d,%d] = %v, want %v within %v", m, k, n, acc, i, j, got, sum, bound)
			}
		}
	}
}

func TestGemm(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		room := newRoom(t, 1<<17)
		for _, p := range products {
			r := rand.New(rand.NewPCG(1, 2))
			for _, m := range []int{1, 2, 3, 5, 6, 7, 11, 12, 13, 26} {
				for _, k := range []int{1, 2, 3, 9, 64} {
					for _, n := range []int{1, 15, 16, 17, 40, 64, 81, 140} {
						testProduct(t, p, room, r, m, k, n)
					}
				}
			}
			// Depths beyond one block of k, widths beyond one block of B.
			testProduct(t, p, room, r, 9, 1301, 21)
			testProduct(t, p, room, r, 2, 700, 170)
		}
	})
}

func testProduct(t *testing.T, p product, room *room, r *rand.Rand, m, k, n int) {
	t.Helper()
	const guard = 12345
	a, b, c0 := fill(r, m*k), fill(r, k*n), fill(r, m*n)
	for _, acc := range []bool{false, true} {
		ldc := n + 3
		c := last(room.c, (m-1)*ldc+n)
		for i := range c {
			c[i] = guard
		}
		for i := range m {
			copy(c[i*ldc:], c0[i*n:][:n])
		}
		p.gemm(c, ldc, a, k, b, m, k, n, acc, room)
		check(t, c, ldc, a, b, c0, m, k, n, acc)
		for i := range m - 1 {
			for j := n; j < ldc; j++ {
				if c[i*ldc+j] != guard {
					t.Fatalf("%s: m %d k %d n %d: wrote beyond column n, at C[%d,%d]", p.name, m, k, n, i, j)
				}
			}
		}
	}
}

// TestGemmRowAlone: the bits of a row are the same alone and in a batch, and with k in one call or two.
func TestGemmRowAlone(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		room := newRoom(t, 1<<18)
		for _, p := range products {
			for _, s := range []struct{ m, k, n int }{{37, 300, 90}, {27, 1024, 100}, {14, 1333, 33}} {
				r := rand.New(rand.NewPCG(3, 4))
				a, b := make([]float32, s.m*s.k), make([]float32, s.k*s.n)
				for _, x := range [][]float32{a, b} {
					for i := range x {
						x[i] = float32(r.NormFloat64())
					}
				}
				batch := make([]float32, s.m*s.n)
				p.gemm(batch, s.n, a, s.k, b, s.m, s.k, s.n, false, room)
				for i := range s.m {
					row := make([]float32, s.n)
					p.gemm(row, s.n, a[i*s.k:][:s.k], s.k, b, 1, s.k, s.n, false, room)
					same32(t, fmt.Sprintf("%s %v: row %d alone", p.name, s, i), row, batch[i*s.n:][:s.n])
				}
				for _, cut := range []int{2, 130, s.k / 4 * 2} {
					two := make([]float32, s.m*s.n)
					left, right := make([]float32, s.m*cut), make([]float32, s.m*(s.k-cut))
					for i := range s.m {
						copy(left[i*cut:], a[i*s.k:][:cut])
						copy(right[i*(s.k-cut):], a[i*s.k+cut:][:s.k-cut])
					}
					p.gemm(two, s.n, left, cut, b[:cut*s.n], s.m, cut, s.n, false, room)
					p.gemm(two, s.n, right, s.k-cut, b[cut*s.n:], s.m, s.k-cut, s.n, true, room)
					same32(t, fmt.Sprintf("%s %v: k cut at %d", p.name, s, cut), two, batch)
				}
			}
		}
	})
}

func same32(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, want exactly %v", what, i, got[i], want[i])
		}
	}
}

func TestGemmNothing(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		c := []float32{1, 2, 3, 4}
		GemmF32(c, 2, nil, 0, nil, 2, 0, 2, true)
		GemmF32(c, 2, nil, 0, make([]float32, 48), 0, 3, 2, false)
		GemmBF16(c, 2, nil, 0, nil, 2, 0, 2, true)
		same32(t, "nothing added", c, []float32{1, 2, 3, 4})
		GemmF32(c, 2, nil, 0, nil, 2, 0, 1, false)
		same32(t, "an empty sum", c, []float32{0, 2, 0, 4})
	})
}

func TestGemmShortSlicesPanic(t *testing.T) {
	f, h := func(n int) []float32 { return make([]float32, n) }, func(n int) []uint16 { return make([]uint16, n) }
	for name, call := range map[string]func(){
		"c":       func() { GemmF32(f(11), 4, f(9), 3, f(48), 3, 3, 4, false) },
		"a":       func() { GemmF32(f(12), 4, f(8), 3, f(48), 3, 3, 4, false) },
		"b":       func() { GemmF32(f(12), 4, f(9), 3, f(47), 3, 3, 4, false) },
		"overlap": func() { GemmF32(f(12), 3, f(9), 3, f(48), 3, 3, 4, false) },
		"a bf16":  func() { GemmBF16(f(12), 4, h(11), 4, h(64), 3, 3, 4, false) },
		"b bf16":  func() { GemmBF16(f(12), 4, h(12), 4, h(63), 3, 3, 4, false) },
		"odd lda": func() { GemmBF16(f(12), 4, h(15), 5, h(64), 3, 3, 4, false) },
		"b f32b":  func() { GemmF32B16(f(12), 4, f(9), 3, h(47), 3, 3, 4, false) },
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

func TestGemmAllocatesNothing(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		const m, k, n = 13, 1024, 100
		c, a, b := make([]float32, m*n), make([]float32, m*k), make([]float32, PanelsF32(n, k))
		a16, b16 := make([]uint16, m*k), make([]uint16, PanelsF32(n, k))
		if n := testing.AllocsPerRun(3, func() {
			GemmF32(c, n, a, k, b, m, k, n, false)
			GemmBF16(c, n, a16, k, b16, m, k, n, false)
			GemmF32B16(c, n, a, k, b16, m, k, n, false)
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
	})
}

var gemmShapes = []struct{ m, k, n int }{{2048, 576, 1536}, {2048, 1536, 576}, {512, 1024, 4096}, {48, 576, 1536}, {1, 576, 1536}, {4, 1536, 8960}}

func benchmarkGemm(b *testing.B, run func(m, k, n int) func()) {
	for _, s := range gemmShapes {
		b.Run(fmt.Sprintf("%dx%dx%d", s.m, s.k, s.n), func(b *testing.B) {
			f := run(s.m, s.k, s.n)
			for b.Loop() {
				f()
			}
			b.ReportMetric(2*float64(s.m)*float64(s.k)*float64(s.n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
		})
	}
}

func BenchmarkGemmF32(b *testing.B) {
	benchmarkGemm(b, func(m, k, n int) func() {
		c, a, w := make([]float32, m*n), fill(rand.New(rand.NewPCG(1, 1)), m*k), fill(rand.New(rand.NewPCG(1, 1)), PanelsF32(n, k))
		return func() { GemmF32(c, n, a, k, w, m, k, n, false) }
	})
}

func BenchmarkGemmBF16(b *testing.B) {
	benchmarkGemm(b, func(m, k, n int) func() {
		c, a, w := make([]float32, m*n), make([]uint16, m*k), make([]uint16, PanelsBF16(n, k))
		ToBF16(a, fill(rand.New(rand.NewPCG(1, 1)), len(a)))
		ToBF16(w, fill(rand.New(rand.NewPCG(1, 1)), len(w)))
		return func() { GemmBF16(c, n, a, k, w, m, k, n, false) }
	})
}

func BenchmarkGemmF32B16(b *testing.B) {
	benchmarkGemm(b, func(m, k, n int) func() {
		c, a, w := make([]float32, m*n), fill(rand.New(rand.NewPCG(1, 1)), m*k), make([]uint16, PanelsF32(n, k))
		ToBF16(w, fill(rand.New(rand.NewPCG(1, 1)), len(w)))
		return func() { GemmF32B16(c, n, a, k, w, m, k, n, false) }
	})
}
