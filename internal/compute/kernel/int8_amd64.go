//go:build !purego

package kernel

import "retort/internal/compute/cpu"

// Why not Go: the compiler has no vectors; measured on one core of a Zen4, Q4_0 by many tokens is 85 times its Go
// form. Dot products of unsigned by signed bytes run on VPDPBUSD where AVX-512 has it.
var (
	int8HasAVX512 = cpu.X86.AVX512 && cpu.X86.AVX512VNNI
	int8HasAVX2   = cpu.X86.AVX2 && cpu.X86.FMA && cpu.X86.F16C
)

func init() {
	cpu.Register("int8/avx512", &int8HasAVX512)
	cpu.Register("int8/avx2", &int8HasAVX2)
}

// int8Tile sets y[t*ldy+j], ldy in bytes, for a fixed number of rows t of an Int8 and for j < n; a row of w has spans
// blocks or superblocks.
type int8Tile func(y *float32, ldy int, a *byte, stride int, w *byte, spans, n int)

func matMulInt8(f PanelFormat, y []float32, ldy int, a []byte, stride, cols int, w []byte, n int) {
	var tiles *[5]int8Tile
	switch {
	case int8HasAVX512:
		tiles = &int8TilesAVX512[f]
	case int8HasAVX2:
		tiles = &int8TilesAVX2[f]
	default:
		matMulInt8Generic(f, y, ldy, a, stride, cols, w, n)
		return
	}
	spans := cols / f.Span()
	for rows, t := len(a)/stride, 0; t < rows; {
		size := 4 // 1<<size tokens
		for tiles[size] == nil || 1<<size > rows-t {
			size--
		}
		tiles[size](&y[t*ldy], 4*ldy, &a[t*stride], stride, &w[0], spans, n)
		t += 1 << size
	}
}

func quantizeInt8(dst []byte, src []float32) {
	switch {
	case int8HasAVX512:
		quantizeInt8AVX512(&dst[0], &src[0], len(src)/int8Block)
	case int8HasAVX2:
		quantizeInt8AVX2(&dst[0], &src[0], len(src)/int8Block)
	default:
		quantizeInt8Generic(dst, src)
	}
}

func decodeTile(f PanelFormat, dst []float32, ld int, w []byte, rows, cols int, scratch []float32) {
	if !int8HasAVX512 {
		decodeTileGeneric(f, dst, ld, w, rows, cols, scratch)
		return
	}
	int8ExpandAVX512[f](&scratch[0], &w[0], cols/f.Span())
	TransposeF32(dst, scratch, cols, rows, Panel, ld)
}
