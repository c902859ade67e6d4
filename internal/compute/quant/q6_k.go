package quant

import (
	"math"

	"retort/internal/compute/kernel"
)

// Q6_K: 256 weights in 210 bytes, w = d·s·(q - 32), with an int8 s for 16 weights each.
//
//	byte  0                 127      128               191      192               207      208      209
//	      bbbbaaaa …        bbbbaaaa DDCCBBAA …        DDCCBBAA ssssssss …        ssssssss dddddddd dddddddd
//	      lower four bits            upper two bits             of 0-15           240-255  d float16
//
// A half of 128 weights has 64 bytes of lower bits: byte k holds weights k (a) and 64 + k (b); and 32 bytes of upper
// bits: byte k holds weights k (A), 32 + k (B), 64 + k (C), 96 + k (D).

func decodeQ6_K(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[210:] {
		d := half(src[208:])
		for j := range 8 {
			var q [8]uint32
			fillSix(&q, src, j)
			s := [2]float32{d * float32(int8(src[192+2*j])), d * float32(int8(src[193+2*j]))}
			for k := range 32 {
				dst[32*j+k] = s[k/16] * float32(codeOf(&q, k)-32)
			}
		}
	}
}

// fillSix takes the codes of weights 32j to 32j+31.
func fillSix(q *[8]uint32, src []byte, j int) {
	low, high := src[j/4*64+j%2*32:][:32], src[128+j/4*32:][:32]
	for k := range q {
		q[k] = word(low, k)>>(j%4/2*4)&(15*every) | word(high, k)>>(j%4*2)&(3*every)<<4
	}
}

func encodeQ6_K(dst []byte, src []float32) {
	for ; len(src) > 0; dst, src = dst[210:], src[superblock:] {
		clear(dst[:192])
		d := chooseScales(dst[192:210], src[:superblock])
		for i, x := range src[:superblock] {
			inv := inverse(d * float32(int8(dst[192+i/16])))
			q := code(x*inv, 32, 63)
			j, k := i/32, i%32
			dst[j/4*64+j%2*32+k] |= q & 15 << (j % 4 / 2 * 4)
			dst[128+j/4*32+k] |= q >> 4 << (j % 4 * 2)
		}
	}
}

// chooseScales stores sixteen int8 factors and d in dst, and returns d.
func chooseScales(dst []byte, x []float32) (d float32) {
	var weight [superblock]float32
	var scale [16]float32
	for j := range scale {
		b, w := x[16*j:][:16], weight[16*j:][:16]
		importance(w, b)
		scale[j] = fitCentred(b, w, 32)
	}
	d = putHalf(dst[16:], extreme(scale[:])/-128)
	for j, s := range scale {
		c := int(code(s*inverse(d), 128, 255)) - 128
		best := float32(math.Inf(1))
		for a := max(c-1, -128); a <= min(c+1, 127); a++ {
			if e := centredError(x[16*j:][:16], weight[16*j:][:16], d*float32(a), 32); e < best {
				best, dst[j] = e, byte(int8(a))
			}
		}
	}
	return d
}

func fillQ6_K(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[210*(i/8):][:210]
	i %= 8
	b.D[r] = bits16(src[208:])
	b.S[r] = [2]uint8{src[192+2*i], src[193+2*i]}
	fillSix(&b.Q[r], src, i)
}
