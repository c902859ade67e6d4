package quant

import "retort/internal/compute/kernel"

// TQ1_0: 256 weights in 54 bytes, w = d·(q - 1) with q of 0, 1 and 2, five to a byte.
//
//	byte  0   …  31   32  …  47   48  …  51   52       53
//	      five q      five q      four q      dddddddd dddddddd
//	      of 0-159    of 160-239  of 240-255  d float16
//
// A byte is a fraction b/256 whose first digits in base three are its q: the n-th is ⌊3·(3ⁿ·b mod 256)/256⌋. Digit n of
// byte k of the first 32 is weight 32n + k, of the next 16 weight 160 + 16n + k, of the last four weight 240 + 4n + k.
//
// TQ2_0: 256 weights in 66 bytes, w = d·(q - 1), two bits each.
//
//	byte  0        …  63       64       65
//	      DDCCBBAA …  DDCCBBAA dddddddd dddddddd
//	      two runs of 32 bytes d float16
//
// Byte k of run h holds weights 128h + k (A), + 32 (B), + 64 (C), + 96 (D).

// powers are those of three, as a byte is multiplied by them.
var powers = [5]uint8{1, 3, 9, 27, 81}

// digitTQ1_0 returns q of weight i.
func digitTQ1_0(src []byte, i int) uint8 {
	var at, n int
	switch {
	case i < 160:
		at, n = i%32, i/32
	case i < 240:
		at, n = 32+i%16, (i-160)/16
	default:
		at, n = 48+i%4, (i-240)/4
	}
	return uint8(uint16(src[at]*powers[n]) * 3 >> 8)
}

func decodeTQ1_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[54:] {
		d := half(src[52:])
		for i := range superblock {
			dst[i] = d * float32(int(digitTQ1_0(src, i))-1)
		}
	}
}

func decodeTQ2_0(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[66:] {
		d := half(src[64:])
		for i := range superblock {
			dst[i] = d * float32(int(src[i/128*32+i%32]>>(i%128/32*2)&3)-1)
		}
	}
}

// fillTQ1_0 and fillTQ2_0 fill a block of PanelQ2_K with d for its scale and its minimum: q·d - d. Where a d below
// zero, which no writer makes, meets a q of 1, that is 0 and not -0.

func fillTQ1_0(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[54*(i/8):][:54]
	var q [32]uint8
	for k := range q {
		q[k] = digitTQ1_0(src, i%8*32+k)
	}
	for k := range 8 {
		b.Q[r][k] = word(q[:], k)
	}
	fillTernary(b, r, bits16(src[52:]))
}

func fillTQ2_0(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[66*(i/8):][:66]
	fillPairs(&b.Q[r], src[:64], i%8)
	fillTernary(b, r, bits16(src[64:]))
}

func fillTernary(b *kernel.PanelBlock, r int, d uint16) {
	b.D[r], b.M[r] = d, d
	b.S[r], b.N[r] = [2]uint8{1, 1}, [2]uint8{1, 1}
}
