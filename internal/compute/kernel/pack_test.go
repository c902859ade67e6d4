package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/numtest"
)

// The layouts as their pictures say, one element at a time. src is [rows, cols] with stride ld.

func wantRows[E any](out []E, src []E, rows, cols, ld, group int) {
	depth := ceil(cols, group)
	for r := range rows {
		for c := range cols {
			out[((r/16*depth+c/group)*16+r%16)*group+c%group] = src[r*ld+c]
		}
	}
}

func wantCols[E any](out []E, src []E, rows, cols, ld, group int) {
	depth := ceil(rows, group)
	for r := range rows {
		for c := range cols {
			out[((c/16*depth+r/group)*16+c%16)*group+r%group] = src[r*ld+c]
		}
	}
}

func TestPack(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		const most = 1 << 15
		src, dst, dst16 := numtest.EndOfPage(t, most), numtest.EndOfPage(t, most), numtest.EndOfPage16(t, most)
		random := rand.New(rand.NewPCG(5, 6))
		sizes := []int{1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 64, 67, 130}
		for _, rows := range sizes {
			for _, cols := range sizes {
				ld := cols + 5
				s := last(src, (rows-1)*ld+cols)
				for i := range s {
					s[i] = float32(random.NormFloat64())
				}
				s16 := make([]uint16, len(s))
				for i, x := range s {
					s16[i] = bf16(x)
				}
				size := fmt.Sprintf("%d x %d", rows, cols)

				got := dirty(last(dst, PanelsF32(rows, cols)), 7)
				PackRowsF32(got, s, rows, cols, ld)
				want := make([]float32, len(got))
				wantRows(want, s, rows, cols, ld, 1)
				equal(t, "PackRowsF32 "+size, got, want)

				got = dirty(last(dst, PanelsF32(cols, rows)), 7)
				PackColsF32(got, s, rows, cols, ld)
				want = make([]float32, len(got))
				wantCols(want, s, rows, cols, ld, 1)
				equal(t, "PackColsF32 "+size, got, want)

				got16 := dirty(last(dst16, PanelsBF16(rows, cols)), 7)
				PackRowsBF16(got16, s, rows, cols, ld)
				want16 := make([]uint16, len(got16))
				wantRows(want16, s16, rows, cols, ld, 2)
				equal(t, "PackRowsBF16 "+size, got16, want16)

				got16 = dirty(last(dst16, PanelsBF16(cols, rows)), 7)
				PackColsBF16(got16, s, rows, cols, ld)
				want16 = make([]uint16, len(got16))
				wantCols(want16, s16, rows, cols, ld, 2)
				equal(t, "PackColsBF16 "+size, got16, want16)

				ldDst := rows + 3
				got = dirty(last(dst, (cols-1)*ldDst+rows), 7)
				TransposeF32(got, s, rows, cols, ld, ldDst)
				want = dirty(make([]float32, len(got)), 7)
				got16 = dirty(last(dst16, len(got)), 7)
				TransposeBF16(got16, s, rows, cols, ld, ldDst)
				want16 = dirty(make([]uint16, len(got)), 7)
				for r := range rows {
					for c := range cols {
						want[c*ldDst+r] = s[r*ld+c]
						want16[c*ldDst+r] = s16[r*ld+c]
					}
				}
				equal(t, "TransposeF32 "+size, got, want)
				equal(t, "TransposeBF16 "+size, got16, want16)
			}
		}
	})
}

// dirty fills s, so that what a kernel fails to write is seen.
func dirty[E any](s []E, v E) []E {
	for i := range s {
		s[i] = v
	}
	return s
}

func equal[E comparable](t *testing.T, what string, got, want []E) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func benchmarkPack(b *testing.B, pack func(dst []float32, dst16 []uint16, src []float32, rows, cols int)) {
	const rows, cols = 1536, 576
	src := fill(rand.New(rand.NewPCG(1, 1)), rows*cols)
	dst, dst16 := make([]float32, rows*cols), make([]uint16, rows*cols)
	b.SetBytes(4 * rows * cols)
	for b.Loop() {
		pack(dst, dst16, src, rows, cols)
	}
}

func BenchmarkPackRowsF32(b *testing.B) {
	benchmarkPack(b, func(d []float32, _ []uint16, s []float32, rows, cols int) { PackRowsF32(d, s, rows, cols, cols) })
}
func BenchmarkPackColsF32(b *testing.B) {
	benchmarkPack(b, func(d []float32, _ []uint16, s []float32, rows, cols int) { PackColsF32(d, s, rows, cols, cols) })
}
func BenchmarkPackRowsBF16(b *testing.B) {
	benchmarkPack(b, func(_ []float32, d []uint16, s []float32, rows, cols int) { PackRowsBF16(d, s, rows, cols, cols) })
}
func BenchmarkPackColsBF16(b *testing.B) {
	benchmarkPack(b, func(_ []float32, d []uint16, s []float32, rows, cols int) { PackColsBF16(d, s, rows, cols, cols) })
}
func BenchmarkTransposeF32(b *testing.B) {
	benchmarkPack(b, func(d []float32, _ []uint16, s []float32, rows, cols int) { TransposeF32(d, s, rows, cols, cols, rows) })
}
func BenchmarkTransposeBF16(b *testing.B) {
	benchmarkPack(b, func(_ []float32, d []uint16, s []float32, rows, cols int) {
		TransposeBF16(d, s, rows, cols, cols, rows)
	})
}
