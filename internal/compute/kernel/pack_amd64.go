//go:build !purego

package kernel

import (
	"retort/internal/compute/cpu"
)

// Why not Go: a Go loop moves and rounds one word at a time. Strides are in bytes, blocks as pack_amd64.s says.

//go:noescape
func transposeF32AVX512(dst *float32, src *float32, ldDst int, ldSrc int, blocks int)

//go:noescape
func packRowsBF16AVX512(dst *uint16, src *float32, ldDst int, ldSrc int, blocks int)

//go:noescape
func transposeBF16AVX512(dst *uint16, src *float32, ldDst int, ldSrc int, blocks int)

//go:noescape
func packColsF32AVX512(dst *float32, src *float32, ldSrc int, rows int, mask uint32)

//go:noescape
func packColsBF16AVX512(dst *uint16, src *float32, ldSrc int, pairs int, mask uint32)

var packHasAVX512 = cpu.X86.AVX512

func init() { cpu.Register("pack/avx512", &packHasAVX512) }

const panelBytes = Panel * 4 // of one step of a panel, of float32 or of pairs

func packRowsF32(dst, src []float32, rows, cols, ld int) {
	if !packHasAVX512 {
		packRowsF32Generic(dst, src, rows, cols, ld)
		return
	}
	var in, out [16 * 16]float32
	whole := cols / 16
	for p := 0; p < rows; p += Panel {
		height := min(Panel, rows-p)
		panel := dst[p*cols:]
		done := 0
		if height == Panel && whole > 0 {
			transposeF32AVX512(&panel[0], &src[p*ld], panelBytes, ld*4, whole)
			done = whole * 16
		}
		for ; done < cols; done += 16 { // what is not a whole block goes through a zeroed one
			width := min(16, cols-done)
			clear(in[:])
			for r := range height {
				copy(in[r*16:][:width], src[(p+r)*ld+done:])
			}
			transposeF32AVX512(&out[0], &in[0], panelBytes, 64, 1)
			copy(panel[done*Panel:], out[:width*Panel])
		}
	}
}

func packRowsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	if !packHasAVX512 {
		packRowsBF16Generic(dst, src, rows, cols, ld)
		return
	}
	var in [16 * 32]float32
	var out [16 * 32]uint16
	whole := cols / 32
	padded := cols + cols%2
	for p := 0; p < rows; p += Panel {
		height := min(Panel, rows-p)
		panel := dst[p*padded:]
		done := 0
		if height == Panel && whole > 0 {
			packRowsBF16AVX512(&panel[0], &src[p*ld], panelBytes, ld*4, whole)
			done = whole * 32
		}
		for ; done < cols; done += 32 {
			width := min(32, cols-done)
			clear(in[:])
			for r := range height {
				copy(in[r*32:][:width], src[(p+r)*ld+done:])
			}
			packRowsBF16AVX512(&out[0], &in[0], panelBytes, 128, 1)
			copy(panel[done*Panel:], out[:(width+width%2)*Panel])
		}
	}
}

// packColumnRows is how many rows of src are packed before the next panel is: they share pages and cache lines.
const packColumnRows = 64

func packColsF32(dst, src []float32, rows, cols, ld int) {
	if !packHasAVX512 {
		packColsF32Generic(dst, src, rows, cols, ld)
		return
	}
	for r := 0; r < rows; r += packColumnRows {
		for p := 0; p < cols; p += Panel {
			packColsF32AVX512(&dst[p*rows+r*Panel], &src[r*ld+p], ld*4, min(packColumnRows, rows-r), lanes(cols-p))
		}
	}
}

func packColsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	if !packHasAVX512 {
		packColsBF16Generic(dst, src, rows, cols, ld)
		return
	}
	padded := rows + rows%2
	for r := 0; r < rows/2*2; r += packColumnRows {
		for p := 0; p < cols; p += Panel {
			packColsBF16AVX512(&dst[p*padded+r*Panel], &src[r*ld+p], ld*4, min(packColumnRows, rows-r)/2, lanes(cols-p))
		}
	}
	if rows%2 == 0 {
		return
	}
	var in [2 * Panel]float32 // the last row and one of zeros
	for p := 0; p < cols; p += Panel {
		n := copy(in[:Panel], src[(rows-1)*ld+p:][:min(Panel, cols-p)])
		clear(in[n:])
		packColsBF16AVX512(&dst[p*padded+(rows-1)*Panel], &in[0], panelBytes, 1, lanes(Panel))
	}
}

// lanes is the mask of the first n lanes, of at most 16.
func lanes(n int) uint32 { return 1<<min(n, Panel) - 1 }

func transposeF32(dst, src []float32, rows, cols, ldSrc, ldDst int) {
	whole := cols / 16
	if !packHasAVX512 || rows < 16 || whole == 0 {
		transposeF32Generic(dst, src, rows, cols, ldSrc, ldDst)
		return
	}
	r := 0
	for ; r+16 <= rows; r += 16 {
		transposeF32AVX512(&dst[r], &src[r*ldSrc], ldDst*4, ldSrc*4, whole)
	}
	done := whole * 16
	if done < cols {
		transposeF32Generic(dst[done*ldDst:], src[done:], r, cols-done, ldSrc, ldDst)
	}
	if r < rows {
		transposeF32Generic(dst[r:], src[r*ldSrc:], rows-r, cols, ldSrc, ldDst)
	}
}

func transposeBF16(dst []uint16, src []float32, rows, cols, ldSrc, ldDst int) {
	whole := cols / 16
	if !packHasAVX512 || rows < 32 || whole == 0 {
		transposeBF16Generic(dst, src, rows, cols, ldSrc, ldDst)
		return
	}
	r := 0
	for ; r+32 <= rows; r += 32 {
		transposeBF16AVX512(&dst[r], &src[r*ldSrc], ldDst*2, ldSrc*4, whole)
	}
	done := whole * 16
	if done < cols {
		transposeBF16Generic(dst[done*ldDst:], src[done:], r, cols-done, ldSrc, ldDst)
	}
	if r < rows {
		transposeBF16Generic(dst[r:], src[r*ldSrc:], rows-r, cols, ldSrc, ldDst)
	}
}
