package quant

import "retort/internal/compute/kernel"

// Q4_1: 32 weights in 20 bytes, w = d·q + m.
//
//	byte  0        1        2        3        4                 19
//	      dddddddd dddddddd mmmmmmmm mmmmmmmm hhhhllll …        hhhhllll
//	      d float16         m float16         l q[0], h q[16]   l q[15], h q[31]

func decodeQ4_1(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[20:] {
		d, m := half(src), half(src[2:])
		for k := range 16 {
			dst[k] = float32(d*float32(src[4+k]&15)) + m
			dst[16+k] = float32(d*float32(src[4+k]>>4)) + m
		}
	}
}

func encodeQ4_1(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[20:], src[32:] {
		lo, hi := bounds(src[:32])
		d := (hi - lo) / 15
		inv := inverse(d)
		putHalf(dst, d)
		putHalf(dst[2:], lo)
		for k := range 16 {
			a, b := code((src[k]-lo)*inv, 0, 15), code((src[16+k]-lo)*inv, 0, 15)
			dst[4+k] = a | b<<4
		}
	}
}

// bounds returns the least and the greatest number.
func bounds(x []float32) (lo, hi float32) {
	lo, hi = x[0], x[0]
	for _, v := range x {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

func fillQ4_1(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[20*i:][:20]
	b.D[r], b.M[r] = bits16(src), bits16(src[2:])
	fillNibbles(&b.Q[r], src[4:20])
}
