package quant

import "retort/internal/compute/kernel"

// Q4_0: 32 weights in 18 bytes, w = d·(q - 8).
//
//	byte  0        1        2                 17
//	      dddddddd dddddddd hhhhllll …        hhhhllll
//	      d float16         l q[0], h q[16]   l q[15], h q[31]

func decodeQ4_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[18:] {
		d := half(src)
		for k := range 16 {
			dst[k] = d * float32(int(src[2+k]&15)-8)
			dst[16+k] = d * float32(int(src[2+k]>>4)-8)
		}
	}
}

// encodeQ4_0 gives the weight of largest absolute value the code 0, whose step -8 is the longest.
func encodeQ4_0(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[18:], src[32:] {
		d := extreme(src[:32]) / -8
		inv := inverse(d)
		putHalf(dst, d)
		for k := range 16 {
			lo, hi := code(src[k]*inv, 8, 15), code(src[16+k]*inv, 8, 15)
			dst[2+k] = lo | hi<<4
		}
	}
}

// extreme returns the first of the numbers of largest absolute value, with its sign.
func extreme(x []float32) float32 {
	top := x[0]
	for _, v := range x {
		if abs(v) > abs(top) {
			top = v
		}
	}
	return top
}

// code rounds x + centre to the nearest code from 0 to most; NaN becomes 0.
func code(x, centre float32, most int) byte {
	x += centre + 0.5
	if !(x > 0) {
		return 0
	}
	return byte(int(min(x, float32(most))))
}

func fillQ4_0(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[18*i:][:18]
	b.D[r] = bits16(src)
	fillNibbles(&b.Q[r], src[2:18])
}

// fillNibbles spreads 16 bytes: the low halves are codes 0 to 15, the high halves 16 to 31.
func fillNibbles(q *[8]uint32, src []byte) {
	for i := range 4 {
		x := word(src, i)
		q[i], q[4+i] = x&(15*every), x>>4&(15*every)
	}
}
