package quant

import "retort/internal/compute/kernel"

// IQ3_S: 256 weights in 110 bytes, w = ±d·(2s + 1)·v, with a four-bit s for 32 weights each.
//
//	byte  0        1        2      …  65     66     …  73     74       …  105      106      …  109
//	      dddddddd dddddddd nnnnnnnn …       hhhhhhhh …       ±±±±±±±± …           bbbbaaaa …
//	      d float16         entries of four  their ninth bits signs                s[0] (a), s[1] (b), …
//
// Entry j of the table iq3s is for weights 4j to 4j+3: its number has the lower eight bits in byte 2 + j, the ninth in bit
// j%8 of byte 66 + j/8. A set bit k of byte 74 + j makes weight 8j + k negative.
var iq3S = tabled{bytes: 110, scale: half, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	n, high, signs := src[2+8*i:][:8], src[66+i], src[74+4*i:][:4]
	for j := range 8 {
		entry := &grids.iq3s[int(n[j])|int(high)>>j&1<<8]
		signed(v[4*j:][:4], entry[:], signs[j/2]>>(j%2*4))
	}
	f := oddFactor(uint32(src[106+i/2]) >> (i % 2 * 4) & 15)
	return v, [2]int8{f, f}
}}

// fillIQ3_S fills a block of PanelQ6_K: the codes are at most 15 and d is a float16.
func fillIQ3_S(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[iq3S.bytes*(i/8):][:iq3S.bytes]
	v, s := iq3S.block(src, i%8)
	b.D[r], b.S[r] = bits16(src), [2]uint8{uint8(s[0]), uint8(s[1])}
	fillSigned(&b.Q[r], &v, 32)
}
