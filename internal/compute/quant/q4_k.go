package quant

import "retort/internal/compute/kernel"

// Q4_K: 256 weights in 144 bytes, w = d·s·q - dmin·n, with six-bit s and n for 32 weights each.
//
//	byte  0        1        2        3        4                 15       16                143
//	      dddddddd dddddddd mmmmmmmm mmmmmmmm 12 bytes of s, n           hhhhllll …        hhhhllll
//	      d float16         dmin float16                                 four runs of 32 bytes
//
// Byte k of run j holds weights 64j + k (l) and 64j + 32 + k (h). The twelve bytes hold s[0..7] and n[0..7]:
//
//	byte 4+i   i = 0..3   HHssssss   s[i], and H = the upper bits of s[4+i]
//	byte 8+i   i = 0..3   HHnnnnnn   n[i], and H = the upper bits of n[4+i]
//	byte 12+i  i = 0..3   nnnnssss   the lower bits of s[4+i] and n[4+i]

func decodeQ4_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[144:] {
		d, dmin := half(src), half(src[2:])
		for j := range 8 {
			s, n := factorsQ4_K(src[4:16], j)
			scale, least := d*float32(s), dmin*float32(n)
			for k, c := range src[16+j/2*32:][:32] {
				dst[32*j+k] = float32(scale*float32(c>>(j%2*4)&15)) - least
			}
		}
	}
}

// factorsQ4_K returns s[j] and n[j] from the twelve bytes.
func factorsQ4_K(src []byte, j int) (s, n uint8) {
	if j < 4 {
		return src[j] & 63, src[4+j] & 63
	}
	j -= 4
	return src[8+j]&15 | src[j]>>6<<4, src[8+j]>>4 | src[4+j]>>6<<4
}

// putFactorsQ4_K is the inverse of factorsQ4_K for all eight.
func putFactorsQ4_K(dst []byte, s, n *[8]uint8) {
	for i := range 4 {
		dst[i] = s[i] | s[4+i]>>4<<6
		dst[4+i] = n[i] | n[4+i]>>4<<6
		dst[8+i] = s[4+i]&15 | n[4+i]<<4
	}
}

func encodeQ4_K(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[144:], src[superblock:] {
		f, d, dmin := chooseLines(dst, src[:superblock], 15)
		putFactorsQ4_K(dst[4:16], &f.s, &f.n)
		for j := range 8 {
			least, inv := dmin*float32(f.n[j]), inverse(d*float32(f.s[j]))
			run, shift := dst[16+j/2*32:][:32], j%2*4
			for k, x := range src[32*j:][:32] {
				run[k] = run[k]&^(15<<shift) | code((x+least)*inv, 0, 15)<<shift
			}
		}
	}
}

func fillQ4_K(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[144*(i/8):][:144]
	i %= 8
	b.D[r], b.M[r] = bits16(src), bits16(src[2:])
	s, n := factorsQ4_K(src[4:16], i)
	b.S[r], b.N[r] = [2]uint8{s, s}, [2]uint8{n, n}
	for k := range 8 {
		b.Q[r][k] = word(src[16+i/2*32:], k) >> (i % 2 * 4) & (15 * every)
	}
}
