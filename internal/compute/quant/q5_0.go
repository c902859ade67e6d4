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
		var q [32]uint8
		fillFive(&q, src[2:22])
		d := half(src)
		for k := range 32 {
			dst[k] = d * float32(int(q[k])-16)
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
func fillFive(q *[32]uint8, src []byte) {
	fillNibbles(q, src[4:20])
	h := binary.LittleEndian.Uint32(src)
	for k := range q {
		q[k] |= uint8(h>>k&1) << 4
	}
}

// putFive is the inverse of fillFive.
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
