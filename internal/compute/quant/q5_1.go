package quant

import "retort/internal/compute/kernel"

// Q5_1: 32 weights in 24 bytes, w = d·q + m, q = h·16 + its nibble.
//
//	byte  0        1        2        3        4                                   8                    23
//	      dddddddd dddddddd mmmmmmmm mmmmmmmm hhhhhhhh hhhhhhhh hhhhhhhh hhhhhhhh bbbbaaaa …           bbbbaaaa
//	      d float16         m float16         uint32: bit k is the h of q[k]      a of q[0], b of q[16]

func decodeQ5_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[24:] {
		var q [8]uint32
		fillFive(&q, src[4:24])
		d, m := half(src), half(src[2:])
		for k := range 32 {
			dst[k] = float32(d*float32(codeOf(&q, k))) + m
		}
	}
}

func encodeQ5_1(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[24:], src[32:] {
		lo, hi := bounds(src[:32])
		d := (hi - lo) / 31
		inv := inverse(d)
		putHalf(dst, d)
		putHalf(dst[2:], lo)
		var q [32]uint8
		for k, x := range src[:32] {
			q[k] = code((x-lo)*inv, 0, 31)
		}
		putFive(dst[4:24], &q)
	}
}

func fillQ5_1(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[24*i:][:24]
	b.D[r], b.M[r] = bits16(src), bits16(src[2:])
	fillFive(&b.Q[r], src[4:24])
}
