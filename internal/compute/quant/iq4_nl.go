package quant

import "retort/internal/compute/kernel"

// IQ4_NL: 32 weights in 18 bytes, w = d·v[q] with 16 steps that are closer together near zero.
//
//	byte  0        1        2                 17
//	      dddddddd dddddddd hhhhllll …        hhhhllll
//	      d float16         l q[0], h q[16]   l q[15], h q[31]

// iq4Values are the steps; they are part of the format.
var iq4Values = [16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

func decodeIQ4_NL(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d := half(src)
		for k := range 16 {
			dst[k] = d * float32(iq4Values[src[2+k]&15])
			dst[16+k] = d * float32(iq4Values[src[2+k]>>4])
		}
	}
}

// fillIQ4_NL fills a block of PanelQ8_0: the steps are int8.
func fillIQ4_NL(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[18*i:][:18]
	b.D[r] = bits16(src)
	var q [32]uint8
	for k := range 16 {
		q[k] = uint8(iq4Values[src[2+k]&15]) ^ 0x80
		q[16+k] = uint8(iq4Values[src[2+k]>>4]) ^ 0x80
	}
	for i := range 8 {
		b.Q[r][i] = word(q[:], i)
	}
}
