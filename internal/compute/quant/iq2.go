package quant

import "encoding/binary"

// IQ2_XXS: 256 weights in 66 bytes, w = ±d/8·(2s + 1)·v, with a four-bit s for 32 weights each.
//
//	byte  0        1        2        …  5    6                                     then 10, 18, …, 58 in the same way
//	      dddddddd dddddddd nnnnnnnn …       ssssdddd dddccccc ccbbbbbb baaaaaaa (as a number of 32 bits)
//	      d float16         four entries     s, and seven signs for each eight weights: a, b, c, d
//
// Entry j of a block, of the table iq2xxs, is for its weights 8j to 8j+7. Signs are even in number, as in IQ3_XXS.
var iq2XXS = tabled{bytes: 66, scale: eighth, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	n, signs := src[2+8*i:][:4], binary.LittleEndian.Uint32(src[6+8*i:])
	for j := range 4 {
		signed(v[8*j:][:8], grids.iq2xxs[n[j]][:], evenSigns(signs>>(7*j)))
	}
	f := oddFactor(signs >> 28)
	return v, [2]int8{f, f}
}}

// IQ2_XS: 256 weights in 74 bytes, w = ±d/8·(2s + 1)·v, with a four-bit s for 16 weights each.
//
//	byte  0        1        2                 …  65    66       …  73
//	      dddddddd dddddddd ±±±±±±±n nnnnnnnn …        bbbbaaaa …
//	      d float16         numbers of 16 bits         s[0] (a), s[1] (b), …
//
// Number j holds an entry of the table iq2xs for weights 8j to 8j+7, and seven signs of an even number.
var iq2XS = tabled{bytes: 74, scale: eighth, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	for j := range 4 {
		n := binary.LittleEndian.Uint16(src[2+8*i+2*j:])
		signed(v[8*j:][:8], grids.iq2xs[n&511][:], evenSigns(uint32(n>>9)))
	}
	return v, factors(src[66+i])
}}

// IQ2_S: 256 weights in 82 bytes, w = ±d/8·(2s + 1)·v, with a four-bit s for 16 weights each.
//
//	byte  0        1        2        …  33   34       …  65   66       …  73   74       …  81
//	      dddddddd dddddddd nnnnnnnn …       ±±±±±±±± …       DDCCBBAA …       bbbbaaaa …
//	      d float16         entries          signs            upper bits       s[0] (a), s[1] (b), …
//
// Entry j of the table iq2s is for weights 8j to 8j+7; its number has the lower eight bits in byte 2 + j, the upper two
// in pair j%4 of byte 66 + j/4. A set bit k of byte 34 + j makes weight 8j + k negative.
var iq2S = tabled{bytes: 82, scale: eighth, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	n, signs, high := src[2+4*i:][:4], src[34+4*i:][:4], int(src[66+i])
	for j := range 4 {
		signed(v[8*j:][:8], grids.iq2s[int(n[j])|high>>(2*j)&3<<8][:], signs[j])
	}
	return v, factors(src[74+i])
}}

// factors returns 2s + 1 of both halves of a byte, the lower first.
func factors(b byte) [2]int8 { return [2]int8{oddFactor(uint32(b & 15)), oddFactor(uint32(b >> 4))} }
