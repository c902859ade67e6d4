package quant

import "retort/internal/compute/kernel"

// Q5_K: 256 weights in 176 bytes, w = d·s·q - dmin·n, q = h·16 + its nibble, with six-bit s and n for 32 weights each.
//
//	byte  0        1        2        3        4                 16                47       48                175
//	      dddddddd dddddddd mmmmmmmm mmmmmmmm s, n as Q4_K …    hhhhhhhh …        hhhhhhhh bbbbaaaa …        bbbbaaaa
//	      d float16         dmin float16                        fifth bits                 four runs of 32 bytes
//
// Bit j of byte k of the fifth bits belongs to weight 32j + k. Byte k of run j holds weights 64j + k (a) and
// 64j + 32 + k (b).

func decodeQ5_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[176:] {
		d, dmin := half(src), half(src[2:])
		for j := range 8 {
			s, n := factorsQ4_K(src[4:16], j)
			scale, least := d*float32(s), dmin*float32(n)
			for k, c := range src[48+j/2*32:][:32] {
				q := c>>(j%2*4)&15 | src[16+k]>>j&1<<4
				dst[32*j+k] = float32(scale*float32(q)) - least
			}
		}
	}
}

func fillQ5_K(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[176*(i/8):][:176]
	i %= 8
	b.D[r], b.M[r] = bits16(src), bits16(src[2:])
	s, n := factorsQ4_K(src[4:16], i)
	b.S[r], b.N[r] = [2]uint8{s, s}, [2]uint8{n, n}
	for k := range 8 {
		b.Q[r][k] = word(src[48+i/2*32:], k)>>(i%2*4)&(15*every) | word(src[16:], k)>>i&every<<4
	}
}
