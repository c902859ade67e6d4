package kernel

import (
	"encoding/binary"
	"math"
)

// A PanelFormat says how 16 rows of a quantized weight lie in memory: in the order in which the integer kernels
// read them, with the same numbers as the stored format of that name, so that nothing is rounded twice.
//
// 32 columns of 16 rows are a block. Its codes are laid so that byte 4r+j of register i holds row r, column 4i+j:
// the dot product unit adds four columns of a row at a time.
//
//	nibbles  256 bytes, 4 registers: low half columns 4i+j, high half columns 16+4i+j
//	bits      64 bytes: bit i of byte 4r+j belongs to register i of the unpacked 8 (columns 4i+j)
//	pairs    128 bytes, 2 registers: bits 2p, 2p+1 of byte 4r+j belong to register p (first 64 bytes) or 4+p
//	bytes    512 bytes, 8 registers
//
//	format  a block of 16 x 32                                    value                    bytes of a block
//	Q4_0    nibbles(q) d[16]f16                                   (q-8)·d                  288
//	Q4_1    nibbles(q) d[16]f16 m[16]f16                          q·d + m                  320
//	Q5_0    nibbles(q>>1) bits(q&1) d[16]f16                      (q-16)·d                 352
//	Q5_1    nibbles(q&15) bits(q>>4) d[16]f16 m[16]f16            q·d + m                  384
//	Q8_0    bytes(q) d[16]f16                                     (q-128)·d                544
//	MX      bytes(q) d[16]f32                                     (q-128)·d                576
//
//	        a superblock of 16 x 256: a head, then 8 blocks                                bytes of a superblock
//	Q2_K    d[16]f16 m[16]f16 (s|n<<4)[8][2][16]u4, pairs(q)      q·(s·d) - n·m            1344
//	Q4_K    d[16]f16 m[16]f16 (s[16] n[16])[8]u8, nibbles(q)      q·(s·d) - n·m            2368
//	Q5_K    as Q4_K, nibbles(q&15) bits(q>>4)                     q·(s·d) - n·m            2880
//	Q6_K    d[16]f16 0[32] s[8][2][16]int8, nibbles(q>>2) pairs(q&3)   (q-32)·(s·d)        3392
//	IQ      d[16]f32 s[8][2][16]int8, bytes(q)                    (q-128)·(s·d)            4416
//
// MX and IQ hold ggml's formats whose codes come out of tables, or whose scale is no float16 of its own.
// In Q2_K, Q6_K and IQ the first s and n of a block are for its columns 0 to 15, the second for 16 to 31.
type PanelFormat uint8

// The formats that have integer kernels.
const (
	PanelQ4_0 PanelFormat = iota
	PanelQ4_1
	PanelQ5_0
	PanelQ5_1
	PanelQ8_0
	PanelQ2_K
	PanelQ4_K
	PanelQ5_K
	PanelQ6_K
	PanelMX
	PanelIQ
	panelFormats
)

// panelLayout is the arithmetic of a format and where its parts lie.
type panelLayout struct {
	name   string
	span   int  // columns a head covers: 32 (none) or 256
	head   int  // bytes before the first block
	block  int  // bytes a block, its f16 scales included
	low    int  // bits a code has in nibbles, bytes or (2) pairs
	high   int  // bits a code has beside them: 1 in bits, 2 in pairs, 0
	top    bool // the nibbles are the upper four bits of a code
	halves bool // two scales a block
	min    bool // codes have a minimum instead of a centre
	wide   bool // d is a float32: its lower half in PanelBlock.D, its upper in M
	centre int  // what is taken off a code
	shift  int  // the kernels multiply by code << shift
}

var panelLayouts = [panelFormats]panelLayout{
	PanelQ4_0: {name: "Q4_0", span: 32, block: 288, low: 4, centre: 8, shift: 4},
	PanelQ4_1: {name: "Q4_1", span: 32, block: 320, low: 4, min: true},
	PanelQ5_0: {name: "Q5_0", span: 32, block: 352, low: 4, high: 1, top: true, centre: 16, shift: 3},
	PanelQ5_1: {name: "Q5_1", span: 32, block: 384, low: 4, high: 1, min: true},
	PanelQ8_0: {name: "Q8_0", span: 32, block: 544, low: 8, centre: 128},
	PanelQ2_K: {name: "Q2_K", span: 256, head: 320, block: 128, low: 2, halves: true, min: true},
	PanelQ4_K: {name: "Q4_K", span: 256, head: 320, block: 256, low: 4, min: true},
	PanelQ5_K: {name: "Q5_K", span: 256, head: 320, block: 320, low: 4, high: 1, min: true},
	PanelQ6_K: {name: "Q6_K", span: 256, head: 320, block: 384, low: 4, high: 2, top: true, halves: true, centre: 32, shift: 2},
	PanelMX:   {name: "MX", span: 32, block: 576, low: 8, centre: 128, wide: true},
	PanelIQ:   {name: "IQ", span: 256, head: 320, block: 512, low: 8, halves: true, centre: 128, wide: true},
}

// String returns the name of the stored format with the same numbers.
func (f PanelFormat) String() string { return panelLayouts[f].name }

// Span returns of how many columns a row is made: their number must be a multiple.
func (f PanelFormat) Span() int { return panelLayouts[f].span }

// Bytes returns the size of one panel, 16 rows of cols numbers.
func (f PanelFormat) Bytes(cols int) int {
	l := &panelLayouts[f]
	if cols%l.span != 0 {
		panic("kernel: PanelFormat.Bytes: columns are not whole blocks")
	}
	return cols / l.span * (l.head + l.span/int8Block*l.block)
}

// PanelBlock is one block unpacked: 16 rows of 32 columns.
type PanelBlock struct {
	Q    [Panel][8]uint32 // codes as in the table of PanelFormat, four a word, the first in the lowest byte
	D, M [Panel]uint16    // f16: scale and minimum of the row's block or superblock; or halves of a scale, see SetWide
	S, N [Panel][2]uint8  // their integer factors, one a half; both are equal where the format has one a block
}

// at returns the head (nil where a format has none) and the bytes of block b of a panel.
func (l *panelLayout) at(w []byte, b int) (head, block []byte) {
	per := l.span / int8Block
	super := l.head + per*l.block
	w = w[b/per*super:][:super]
	at := l.head + b%per*l.block
	return w[:l.head:l.head], w[at : at+l.block : at+l.block]
}

// Pack writes block b (columns 32b to 32b+31) of the panel w.
func (f PanelFormat) Pack(w []byte, b int, src *PanelBlock) {
	l := &panelLayouts[f]
	head, block := l.at(w, b)
	rest := l.packCodes(block, &src.Q)
	if l.span == int8Block {
		l.packScales(rest, src)
		return
	}
	l.packScales(head, src)
	factors := head[64+32*(b%8):]
	for r := range Panel {
		switch {
		case l.halves && l.min:
			factors[r], factors[16+r] = src.S[r][0]|src.N[r][0]<<4, src.S[r][1]|src.N[r][1]<<4
		case l.halves:
			factors[r], factors[16+r] = src.S[r][0], src.S[r][1]
		default:
			factors[r], factors[16+r] = src.S[r][0], src.N[r][0]
		}
	}
}

// packScales writes d and, where there is one, m of all rows.
func (l *panelLayout) packScales(dst []byte, src *PanelBlock) {
	for r := range Panel {
		switch {
		case l.wide:
			binary.LittleEndian.PutUint32(dst[4*r:], src.wide(r))
			continue
		case l.min:
			binary.LittleEndian.PutUint16(dst[32+2*r:], src.M[r])
		}
		binary.LittleEndian.PutUint16(dst[2*r:], src.D[r])
	}
}

// SetWide sets the scale of row r, in the formats whose scale is a float32.
func (b *PanelBlock) SetWide(r int, d float32) { b.setWide(r, math.Float32bits(d)) }

func (b *PanelBlock) setWide(r int, bits uint32) { b.D[r], b.M[r] = uint16(bits), uint16(bits>>16) }

func (b *PanelBlock) wide(r int) uint32 { return uint32(b.D[r]) | uint32(b.M[r])<<16 }

// every is a byte in all four bytes of a word: the codes of a word are moved together.
const every = 0x01010101

// packCodes lays out the codes and returns what of the block follows them.
func (l *panelLayout) packCodes(block []byte, q *[Panel][8]uint32) []byte {
	put := binary.LittleEndian.PutUint32
	for r := range Panel {
		c := &q[r]
		at := block[4*r:]
		switch l.low {
		case 8:
			for i := range 8 {
				put(at[64*i:], c[i])
			}
			continue
		case 2:
			put(at, pairs(c[0:4]))
			put(at[64:], pairs(c[4:8]))
			continue
		}
		n := *c // what goes into the nibbles
		switch {
		case l.high == 1 && l.top:
			put(at[256:], bits(c, 0))
			for i := range n {
				n[i] >>= 1
			}
		case l.high == 1:
			put(at[256:], bits(c, 4))
		case l.high == 2:
			put(at[256:], pairs(c[0:4]))
			put(at[320:], pairs(c[4:8]))
			for i := range n {
				n[i] >>= 2
			}
		}
		for i := range 4 {
			put(at[64*i:], n[i]&(15*every)|n[4+i]&(15*every)<<4)
		}
	}
	return block[512*(l.low+l.high)/8:]
}

// bits collects bit `at` of the codes: bit i of a byte is that of word i.
func bits(c *[8]uint32, at int) (b uint32) {
	for i, x := range c {
		b |= x >> at & every << i
	}
	return b
}

// pairs collects the lower two bits of the codes: bits 2i, 2i+1 of a byte are those of word i.
func pairs(c []uint32) uint32 {
	const m = 3 * every
	return c[0]&m | c[1]&m<<2 | c[2]&m<<4 | c[3]&m<<6
}

// Unpack reads block b of the panel w.
func (f PanelFormat) Unpack(dst *PanelBlock, w []byte, b int) {
	l := &panelLayouts[f]
	for r := range Panel {
		l.unpackRow(dst, w, b, r)
	}
}

// unpackRow reads row r of block b.
func (l *panelLayout) unpackRow(dst *PanelBlock, w []byte, b, r int) {
	head, block := l.at(w, b)
	l.unpackCodes(&dst.Q[r], block, r)
	if l.span == int8Block {
		l.unpackScales(dst, block[512*(l.low+l.high)/8:], r)
		dst.S[r], dst.N[r] = [2]uint8{1, 1}, [2]uint8{1, 1}
		return
	}
	l.unpackScales(dst, head, r)
	first, second := head[64+32*(b%8)+r], head[80+32*(b%8)+r]
	switch {
	case l.halves && l.min:
		dst.S[r], dst.N[r] = [2]uint8{first & 15, second & 15}, [2]uint8{first >> 4, second >> 4}
	case l.halves:
		dst.S[r] = [2]uint8{first, second}
	default:
		dst.S[r], dst.N[r] = [2]uint8{first, first}, [2]uint8{second, second}
	}
}

// unpackScales is the inverse of packScales for row r.
func (l *panelLayout) unpackScales(dst *PanelBlock, src []byte, r int) {
	if l.wide {
		dst.setWide(r, binary.LittleEndian.Uint32(src[4*r:]))
		return
	}
	dst.D[r] = binary.LittleEndian.Uint16(src[2*r:])
	if l.min {
		dst.M[r] = binary.LittleEndian.Uint16(src[32+2*r:])
	}
}

// unpackCodes is the inverse of packCodes for row r.
func (l *panelLayout) unpackCodes(c *[8]uint32, block []byte, r int) {
	at := func(offset int) uint32 { return binary.LittleEndian.Uint32(block[offset+4*r:]) }
	switch l.low {
	case 8:
		for i := range c {
			c[i] = at(64 * i)
		}
		return
	case 2:
		for i := range c {
			c[i] = at(i/4*64) >> (i % 4 * 2) & (3 * every)
		}
		return
	}
	for i := range 4 {
		x := at(64 * i)
		c[i], c[4+i] = x&(15*every), x>>4&(15*every)
	}
	switch {
	case l.high == 1:
		h := at(256)
		for i := range c {
			if b := h >> i & every; l.top {
				c[i] = c[i]<<1 | b
			} else {
				c[i] |= b << 4
			}
		}
	case l.high == 2:
		for i := range c {
			c[i] = c[i]<<2 | at(256+i/4*64)>>(i%4*2)&(3*every)
		}
	}
}

// scales returns the factor and the addend of row r, one a half: value = (q - centre)·scale + add.
func (l *panelLayout) scales(b *PanelBlock, r int) (scale, add [2]float32) {
	d := widenF16(b.D[r])
	if l.wide {
		d = math.Float32frombits(b.wide(r))
	}
	for h := range 2 {
		switch {
		case l.span == int8Block:
			scale[h] = d
			if l.min {
				add[h] = widenF16(b.M[r])
			}
		case l.min:
			scale[h] = d * float32(b.S[r][h])
			add[h] = -(widenF16(b.M[r]) * float32(b.N[r][h]))
		default:
			scale[h] = d * float32(int8(b.S[r][h]))
		}
	}
	return scale, add
}

// DecodeRow writes row r of the panel w as float32, exactly as the stored format decodes; dst is whole spans.
func (f PanelFormat) DecodeRow(dst []float32, w []byte, r int) {
	l := &panelLayouts[f]
	var b PanelBlock
	for i := range len(dst) / int8Block {
		l.unpackRow(&b, w, i, r)
		l.decode(dst[i*int8Block:][:int8Block], &b, r)
	}
}

// DecodeTile writes columns lo to hi-1, whole spans, of the first rows rows of the panel w as float32:
// dst[r*ld+col-lo]. scratch has 16*(hi-lo) elements.
func (f PanelFormat) DecodeTile(dst []float32, ld int, w []byte, rows, lo, hi int, scratch []float32) {
	span := f.Span()
	if lo%span != 0 || hi%span != 0 || lo > hi || rows > Panel {
		panic("kernel: PanelFormat.DecodeTile: columns are not whole spans, or too many rows")
	}
	need(len(w), f.Bytes(hi), "DecodeTile: w")
	need(len(dst), matrix(rows, hi-lo, ld, "DecodeTile"), "DecodeTile: dst")
	need(len(scratch), Panel*(hi-lo), "DecodeTile: scratch")
	if rows > 0 && lo < hi {
		decodeTile(f, dst, ld, w[f.Bytes(lo):], rows, hi-lo, scratch)
	}
}

func decodeTileGeneric(f PanelFormat, dst []float32, ld int, w []byte, rows, cols int, _ []float32) {
	for r := range rows {
		f.DecodeRow(dst[r*ld:][:cols], w, r)
	}
}

// decode writes row r of b as float32. The products are exact: 11 bits of the scale, 7 of its factor, 5 of a code.
func (l *panelLayout) decode(dst []float32, b *PanelBlock, r int) {
	scale, add := l.scales(b, r)
	centre := int32(l.centre)
	for i, c := range b.Q[r] {
		d, s := dst[4*i:][:4], scale[i/4]
		d[0] = float32(int32(c&255)-centre) * s
		d[1] = float32(int32(c>>8&255)-centre) * s
		d[2] = float32(int32(c>>16&255)-centre) * s
		d[3] = float32(int32(c>>24)-centre) * s
		if l.min {
			m := add[i/4]
			d[0], d[1], d[2], d[3] = d[0]+m, d[1]+m, d[2]+m, d[3]+m
		}
	}
}
