package quant

import "retort/internal/compute/kernel"

// Q3_K: 256 weights in 110 bytes, w = d·(s - 32)·(q - 4), with s for 16 weights each.
//
//	byte  0        31       32                95       96                107      108      109
//	      hhhhhhhh …        DDCCBBAA …        DDCCBBAA six-bit s, below …         dddddddd dddddddd
//	      third bits        two runs of 32 bytes                                  d float16
//
// Bit i of byte k in the first run is the third bit of weight 32i + k. Byte k of run h of the pairs holds weights
// 128h + k (A), + 32 (B), + 64 (C), + 96 (D). Scale s[j] has its lower four bits in a half of byte 96 + j%8 (low for
// j < 8), its upper two in byte 104 + j%4, pair j/4.

func decodeQ3_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[110:] {
		d := half(src[108:])
		for i := range superblock {
			q := int(src[32+i/128*32+i%32]>>(i%128/32*2)&3) + int(src[i%32]>>(i/32)&1)<<2
			dst[i] = float32(d*float32(scaleQ3_K(src, i/16))) * float32(q-4)
		}
	}
}

// scaleQ3_K returns s[j] - 32.
func scaleQ3_K(src []byte, j int) int {
	return int(src[96+j%8]>>(j/8*4)&15|src[104+j%4]>>(j/4*2)&3<<4) - 32
}

// fillQ3_K fills a block of PanelQ6_K, whose codes 28 to 35 are ours.
func fillQ3_K(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[110*(i/8):][:110]
	i %= 8
	b.D[r] = bits16(src[108:])
	b.S[r] = [2]uint8{uint8(scaleQ3_K(src, 2*i)), uint8(scaleQ3_K(src, 2*i+1))}
	fillPairs(&b.Q[r], src[32:96], i)
	for k := range 8 {
		b.Q[r][k] += word(src, k)>>i&every<<2 + 28*every
	}
}
