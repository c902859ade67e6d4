package quant

import (
	"encoding/binary"

	"retort/internal/compute/kernel"
)

// Q5_0: 32 weights in 22 bytes, w = d·(q - 16), q = h·16 + its nibble.
//
//	byte  0        1        2                                   6                    21
//	      dddddddd dddddddd hhhhhhhh hhhhhhhh hhhhhhhh hhhhhhhh bbbbaaaa …           bbbbaaaa
//	      d float16         uint32: bit k is the h of q[k]      a of q[0], b of q[16]

func decodeQ5_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[22:] {
		var q [8]uint32
		fillFive(&q, src[2:22])
		d := half(src)
		for k := range 32 {
			dst[k] = d * float32(codeOf(&q, k)-16)
		}
	}
}

func encodeQ5_0(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[22:], src[32:] {
		d := extreme(src[:32]) / -16
		inv := inverse(d)
		putHalf(dst, d)
		var q [32]uint8
		for k, x := range src[:32] {
			q[k] = code(x*inv, 16, 31)
		}
		putFive(dst[2:22], &q)
	}
}

func fillQ5_0(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[22*i:][:22]
	b.D[r] = bits16(src)
	fillFive(&b.Q[r], src[2:22])
}

// fillFive spreads 20 bytes: the fifth bits of all codes, then their nibbles.
func fillFive(q *[8]uint32, src []byte) {
	fillNibbles(q, src[4:20])
	h := binary.LittleEndian.Uint32(src)
	for i := range q {
		q[i] |= spread[h>>(4*i)&15] << 4
	}
}

// spread turns four bits into the lowest bits of four bytes.
var spread = func() (s [16]uint32) {
	for b := range uint32(16) {
		s[b] = b&1 | b>>1&1<<8 | b>>2&1<<16 | b>>3&1<<24
	}
	return s
}()

// codeOf returns code k of a block.
func codeOf(q *[8]uint32, k int) int { return int(q[k/4] >> (k % 4 * 8) & 255) }

// putFive is the inverse of fillFive, for codes a byte each.
func putFive(dst []byte, q *[32]uint8) {
	var h uint32
	for k, c := range q {
		h |= uint32(c>>4&1) << k
	}
	binary.LittleEndian.PutUint32(dst, h)
	for k := range 16 {
		dst[4+k] = q[k]&15 | q[16+k]<<4
	}
}
