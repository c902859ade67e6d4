package quant

import "encoding/binary"

// IQ3_XXS: 256 weights in 98 bytes, w = ±d/4·(2s + 1)·v, with a four-bit s for 32 weights each.
//
//	byte  0        1        2        …  65   66                                  …  97
//	      dddddddd dddddddd nnnnnnnn …       ssssdddd dddccccc ccbbbbbb baaaaaaa … (as a number of 32 bits)
//	      d float16         entries of four  s, and seven signs for each eight weights: a, b, c, d
//
// Entry j of the table iq3xxs is for weights 4j to 4j+3; byte 2 + j is its number. The signs of eight weights are even in
// number, so seven bits say all.
var iq3XXS = tabled{bytes: 98, scale: quarter, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	n, signs := src[2+8*i:][:8], binary.LittleEndian.Uint32(src[66+4*i:])
	for j := range 8 {
		signed(v[4*j:][:4], grids.iq3xxs[n[j]][:], evenSigns(signs>>(j/2*7))>>(j%2*4))
	}
	f := oddFactor(signs >> 28)
	return v, [2]int8{f, f}
}}

func quarter(src []byte) float32 { return half(src) * 0.25 }

func eighth(src []byte) float32 { return half(src) * 0.125 }
