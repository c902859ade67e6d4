package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/numtest"
)

// TestFrom16 widens all 65536 values of either kind.
func TestFrom16(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		all := numtest.EndOfPage16(t, 1<<16)
		for i := range all {
			all[i] = uint16(i)
		}
		got := numtest.EndOfPage(t, 1<<16)
		FromBF16(got, all)
		for i, x := range got {
			if math.Float32bits(x) != uint32(i)<<16 {
				t.Fatalf("bf16 %#04x is %v", i, x)
			}
		}
		back := make([]uint16, 1<<16)
		ToBF16(back, got)
		for i, h := range back {
			if h != uint16(i) && !(got[i] != got[i] && h == uint16(i)|0x40) {
				t.Fatalf("bf16 %#04x came back as %#04x", i, h)
			}
		}
		FromF16(got, all)
		for i, x := range got {
			sign, exp, man := 1-2*(i>>15), i>>10&31, i&1023
			want := math.Ldexp(float64(man+1024), exp-25)
			switch {
			case exp == 0:
				want = math.Ldexp(float64(man), -24)
			case exp == 31 && man == 0:
				want = math.Inf(1)
			case exp == 31:
				if x == x {
					t.Fatalf("f16 %#04x is %v, want NaN", i, x)
				}
				continue
			}
			if float64(x) != float64(sign)*want || math.Signbit(float64(x)) != (sign < 0) {
				t.Fatalf("f16 %#04x is %v, want %v", i, x, float64(sign)*want)
			}
		}
		ToF16(back, got)
		for i, h := range back {
			if h != uint16(i) && !(got[i] != got[i] && h == uint16(i)|0x200) {
				t.Fatalf("f16 %#04x came back as %#04x", i, h)
			}
		}
	})
}

// TestTo16 rounds values between two neighbours, ties among them, to the nearer or the even one.
func TestTo16(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		src := numtest.EndOfPage(t, 20000)
		for i := range src {
			bits := r.Uint32()
			switch i % 4 {
			case 0: // a tie of bf16
				bits = bits&^0xffff | 0x8000
			case 1: // in the range of f16, half of them ties of normal ones
				bits = bits&0x80000fff | (0x38000000+r.Uint32N(0x0f000000))&^0xfff
				if i%8 == 1 {
					bits = bits&^0x1fff | 0x1000
				}
			case 2: // around the subnormals of f16
				bits = bits&0x807fffff | (0x30000000+r.Uint32N(0x09000000))&0x7f800000
			}
			src[i] = math.Float32frombits(bits)
		}
		got := numtest.EndOfPage16(t, len(src))
		wide := make([]float32, len(src))
		rounded := func(name string, mantissa int, limit float64) {
			t.Helper()
			for i, x := range src {
				v := float64(x)
				if x != x {
					if wide[i] == wide[i] {
						t.Fatalf("%s(%v) = %v", name, x, wide[i])
					}
					continue
				}
				// The unit in the last place at x, and x in units, rounded half to even.
				lowest := -126
				if name == "ToF16" {
					lowest = -14
				}
				unit := math.Ldexp(1, -149)
				if v != 0 {
					unit = math.Ldexp(1, max(math.Ilogb(v), lowest)-mantissa)
				}
				want := math.RoundToEven(v/unit) * unit
				if math.Abs(want) >= limit {
					want = math.Copysign(math.Inf(1), want)
				}
				if float64(wide[i]) != want {
					t.Fatalf("%s(%v = %#08x) = %v, want %v", name, x, math.Float32bits(x), wide[i], want)
				}
			}
		}
		ToBF16(got, src)
		FromBF16(wide, got)
		rounded("ToBF16", 7, 0x1p128)
		ToF16(got, src)
		FromF16(wide, got)
		rounded("ToF16", 10, 65536)

		special := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), math.Float32frombits(0x7f800001), 0, float32(math.Copysign(0, -1))}
		for n := range 40 { // every length of tail
			x := last(src, n)
			for i := range x {
				x[i] = special[i%len(special)]
			}
			bf, h := make([]uint16, n), make([]uint16, n)
			ToBF16(bf, x)
			ToF16(h, x)
			for i := range n {
				wantB := []uint16{0x7f80, 0xff80, 0x7fc0, 0, 0x8000}[i%5]
				wantH := []uint16{0x7c00, 0xfc00, 0x7e00, 0, 0x8000}[i%5]
				if bf[i] != wantB || h[i] != wantH {
					t.Fatalf("of %d: %v became bf16 %#04x and f16 %#04x, want %#04x and %#04x", n, x[i], bf[i], h[i], wantB, wantH)
				}
			}
		}
	})
}

func BenchmarkToBF16(b *testing.B) {
	h := make([]uint16, 1024)
	benchmarkVec(b, 1, func(x [5][]float32) { ToBF16(h, x[0]) })
}
