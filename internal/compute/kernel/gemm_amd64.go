//go:build !purego

package kernel

import (
	"unsafe"

	"retort/internal/compute/cpu"
)

// Why not Go: the compiler has no vectors; measured on one core of a Zen4, GemmBF16 is some 100 times its Go form.

var (
	// VDPBF16PS runs at twice the rate of float32 FMA on AMD and at half of it on Intel, which widens instead.
	gemmHasDot    = cpu.X86.AMD && cpu.X86.AVX512BF16
	gemmHasAVX512 = cpu.X86.AVX512
	gemmHasAVX2   = cpu.X86.AVX2 && cpu.X86.FMA
)

func init() {
	// A product on AMX tiles would be registered here, above the others, and tried first in gemmBF16.
	cpu.Register("gemmbf16/avx512bf16", &gemmHasDot)
	cpu.Register("gemm/avx512", &gemmHasAVX512)
	cpu.Register("gemm/avx2", &gemmHasAVX2)
}

func gemmF32(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool) {
	pa, pb := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	switch {
	case gemmHasAVX512:
		gemmTiles(unitF32AVX512, c, ldc, pa, lda*4, pb, m, k, n, acc)
	case gemmHasAVX2:
		gemmTiles(unitF32AVX2, c, ldc, pa, lda*4, pb, m, k, n, acc)
	default:
		gemmF32Generic(c, ldc, a, lda, b, m, k, n, acc)
	}
}

func gemmBF16(c []float32, ldc int, a []uint16, lda int, b []uint16, m, k, n int, acc bool) {
	pa, pb := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	switch {
	case gemmHasDot:
		gemmTiles(unitDotAVX512, c, ldc, pa, lda*2, pb, m, ceil(k, 2), n, acc)
	case gemmHasAVX512:
		gemmTiles(unitPairAVX512, c, ldc, pa, lda*2, pb, m, ceil(k, 2), n, acc)
	case gemmHasAVX2:
		gemmTiles(unitPairAVX2, c, ldc, pa, lda*2, pb, m, ceil(k, 2), n, acc)
	default:
		gemmBF16Generic(c, ldc, a, lda, b, m, k, n, acc)
	}
}

func gemmF32B16(c []float32, ldc int, a []float32, lda int, b []uint16, m, k, n int, acc bool) {
	pa, pb := unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b))
	switch {
	case gemmHasAVX512:
		gemmTiles(unitB16AVX512, c, ldc, pa, lda*4, pb, m, k, n, acc)
	case gemmHasAVX2:
		gemmTiles(unitB16AVX2, c, ldc, pa, lda*4, pb, m, k, n, acc)
	default:
		gemmF32B16Generic(c, ldc, a, lda, b, m, k, n, acc)
	}
}

// unit is what a tile is computed with: a step of k is one float32 of A, or a pair of bf16 (Dot, Pair).
type unit int

const (
	unitF32AVX512 unit = iota
	unitDotAVX512
	unitPairAVX512 // a pair of bf16 that stands in scratch as two float32
	unitB16AVX512
	unitF32AVX2
	unitPairAVX2
	unitB16AVX2
)

func (u unit) avx512() bool { return u <= unitB16AVX512 }
func (u unit) pair() bool   { return u == unitPairAVX512 || u == unitPairAVX2 }

// bStep is the size of one step of a panel of B in bytes.
func (u unit) bStep() int {
	if u == unitB16AVX512 || u == unitB16AVX2 {
		return 32
	}
	return 64
}

// The blocks: a block of B stays in the second cache while all rows of A pass it; a tile's rows of A stay in the first
// one while the block's panels pass them. Both caches are left room for what streams through.
const (
	blockBytes  = 384 << 10 // of B, of 1 MiB; also bounds one call into assembly to some 100 µs
	blockSteps  = 384       // of k under a tile of full height; a low one goes deeper, for B to be read in long runs
	tileRows    = 12        // the most
	scratchSize = tileRows * (blockSteps + Panel)
)

// tiles is one product on its way. Strides are in bytes.
type tiles struct {
	unit
	rows    int // of A that are left
	ldc     int
	lda     int
	ldaTile int // of the A that the tile reads: lda, or that of the scratch
	stride  int // from panel to panel of B
}

// tile returns the height of the next tile: the largest of those that the generator made.
func (t *tiles) tile() int {
	r := t.rows
	switch {
	case t.avx512() && r >= 12:
		return 12
	case t.avx512() && r >= 8:
		return 8
	case !t.avx512() && r >= 6:
		return 6
	case r >= 4:
		return 4
	case r >= 2:
		return 2
	}
	return 1
}

// gemmTiles walks C in blocks. Every element of C is carried through k in ascending order by whichever tile it is in,
// through memory between two blocks of k, so that its bits do not depend on the walk.
func gemmTiles(u unit, c []float32, ldc int, a unsafe.Pointer, lda int, b unsafe.Pointer, m, steps, n int, acc bool) {
	t := tiles{unit: u, ldc: ldc * 4, lda: lda, ldaTile: lda, stride: steps * u.bStep()}
	maxSteps := blockSteps * tileRows / min(m, tileRows)
	if u.pair() {
		maxSteps /= 2
	}
	deep := ceil(steps, ceil(steps, maxSteps)) // blocks of k of equal depth
	panels := ceil(n, Panel)
	across := max(blockBytes/(deep*u.bStep())&^3, 4)
	for p := 0; p < panels; p += across {
		for s := 0; s < steps; s += deep {
			block := unsafe.Add(b, p*t.stride+s*u.bStep())
			width := min(n-p*Panel, across*Panel)
			t.rows = m
			t.column(c[p*Panel:], unsafe.Add(a, s*4), block, min(deep, steps-s), width, acc || s > 0)
		}
	}
}

// column multiplies all rows by one block of B of width columns.
func (t *tiles) column(c []float32, a, b unsafe.Pointer, steps, width int, acc bool) {
	copies := t.pair() || t.crowded() && t.rows >= 8 && width > 4*Panel
	for {
		height := t.tile()
		if copies {
			t.copied(&c[0], a, b, steps, width, acc)
		} else {
			t.row(&c[0], a, b, steps, width, acc)
		}
		t.rows -= height
		if t.rows == 0 {
			return
		}
		c = c[height*t.ldc/4:]
		a = unsafe.Add(a, height*t.lda)
	}
}

// crowded says whether the rows of a tile of A would meet in a few sets of the first cache and drive each other out.
func (t *tiles) crowded() bool { return t.lda%2048 == 0 }

// copied is row with the tile's rows of A in scratch memory: bf16 widened, or crowded rows set apart.
func (t *tiles) copied(c *float32, a, b unsafe.Pointer, steps, width int, acc bool) {
	var scratch [scratchSize]float32
	height, values := t.tile(), steps
	if t.pair() {
		values *= 2
	}
	stride := values + Panel // never a multiple of the distance at which rows crowd
	for r := range height {
		from, to := unsafe.Add(a, r*t.lda), scratch[r*stride:][:values]
		if t.pair() {
			fromBF16(to, unsafe.Slice((*uint16)(from), values))
		} else {
			copy(to, unsafe.Slice((*float32)(from), values))
		}
	}
	t.ldaTile = stride * 4
	t.row(c, unsafe.Pointer(&scratch), b, steps, width, acc)
	t.ldaTile = t.lda
}

// row multiplies one tile's rows by one block of B.
func (t *tiles) row(c *float32, a, b unsafe.Pointer, steps, width int, acc bool) {
	panels, last := ceil(width, Panel), (width-1)%Panel+1
	if t.avx512() {
		t.run(c, a, b, steps, panels, 1<<last-1, acc)
		return
	}
	whole := width / Panel
	if whole > 0 {
		t.run(c, a, b, steps, whole, 0, acc)
	}
	if whole < panels {
		t.narrow(unsafe.Add(unsafe.Pointer(c), whole*Panel*4), a, unsafe.Add(b, whole*t.stride), steps, last, acc)
	}
}

// narrow multiplies by one panel of width columns in an implementation that writes whole panels.
func (t *tiles) narrow(c, a, b unsafe.Pointer, steps, width int, acc bool) {
	var scratch [tileRows * Panel]float32
	for r := range t.tile() {
		copy(scratch[r*Panel:][:width], unsafe.Slice((*float32)(unsafe.Add(c, r*t.ldc)), width))
	}
	ldc := t.ldc
	t.ldc = Panel * 4
	t.run(&scratch[0], a, b, steps, 1, 0, acc)
	t.ldc = ldc
	for r := range t.tile() {
		copy(unsafe.Slice((*float32)(unsafe.Add(c, r*t.ldc)), width), scratch[r*Panel:][:width])
	}
}
