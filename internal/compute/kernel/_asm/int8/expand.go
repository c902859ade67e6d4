package main

import "fmt"

// expand512 writes a function that decodes panels to float32:
//
//	func expandQ4_0AVX512(dst *float32, w *byte, spans int)
//
// dst is [32*blocks][16]: a column of 16 rows after the other. Registers as in tile512, but DI is dst.
func expand512(file *file, f *format) {
	t := &tile{file: file, f: f, masks: map[string]int{}}
	r := t.allocate()
	t.line("")
	t.line("// func %s(dst *float32, w *byte, spans int)", expandName(f))
	t.line("// Requires: AVX512F, AVX512BW")
	t.line("TEXT ·%s(SB), NOSPLIT, $0-24", expandName(f))
	t.op("MOVQ dst+0(FP), DI")
	t.op("MOVQ w+8(FP), SI")
	t.op("MOVQ spans+16(FP), CX")
	t.loadMasks()
	// Formats whose nibbles are the upper bits have codes shifted up to bit 7.
	shift, centre := f.shift, r.take()
	code := r.take()
	t.op("VPBROADCASTD %s, Z%d", t.file.word(0xff>>shift), code)
	if !f.min {
		t.op("VPBROADCASTD %s, Z%d", t.file.word(0x80>>shift), centre)
	}
	if f.super {
		t.superHead()
	}
	t.line("")
	t.line("block:")
	t.unpack512()
	t.scales512()
	for k := range 32 {
		z, w, h := t.temps[k%len(t.temps)], t.w[k/4], k/16%len(t.scale)
		switch down := k%4*8 + shift; {
		case down == 0:
			t.op("VPANDD Z%d, Z%d, Z%d", code, w, z)
		case down == 24+shift:
			t.op("VPSRLD $%d, Z%d, Z%d", down, w, z)
		default:
			t.op("VPSRLD $%d, Z%d, Z%d", down, w, z)
			t.op("VPANDD Z%d, Z%d, Z%d", code, z, z)
		}
		if !f.min {
			t.op("VPSUBD Z%d, Z%d, Z%d", centre, z, z)
		}
		t.op("VCVTDQ2PS Z%d, Z%d", z, z)
		switch {
		case f.min && f.super:
			t.op("VFMSUB213PS Z%d, Z%d, Z%d", t.least[h], t.scale[h], z)
		case f.min:
			t.op("VFMADD213PS Z%d, Z%d, Z%d", t.least[h], t.scale[h], z)
		default:
			t.op("VMULPS Z%d, Z%d, Z%d", t.scale[h], z, z)
		}
		t.op("VMOVUPS Z%d, %d(DI)", z, 64*k)
	}
	t.op("ADDQ $2048, DI")
	t.nextBlock()
	t.op("VZEROUPPER")
	t.op("RET")
}

func expandName(f *format) string { return fmt.Sprintf("expand%sAVX512", f.name) }
