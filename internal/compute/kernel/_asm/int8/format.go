package main

// format describes a panel format as kernel/int8_panel.go does; that file has the pictures.
type format struct {
	name   string
	super  bool // a head and eight blocks, instead of blocks with their own scales
	block  int  // bytes a block
	low    int  // bits of a code in nibbles (4), bytes (8) or pairs (2)
	high   int  // bits of it beside them
	top    bool // the nibbles are the upper bits, and codes stand shifted up to bit 7
	halves bool // two scales a block
	min    bool
	wide   bool // d is float32
	shift  int  // the product is divided by 1<<shift at the end
}

var formats = []*format{
	{name: "Q4_0", block: 288, low: 4, top: true, shift: 4},
	{name: "Q4_1", block: 320, low: 4, min: true},
	{name: "Q5_0", block: 352, low: 4, high: 1, top: true, shift: 3},
	{name: "Q5_1", block: 384, low: 4, high: 1, min: true},
	{name: "Q8_0", block: 544, low: 8},
	{name: "Q2_K", super: true, block: 128, low: 2, halves: true, min: true},
	{name: "Q4_K", super: true, block: 256, low: 4, min: true},
	{name: "Q5_K", super: true, block: 320, low: 4, high: 1, min: true},
	{name: "Q6_K", super: true, block: 384, low: 4, high: 2, top: true, halves: true, shift: 2},
	{name: "MX", block: 576, low: 8, wide: true},
	{name: "IQ", super: true, block: 512, low: 8, halves: true, wide: true},
}

const headBytes = 320 // of a superblock: d[16] m[16] as float16 or d[16] as float32, 256 bytes of factors

// loadScale is the instruction that loads d.
func (f *format) loadScale() string {
	if f.wide {
		return "VMOVUPS"
	}
	return "VCVTPH2PS"
}

// unpack512 loads the codes at SI into the eight registers w: byte 4r+j of w[i] is row r, column 4i+j.
func (t *tile) unpack512() {
	f, a := t.f, t.file
	switch f.low {
	case 8:
		for i, z := range t.w {
			a.op("VMOVDQU8 %d(SI), Z%d", 64*i, z)
		}
		return
	case 2:
		for h := range 2 {
			a.op("VMOVDQU8 %d(SI), Z%d", 64*h, t.w[4*h+3])
			for p := range 4 {
				z := t.w[4*h+p]
				if p == 0 {
					t.and("0x03030303", t.w[4*h+3], z)
					continue
				}
				a.op("VPSRLW $%d, Z%d, Z%d", 2*p, t.w[4*h+3], z)
				t.and("0x03030303", z, z)
			}
		}
		return
	}
	for i := range 4 {
		lo, hi := t.w[i], t.w[4+i]
		a.op("VMOVDQU8 %d(SI), Z%d", 64*i, hi)
		if f.top {
			a.op("VPSLLW $4, Z%d, Z%d", hi, lo)
			t.and("0xf0f0f0f0", lo, lo)
			t.and("0xf0f0f0f0", hi, hi)
		} else {
			t.and("0x0f0f0f0f", hi, lo)
			a.op("VPSRLW $4, Z%d, Z%d", hi, hi)
			t.and("0x0f0f0f0f", hi, hi)
		}
	}
	// The bits beside the nibbles: from bit `from` of a byte of the register at `offset` to bit `to`.
	switch f.high {
	case 1:
		to, mask := 4, "0x10101010"
		if f.top {
			to, mask = 3, "0x08080808"
		}
		h := t.temps[0]
		a.op("VMOVDQU8 256(SI), Z%d", h)
		for i, z := range t.w {
			t.or(h, i-to, mask, z)
		}
	case 2:
		for h := range 2 {
			a.op("VMOVDQU8 %d(SI), Z%d", 256+64*h, t.temps[0])
			for p := range 4 {
				t.or(t.temps[0], 2*p-2, "0x0c0c0c0c", t.w[4*h+p])
			}
		}
	}
}

// and sets dst = src & mask.
func (t *tile) and(mask string, src, dst int) {
	if z, ok := t.masks[mask]; ok {
		t.file.op("VPANDD Z%d, Z%d, Z%d", z, src, dst)
		return
	}
	t.file.op("VPANDD.BCST %s, Z%d, Z%d", t.word(mask), src, dst)
}

// or sets dst |= (src >> right) & mask; a negative right shifts left.
func (t *tile) or(src, right int, mask string, dst int) {
	from := t.temps[1]
	switch {
	case right > 0:
		t.file.op("VPSRLW $%d, Z%d, Z%d", right, src, from)
	case right < 0:
		t.file.op("VPSLLW $%d, Z%d, Z%d", -right, src, from)
	default:
		from = src
	}
	// 0xf8 = dst | from & mask
	if z, ok := t.masks[mask]; ok {
		t.file.op("VPTERNLOGD $0xf8, Z%d, Z%d, Z%d", z, from, dst)
		return
	}
	t.file.op("VPTERNLOGD.BCST $0xf8, %s, Z%d, Z%d", t.word(mask), from, dst)
}

// maskWords returns the masks that unpack512 uses.
func (f *format) maskWords() []string {
	switch {
	case f.low == 8:
		return nil
	case f.low == 2:
		return []string{"0x03030303", "0x0f0f0f0f"}
	case f.top && f.high == 0:
		return []string{"0xf0f0f0f0"}
	case f.top && f.high == 1:
		return []string{"0xf0f0f0f0", "0x08080808"}
	case f.top:
		return []string{"0xf0f0f0f0", "0x0c0c0c0c"}
	case f.high == 1:
		return []string{"0x0f0f0f0f", "0x10101010"}
	}
	return []string{"0x0f0f0f0f"}
}

// scales512 loads the scales of the block: t.scale[h] and t.least[h], one a lane.
func (t *tile) scales512() {
	f, a := t.f, t.file
	if !f.super {
		at := f.block - 32
		if f.min || f.wide {
			at -= 32
		}
		if f.min {
			a.op("VCVTPH2PS %d(SI), Z%d", at+32, t.least[0])
		}
		a.op("%s %d(SI), Z%d", f.loadScale(), at, t.scale[0])
		return
	}
	factor := func(load string, at, head, z int) {
		a.op("%s %d(R15), Z%d", load, at, z)
		a.op("VCVTDQ2PS Z%d, Z%d", z, z)
		a.op("VMULPS Z%d, Z%d, Z%d", head, z, z)
	}
	switch {
	case f.halves && f.min:
		for h := range 2 {
			s, n := t.scale[h], t.least[h]
			a.op("VPMOVZXBD %d(R15), Z%d", 16*h, n)
			t.and("0x0f0f0f0f", n, s)
			a.op("VPSRLD $4, Z%d, Z%d", n, n)
			for _, p := range [][2]int{{s, t.d}, {n, t.dmin}} {
				a.op("VCVTDQ2PS Z%d, Z%d", p[0], p[0])
				a.op("VMULPS Z%d, Z%d, Z%d", p[1], p[0], p[0])
			}
		}
	case f.halves:
		factor("VPMOVSXBD", 0, t.d, t.scale[0])
		factor("VPMOVSXBD", 16, t.d, t.scale[1])
	default:
		factor("VPMOVZXBD", 0, t.d, t.scale[0])
		factor("VPMOVZXBD", 16, t.dmin, t.least[0])
	}
}
