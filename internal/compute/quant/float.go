package quant

import (
	"encoding/binary"
	"math"

	"retort/internal/compute/kernel"
)

// F32, F16 and BF16 store numbers without blocks. The pictures show the number, not its little endian bytes:
//
//	F32   seee eeee emmm mmmm mmmm mmmm mmmm mmmm   (-1)^s · 2^(e-127) · 1.m
//	F16   seee eemm mmmm mmmm                       (-1)^s · 2^(e-15) · 1.m
//	BF16  seee eeee emmm mmmm                       the upper half of an F32

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func encodeF32(dst []byte, src []float32) {
	for i, x := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

// piece is how many 16-bit numbers are converted at a time: a buffer on the stack.
const piece = 512

func decodeF16(dst []float32, src []byte)  { decode16(dst, src, kernel.FromF16) }
func decodeBF16(dst []float32, src []byte) { decode16(dst, src, kernel.FromBF16) }
func encodeF16(dst []byte, src []float32)  { encode16(dst, src, kernel.ToF16) }
func encodeBF16(dst []byte, src []float32) { encode16(dst, src, kernel.ToBF16) }

func decode16(dst []float32, src []byte, widen func([]float32, []uint16)) {
	buf := make([]uint16, min(piece, len(dst)))
	for len(dst) > 0 {
		n := min(piece, len(dst))
		for i := range buf[:n] {
			buf[i] = binary.LittleEndian.Uint16(src[2*i:])
		}
		widen(dst[:n], buf[:n])
		dst, src = dst[n:], src[2*n:]
	}
}

func encode16(dst []byte, src []float32, round func([]uint16, []float32)) {
	buf := make([]uint16, min(piece, len(src)))
	for len(src) > 0 {
		n := min(piece, len(src))
		round(buf[:n], src[:n])
		for i, h := range buf[:n] {
			binary.LittleEndian.PutUint16(dst[2*i:], h)
		}
		dst, src = dst[2*n:], src[n:]
	}
}

// half reads a float16 scale.
func half(src []byte) float32 {
	var f [1]float32
	h := [1]uint16{binary.LittleEndian.Uint16(src)}
	kernel.FromF16(f[:], h[:])
	return f[0]
}

// putHalf writes a float16 scale and returns the number that half will read.
func putHalf(dst []byte, x float32) float32 {
	var h [1]uint16
	f := [1]float32{x}
	kernel.ToF16(h[:], f[:])
	binary.LittleEndian.PutUint16(dst, h[0])
	return half(dst)
}

// bits16 reads the bits of a float16 scale.
func bits16(src []byte) uint16 { return binary.LittleEndian.Uint16(src) }
