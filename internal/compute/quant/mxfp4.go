package quant

import (
	"math"

	"retort/internal/compute/kernel"
)

// MXFP4: 32 weights in 17 bytes, w = 2^(e-128)·v[q], with the values of a four-bit float, doubled.
//
//	byte  0        1                 16
//	      eeeeeeee hhhhllll …        hhhhllll
//	               l q[0], h q[16]   l q[15], h q[31]
//
// Source: OCP Microscaling Formats 1.0; e of 255, there no number, is 2¹²⁷ here as in ggml.

// mxValues are twice those of an E2M1: a sign, two bits of exponent, one of mantissa.
var mxValues = [16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

func decodeMXFP4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[32:], src[17:] {
		d := scaleMXFP4(src[0])
		for k := range 16 {
			dst[k] = d * float32(mxValues[src[1+k]&15])
			dst[16+k] = d * float32(mxValues[src[1+k]>>4])
		}
	}
}

// scaleMXFP4 returns 2^(e-128).
func scaleMXFP4(e uint8) float32 { return float32(math.Ldexp(1, int(e)-128)) }

func fillMXFP4(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[17*i:][:17]
	b.SetWide(r, scaleMXFP4(src[0]))
	var v [32]int8
	for k, c := range src[1:] {
		v[k], v[16+k] = mxValues[c&15], mxValues[c>>4]
	}
	fillSigned(&b.Q[r], &v, 128)
}
