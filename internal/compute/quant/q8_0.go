package quant

import (
	"encoding/binary"
	"math"

	"retort/internal/compute/kernel"
)

// Q8_0: 32 weights in 34 bytes, w = d·q.
//
//	byte  0        2                33
//	      dddddddd dddddddd qqqqqqqq … qqqqqqqq
//	      d float16         q[0]       q[31], int8

func decodeQ8_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[34:] {
		d := half(src)
		for k := range 32 {
			dst[k] = d * float32(int8(src[2+k]))
		}
	}
}

func encodeQ8_0(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[34:], src[32:] {
		top := float32(0)
		for _, x := range src[:32] {
			top = max(top, abs(x))
		}
		d := top / 127
		inv := inverse(d)
		putHalf(dst, d)
		for k, x := range src[:32] {
			// Ties go away from zero, as in ggml.
			dst[2+k] = byte(int8(math.Round(float64(x * inv))))
		}
	}
}

func fillQ8_0(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[34*i:][:34]
	b.D[r] = bits16(src)
	for i := range 8 {
		b.Q[r][i] = word(src[2:], i) ^ 0x80*every
	}
}

// every is a byte in all four bytes of a word: codes are moved four at a time.
const every = 0x01010101

// word returns four bytes of src.
func word(src []byte, i int) uint32 { return binary.LittleEndian.Uint32(src[4*i:]) }

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// inverse is 1/d, and 0 for a block of zeros.
func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}
