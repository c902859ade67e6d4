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

func encodeQ5_K(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[176:], src[superblock:] {
		f, d, dmin := chooseLines(dst, src[:superblock], 31)
		putFactorsQ4_K(dst[4:16], &f.s, &f.n)
		for j := range 8 {
			least, inv := dmin*float32(f.n[j]), inverse(d*float32(f.s[j]))
			run, shift := dst[48+j/2*32:][:32], j%2*4
			for k, x := range src[32*j:][:32] {
				q := code((x+least)*inv, 0, 31)
				run[k] = run[k]&^(15<<shift) | q&15<<shift
				dst[16+k] = dst[16+k]&^(1<<j) | q>>4<<j
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
