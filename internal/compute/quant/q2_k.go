package quant

import "retort/internal/compute/kernel"

// Q2_K: 256 weights in 84 bytes, w = d·s·q - dmin·n, with s and n for 16 weights each.
//
//	byte  0                 15       16                79       80       81       82       83
//	      nnnnssss …        nnnnssss DDCCBBAA …        DDCCBBAA dddddddd dddddddd mmmmmmmm mmmmmmmm
//	      of weights 0-15   240-255  two runs of 32 bytes       d float16         dmin float16
//
// Byte k of run h holds weights 128h + k (A), + 32 (B), + 64 (C), + 96 (D).

func decodeQ2_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[84:] {
		d, dmin := half(src[80:]), half(src[82:])
		for i := range superblock {
			s := src[i/16]
			q := src[16+i/128*32+i%32] >> (i % 128 / 32 * 2) & 3
			dst[i] = float32(d*float32(s&15)*float32(q)) - float32(dmin*float32(s>>4))
		}
	}
}

func fillQ2_K(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[84*(i/8):][:84]
	i %= 8
	b.D[r], b.M[r] = bits16(src[80:]), bits16(src[82:])
	s, t := src[2*i], src[2*i+1]
	b.S[r], b.N[r] = [2]uint8{s & 15, t & 15}, [2]uint8{s >> 4, t >> 4}
	fillPairs(&b.Q[r], src[16:80], i)
}

// fillPairs takes the two-bit codes of block i of a superblock from its 64 bytes.
func fillPairs(q *[8]uint32, src []byte, i int) {
	for k := range q {
		q[k] = word(src[i/4*32:], k) >> (i % 4 * 2) & (3 * every)
	}
}
