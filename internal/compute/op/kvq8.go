package op

import (
	"math"

	"retort/internal/compute/kernel"
)

// A cache of type q8_0 keeps codes of 8 bits: x ≈ code·scale with one bf16 scale for each 32 neighbours along the width
// of one key or value, so that how a position is rounded depends on that position alone. The scale is the largest
// magnitude of the 32 divided by 127, rounded to bf16 (unlike GGUF's f16 it never overflows), and the codes are made
// with the rounded scale: x is at most half a scale off, 1/253 of the largest magnitude.
//
// Codes lie as the values of other types do. Scales lie beside them: of keys [Page/16][Key/32][16 positions], of values
// [Page positions][Value/32].

// scaled is how many neighbours share a scale.
const scaled = 32

// blocks is how many scales a key or value of width n has.
func blocks(n int) int { return (n + scaled - 1) / scaled }

// scales returns where head h has the scales of its keys and of its values in a page.
func (c *KV) scales(h int) (keys, values int) {
	at := c.scaleAt + h*c.headScales()
	return at, at + Page*blocks(c.Key)
}

func (c *KV) setQ8(h, pos int, key, value []float32) {
	pg, at := c.Pages[pos/Page], pos%Page
	keys, values := c.span(h)
	keyScales, valueScales := c.scales(h)
	panel, lane := at/kernel.Panel, at%kernel.Panel
	var codes [scaled]int8
	for b := range blocks(c.Key) {
		part := key[b*scaled : min((b+1)*scaled, c.Key)]
		pg.B16[keyScales+(panel*blocks(c.Key)+b)*kernel.Panel+lane] = quantize(&codes, part)
		for i := range part {
			pg.Q8[keys+(panel*c.Key+b*scaled+i)*kernel.Panel+lane] = codes[i]
		}
	}
	for b := range blocks(c.Value) {
		part := value[b*scaled : min((b+1)*scaled, c.Value)]
		pg.B16[valueScales+at*blocks(c.Value)+b] = quantize(&codes, part)
		for i := 0; i < len(part); i += kernel.Panel {
			n := min(kernel.Panel, len(part)-i)
			copy(pg.Q8[values+(b*scaled+i)*Page+at*kernel.Panel:], codes[i:i+n])
		}
	}
}

// quantize sets the codes of x, at most 32 values, and returns their scale. Where x holds an infinity or a NaN, all of
// them are NaN when read.
func quantize(codes *[scaled]int8, x []float32) (scale uint16) {
	most := float32(0)
	for _, v := range x {
		most = max(most, v, -v) // a NaN stays
	}
	half, wide := [1]uint16{}, [1]float32{most / 127}
	kernel.ToBF16(half[:], wide[:])
	kernel.FromBF16(wide[:], half[:])
	for i, v := range x {
		codes[i] = nearest(min(max(v/wide[0], -127), 127)) // the bounds are for a scale below bf16's normal numbers, or 0
	}
	return half[0]
}

// nearest rounds |x| ≤ 127 to the nearest integer, ties to even, by adding a number whose last place is 1. Of NaN it is
// anything.
func nearest(x float32) int8 { return int8(math.Float32bits(x + 3<<22)) }

// decodeKeys sets dst to the panels of the first n positions of head h: [ceil(n/16)][Key][16].
func (c *KV) decodeKeys(dst []float32, pg *PageData, h, n int) {
	keys, _ := c.span(h)
	at, _ := c.scales(h)
	for p := 0; p < n; p += kernel.Panel {
		for b := 0; b < c.Key; b += scaled {
			from, size := (p*c.Key + b*kernel.Panel), min(scaled, c.Key-b)*kernel.Panel
			kernel.LanesToF32(dst[from:], pg.Q8[keys+from:][:size], pg.B16[at:])
			at += kernel.Panel
		}
	}
}

// decodeValues sets dst to columns v..v+15 of the first n positions of head h: [n][16].
func (c *KV) decodeValues(dst []float32, pg *PageData, h, v, n int) {
	_, values := c.span(h)
	_, at := c.scales(h)
	kernel.RowsToF32(dst, pg.Q8[values+v*Page:][:n*kernel.Panel], pg.B16[at+v/scaled:], blocks(c.Value))
}
