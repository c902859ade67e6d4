package quant

import (
	_ "embed"
	"encoding/binary"
	"math/bits"

	"retort/internal/compute/kernel"
)

// The IQ formats store 256 weights as w = d·s·v, with a small odd or signed s for 32 or 16 weights each and v out of a
// short list. Below four bits a weight has no code of its own: a number picks the v of eight or four weights at once out
// of a table of the combinations that occur most, which leaves out their signs, and the signs follow apart.
//
// The tables are facts of the formats, taken from ggml-common.h as gguf-py packs them: ref/grids.py writes grids.bin.

//go:embed grids.bin
var packedGrids []byte

// grids are the tables, in the order of grids.bin. Those of iq1 hold eighths.
var grids = func() (g struct {
	iq2xxs [256][8]int8
	iq2xs  [512][8]int8
	iq2s   [1024][8]int8
	iq3xxs [256][4]int8
	iq3s   [512][4]int8
	iq1    [2048][8]int8
}) {
	two, one := []int8{8, 25, 43}, []int8{-8, 0, 8}
	rest := unpackGrid(g.iq2xxs[:], packedGrids, two)
	rest = unpackGrid(g.iq2xs[:], rest, two)
	rest = unpackGrid(g.iq2s[:], rest, two)
	rest = unpackGrid(g.iq3xxs[:], rest, []int8{4, 12, 20, 28, 36, 44, 52, 62})
	rest = unpackGrid(g.iq3s[:], rest, []int8{1, 3, 5, 7, 9, 11, 13, 15})
	unpackGrid(g.iq1[:], rest, one)
	return g
}()

// unpackGrid fills a table from 16 bits an entry, the first weight in the lowest, and returns what follows them.
func unpackGrid[E [4]int8 | [8]int8](table []E, src []byte, values []int8) (rest []byte) {
	for i := range table {
		n, width := binary.LittleEndian.Uint16(src[2*i:]), 16/len(table[i])
		for k := range len(table[i]) {
			table[i][k] = values[n>>(width*k)&(1<<width-1)]
		}
	}
	return src[2*len(table):]
}

// signed sets dst to the values of a table's entry, those whose bit is set in signs negative.
func signed(dst, entry []int8, signs uint8) {
	for k, v := range entry {
		if signs>>k&1 != 0 {
			v = -v
		}
		dst[k] = v
	}
}

// evenSigns returns eight signs out of seven bits: the eighth makes their number even.
func evenSigns(n uint32) uint8 {
	n &= 127
	return uint8(n) | uint8(bits.OnesCount32(n)&1)<<7
}

// oddFactor returns 2s + 1.
func oddFactor(s uint32) int8 { return int8(2*s + 1) }

// tabled is a format of 256 weights whose codes come out of tables.
type tabled struct {
	bytes int // a superblock
	// scale returns d, divided so that factors and codes are whole numbers. block returns the codes of weights 32i to
	// 32i+31 and the factors of their halves.
	scale func(src []byte) float32
	block func(src []byte, i int) (v [32]int8, s [2]int8)
}

// decode is exact: 11 bits of d, 6 of s, 7 of a code.
func (f tabled) decode(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[superblock:], src[f.bytes:] {
		d := f.scale(src)
		for i := range superblock / 32 {
			v, s := f.block(src, i)
			scale := [2]float32{d * float32(s[0]), d * float32(s[1])}
			for k, c := range v {
				dst[32*i+k] = scale[k/16] * float32(c)
			}
		}
	}
}

// fill fills a block of PanelIQ.
func (f tabled) fill(b *kernel.PanelBlock, r int, row []byte, i int) {
	src := row[f.bytes*(i/8):][:f.bytes]
	v, s := f.block(src, i%8)
	b.SetWide(r, f.scale(src))
	b.S[r] = [2]uint8{uint8(s[0]), uint8(s[1])}
	fillSigned(&b.Q[r], &v, 128)
}

// fillSigned sets q to the codes v + centre.
func fillSigned(q *[8]uint32, v *[32]int8, centre int) {
	var c [32]uint8
	for k, x := range v {
		c[k] = uint8(int(x) + centre)
	}
	for k := range q {
		q[k] = word(c[:], k)
	}
}
