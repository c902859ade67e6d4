package quant

import "encoding/binary"

// IQ1_S: 256 weights in 50 bytes, w = d·(2s + 1)·(v ± 1/8) with v of -1, 0 and 1, and a three-bit s for 32 weights each.
//
//	byte  0        1        2        …  33   34                …  49
//	      dddddddd dddddddd nnnnnnnn …       -sssdddc ccbbbaaa … (as numbers of 16 bits)
//	      d float16         entries          of 32 weights: the upper bits of their four entries (a first), s, and
//	                                         whether an eighth is taken off (-) or added
//
// Entry j of the table iq1 is for weights 8j to 8j+7; byte 2 + j has the lower eight bits of its number.
var iq1S = tabled{bytes: 50, scale: eighth, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	n, high := src[2+4*i:][:4], binary.LittleEndian.Uint16(src[34+2*i:])
	for j := range 4 {
		shifted(v[8*j:][:8], int(n[j])|int(high>>(3*j)&7)<<8, high>>15 != 0)
	}
	f := oddFactor(uint32(high >> 12 & 7))
	return v, [2]int8{f, f}
}}

// IQ1_M: 256 weights in 56 bytes, w = d·(2s + 1)·(v ± 1/8) with v of -1, 0 and 1, and a three-bit s for 16 weights each.
//
//	byte  0        …  31   32       …  47   48                …  55
//	      nnnnnnnn …       -bbb-aaa …       DDDDdddc ccbbbaaa … (as numbers of 16 bits)
//	      entries          upper bits       s[0] (a) to s[3] (d), …; and four bits of d (D), the lowest first
//
// Entry j of the table iq1 is for weights 8j to 8j+7; byte j has the lower eight bits of its number, a half of byte 32 + j/2
// (the low one for even j) the upper three, and whether an eighth is taken off (-) or added. d is a float16.
var iq1M = tabled{bytes: 56, scale: scaleIQ1_M, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	for j := range 4 {
		high := src[32+2*i+j/2] >> (j % 2 * 4)
		shifted(v[8*j:][:8], int(src[4*i+j])|int(high&7)<<8, high&8 != 0)
	}
	n := uint32(binary.LittleEndian.Uint16(src[48+i/2*2:])) >> (i % 2 * 6)
	return v, [2]int8{oddFactor(n & 7), oddFactor(n >> 3 & 7)}
}}

// scaleIQ1_M gathers d from the upper bits of the four numbers.
func scaleIQ1_M(src []byte) float32 {
	var d [2]byte
	for q := range 4 {
		d[q/2] |= src[49+2*q] >> 4 << (q % 2 * 4)
	}
	return eighth(d[:])
}

// shifted sets dst to entry n of the table iq1, an eighth more or less, in eighths.
func shifted(dst []int8, n int, less bool) {
	delta := int8(1)
	if less {
		delta = -1
	}
	for k, v := range grids.iq1[n] {
		dst[k] = v + delta
	}
}
