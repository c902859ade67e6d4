package quant

import "encoding/binary"

// IQ4_XS: 256 weights in 136 bytes, w = d·(s - 32)·v[q] with the steps of IQ4_NL and a six-bit s for 32 weights each.
//
//	byte  0        1        2        3        4        …  7        8                 135
//	      dddddddd dddddddd DDCCBBAA HHGGFFEE bbbbaaaa … hhhhgggg hhhhllll …        hhhhllll
//	      d float16         upper two bits    lower four bits     eight runs of 16 bytes
//	                        of s[0] (A) to s[7] (H)
//
// Byte k of run j holds weights 32j + k (l) and 32j + 16 + k (h).
var iq4XS = tabled{bytes: 136, scale: half, block: func(src []byte, i int) (v [32]int8, s [2]int8) {
	high := binary.LittleEndian.Uint16(src[2:]) >> (2 * i) & 3
	f := int8(src[4+i/2]>>(i%2*4)&15|uint8(high)<<4) - 32
	for k, c := range src[8+16*i:][:16] {
		v[k], v[16+k] = iq4Values[c&15], iq4Values[c>>4]
	}
	return v, [2]int8{f, f}
}}
