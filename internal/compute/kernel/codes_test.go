package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"retort/internal/numtest"
)

// TestCodesToF32: every product is exact, on every implementation, and nothing beyond the slices is read or written.
func TestCodesToF32(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, rows := range []int{0, 1, 2, 3, 7, 64} {
			for _, step := range []int{0, 1, 3} {
				n := rows * Panel
				codes := unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(numtest.EndOfPage8(t, n)))), n)
				for i := range codes {
					codes[i] = int8(i*37 + step)
				}
				check := func(what string, dst []float32, scale func(i int) uint16) {
					t.Helper()
					for i, got := range dst {
						if want := float64(codes[i]) * float64(widen(scale(i))); float64(got) != want {
							t.Fatalf("%s: %d rows, step %d: value %d is %v, want %d·%v", what, rows, step, i, got, codes[i], widen(scale(i)))
						}
					}
				}
				scales := func(n int) []uint16 {
					s := numtest.EndOfPage16(t, n)
					for i := range s {
						s[i] = bf16(float32(math.Exp(20 * rng.NormFloat64())))
					}
					return s
				}
				dst := numtest.EndOfPage(t, n)
				lanes := scales(Panel)
				LanesToF32(dst, codes, lanes)
				check("lanes", dst, func(i int) uint16 { return lanes[i%Panel] })
				s := scales(max(rows-1, 0)*step + 1)
				RowsToF32(dst, codes, s, step)
				check("rows", dst, func(i int) uint16 { return s[i/Panel*step] })
			}
		}
	})
}

func TestCodesMustFit(t *testing.T) {
	dst, codes, scale := make([]float32, 32), make([]int8, 32), make([]uint16, 16)
	for what, f := range map[string]func(){
		"part of a row":  func() { LanesToF32(dst, codes[:30], scale) },
		"short dst":      func() { LanesToF32(dst[:31], codes, scale) },
		"short scales":   func() { LanesToF32(dst, codes, scale[:15]) },
		"part of a row ": func() { RowsToF32(dst, codes[:17], scale, 1) },
		"short dst ":     func() { RowsToF32(dst[:31], codes, scale, 1) },
		"short scales ":  func() { RowsToF32(dst, codes, scale[:1], 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}
