package main

import "fmt"

// tile256 writes the same function as tile512 for AVX2, with the same bits as its result: the eight upper and the
// eight lower rows of a panel one after the other, and dot products by VPMADDUBSW, whose 16-bit sums hold so many
// columns as their codes allow. Registers as in tile512; R9 the panel, R10 the head of the superblock.
func tile256(file *file, f *format, tokens int) {
	r := allRegisters()
	r.free = r.free[:16]
	t := &half{file: file, f: f, n: tokens}
	t.acc, t.short, t.sum = r.takeN(tokens), r.takeN(tokens), r.takeN(tokens)
	if f.halves {
		t.first = r.takeN(tokens)
	}
	t.w, t.tmp, t.more = r.take(), r.take(), r.take()

	t.line("")
	t.line("// func %s(y *float32, ldy int, a *byte, stride int, w *byte, spans, n int)", avx2Name(f, tokens))
	t.line("// Requires: AVX2, FMA, F16C")
	t.line("TEXT ·%s(SB), NOSPLIT, $0-56", avx2Name(f, tokens))
	t.op("MOVQ y+0(FP), DX")
	t.op("MOVQ a+16(FP), DI")
	t.op("MOVQ stride+24(FP), AX")
	t.op("LEAQ (AX)(AX*2), BX")
	t.op("MOVQ w+32(FP), SI")
	t.op("MOVQ n+48(FP), R13")
	t.line("")
	t.line("panel:")
	t.op("MOVQ SI, R9")
	t.rows(0)
	t.op("CMPQ R13, $8")
	t.op("JLE next")
	t.op("MOVQ R9, SI")
	t.rows(1)
	t.line("")
	t.line("next:")
	t.op("ADDQ $64, DX")
	t.op("SUBQ $16, R13")
	t.op("JG panel")
	t.op("VZEROUPPER")
	t.op("RET")
}

// avx2Tokens are the numbers of tokens a format has functions for: as many as the registers hold.
func avx2Tokens(f *format) []int {
	if f.halves {
		return []int{1, 2}
	}
	return []int{1, 4}
}

func avx2Name(f *format, tokens int) string { return fmt.Sprintf("tile%sx%dAVX2", f.name, tokens) }

// half is a tile of AVX2: eight rows.
type half struct {
	*file
	f            *format
	n            int
	acc          []int // float32 sums
	short        []int // 16-bit sums
	sum          []int // 32-bit sums, then float32
	first        []int // the first half's float32
	w, tmp, more int
}

// rows computes rows 8h to 8h+7 of the panel at SI.
func (t *half) rows(h int) {
	f := t.f
	t.op("MOVQ DI, R8")
	t.op("MOVQ spans+40(FP), CX")
	for _, y := range t.acc {
		t.op("VXORPS Y%d, Y%d, Y%d", y, y, y)
	}
	again := fmt.Sprintf("block%d", h)
	if f.super {
		t.line("")
		t.line("super%d:", h)
		t.op("MOVQ SI, R10")
		t.op("LEAQ 64(SI), R15")
		t.op("ADDQ $%d, SI", headBytes)
		t.op("MOVL $8, R14")
	}
	t.line("")
	t.line("%s:", again)
	if f.halves {
		t.dots(h, 0, 4)
		t.floats(h, 0)
		t.dots(h, 4, 8)
		t.floats(h, 1)
	} else {
		t.dots(h, 0, 8)
	}
	t.add(h)
	t.op("ADDQ $%d, SI", f.block)
	t.op("ADDQ $64, R8")
	if f.super {
		t.op("ADDQ $32, R15")
		t.op("DECL R14")
		t.op("JNZ %s", again)
		again = fmt.Sprintf("super%d", h)
	}
	t.op("DECQ CX")
	t.op("JNZ %s", again)
	t.store(h)
}

// dots sets sum to the integer sums over words lo to hi-1 of the codes, centre taken off, as float32.
func (t *half) dots(h, lo, hi int) {
	f := t.f
	// A 16-bit lane takes two products a word, of a code by at most 127.
	group := map[int]int{2: 8, 4: 8, 5: 4, 6: 2, 8: 1}[f.low+f.high]
	for i := lo; i < hi; i++ {
		t.code(h, i)
		firstOfGroup := (i-lo)%group == 0
		for k := range t.n {
			s := t.short[k]
			dst := t.tmp
			if firstOfGroup {
				dst = s
			}
			t.op("VPBROADCASTD %s, Y%d", token(k, 4*i), t.tmp)
			if f.low == 8 {
				// Signed by signed: the weight's sign goes to the other factor.
				t.op("VPSIGNB Y%d, Y%d, Y%d", t.w, t.tmp, t.tmp)
				t.op("VPMADDUBSW Y%d, Y%d, Y%d", t.tmp, t.more, dst)
			} else {
				t.op("VPMADDUBSW Y%d, Y%d, Y%d", t.tmp, t.w, dst)
			}
			if !firstOfGroup {
				t.op("VPADDW Y%d, Y%d, Y%d", dst, s, s)
			}
		}
		if (i-lo)%group != group-1 && i != hi-1 {
			continue
		}
		for k := range t.n {
			s := t.short[k]
			if i-lo < group {
				t.op("VPMADDWD %s, Y%d, Y%d", t.wide(0x00010001), s, t.sum[k])
				continue
			}
			t.op("VPMADDWD %s, Y%d, Y%d", t.wide(0x00010001), s, s)
			t.op("VPADDD Y%d, Y%d, Y%d", s, t.sum[k], t.sum[k])
		}
	}
	for k := range t.n {
		s := t.sum[k]
		if !f.min && f.low != 8 {
			if f.shift > 0 {
				t.op("VPSLLD $%d, Y%d, Y%d", f.shift, s, s)
			}
			at := 36
			if f.halves {
				at = 40 + lo
			}
			t.op("VPBROADCASTD %s, Y%d", token(k, at), t.tmp)
			t.op("VPADDD Y%d, Y%d, Y%d", t.tmp, s, s)
		}
		t.op("VCVTDQ2PS Y%d, Y%d", s, s)
	}
}

// code loads word i of the codes, plain, into w; of signed bytes also their absolute values into more.
func (t *half) code(h, i int) {
	f := t.f
	and := func(mask uint32) { t.op("VPAND %s, Y%d, Y%d", t.wide(mask), t.w, t.w) }
	load := func(at, right int) {
		t.op("VMOVDQU %d(SI), Y%d", at+32*h, t.w)
		t.shift(t.w, right)
	}
	switch f.low {
	case 8:
		load(64*i, 0)
		t.op("VPXOR %s, Y%d, Y%d", t.wide(0x80808080), t.w, t.w)
		t.op("VPABSB Y%d, Y%d", t.w, t.more)
		return
	case 2:
		load(i/4*64, i%4*2)
		and(0x03030303)
		return
	}
	up := 0 // where the nibble begins in the code
	if f.top {
		up = f.high
	}
	load(i%4*64, i/4*4-up)
	and(0x0f0f0f0f << up)
	if f.high == 0 {
		return
	}
	var at, bit, to int
	mask := uint32(0x01010101)
	switch {
	case f.high == 2:
		at, bit, mask = 256+i/4*64, i%4*2, 0x03030303
	case f.top:
		at, bit = 256, i
	default:
		at, bit, to = 256, i, 4
	}
	t.op("VMOVDQU %d(SI), Y%d", at+32*h, t.more)
	t.shift(t.more, bit-to)
	t.op("VPAND %s, Y%d, Y%d", t.wide(mask<<to), t.more, t.more)
	t.op("VPOR Y%d, Y%d, Y%d", t.more, t.w, t.w)
}

// shift shifts the words of y right, or left where right is negative.
func (t *half) shift(y, right int) {
	if right > 0 {
		t.op("VPSRLW $%d, Y%d, Y%d", right, y, y)
	} else if right < 0 {
		t.op("VPSLLW $%d, Y%d, Y%d", -right, y, y)
	}
}

// factor loads the scale of part p into w and, if there is one, the minimum into more.
func (t *half) factor(h, p int) {
	f := t.f
	if !f.super {
		at := f.block - 32
		if f.min {
			t.op("VCVTPH2PS %d(SI), Y%d", at+16*h, t.more)
			at -= 32
		}
		if f.wide {
			at += 16*h - 32 // twice as long
		}
		t.op("%s %d(SI), Y%d", f.loadScale(), at+16*h, t.w)
		return
	}
	times := func(y, head int) {
		t.op("VCVTDQ2PS Y%d, Y%d", y, y)
		if f.wide {
			head += 16 * h // twice as long
		}
		t.op("%s %d(R10), Y%d", f.loadScale(), head+16*h, t.tmp)
		t.op("VMULPS Y%d, Y%d, Y%d", t.tmp, y, y)
	}
	switch {
	case f.halves && f.min:
		t.op("VPMOVZXBD %d(R15), Y%d", 16*p+8*h, t.w)
		t.op("VPSRLD $4, Y%d, Y%d", t.w, t.more)
		t.op("VPAND %s, Y%d, Y%d", t.wide(0x0f0f0f0f), t.w, t.w)
		times(t.more, 32)
	case f.halves:
		t.op("VPMOVSXBD %d(R15), Y%d", 16*p+8*h, t.w)
	default:
		t.op("VPMOVZXBD %d(R15), Y%d", 16+8*h, t.more)
		times(t.more, 32)
		t.op("VPMOVZXBD %d(R15), Y%d", 8*h, t.w)
	}
	times(t.w, 0)
}

// floats takes the sums of part p of a block with two scales.
func (t *half) floats(h, p int) {
	t.factor(h, p)
	for k := range t.n {
		if p == 0 {
			t.op("VMULPS Y%d, Y%d, Y%d", t.w, t.sum[k], t.first[k])
		} else {
			t.op("VFMADD231PS Y%d, Y%d, Y%d", t.w, t.sum[k], t.first[k])
		}
	}
}

// add adds the block to the sums of all tokens, in tile512's order.
func (t *half) add(h int) {
	f := t.f
	if !f.halves {
		t.factor(h, 0)
	}
	for k := range t.n {
		t.op("VBROADCASTSS %s, Y%d", token(k, 32), t.tmp)
		if f.halves {
			t.op("VFMADD231PS Y%d, Y%d, Y%d", t.tmp, t.first[k], t.acc[k])
		} else {
			t.op("VMULPS Y%d, Y%d, Y%d", t.tmp, t.sum[k], t.sum[k])
			t.op("VFMADD231PS Y%d, Y%d, Y%d", t.w, t.sum[k], t.acc[k])
		}
	}
	if !f.min {
		return
	}
	parts := []int{48}
	if f.halves {
		parts = []int{52, 56}
	}
	for p, at := range parts {
		if f.halves {
			t.factor(h, p)
		}
		for k := range t.n {
			t.op("VBROADCASTSS %s, Y%d", token(k, at), t.tmp)
			op := "VFMADD231PS"
			if f.super {
				op = "VFNMADD231PS"
			}
			t.op("%s Y%d, Y%d, Y%d", op, t.tmp, t.more, t.acc[k])
		}
	}
}

// store writes the sums of rows 8h to 8h+7, as far as there are columns.
func (t *half) store(h int) {
	t.line("")
	t.op("LEAQ %d(R13), R12", -8*h)
	t.op("CMPQ R12, $8")
	t.op("JLE store%d", h)
	t.op("MOVL $8, R12")
	t.line("")
	t.line("store%d:", h)
	t.op("NEGQ R12")
	t.op("LEAQ int8lanes<>+32(SB), R11")
	t.op("VMOVDQU (R11)(R12*4), Y%d", t.tmp)
	t.op("LEAQ %d(DX), R12", 32*h)
	for k, y := range t.acc {
		if t.f.shift > 0 {
			t.op("VMULPS %s, Y%d, Y%d", t.wide(uint32(127-t.f.shift)<<23), y, y)
		}
		t.op("VMASKMOVPS Y%d, Y%d, (R12)", y, t.tmp)
		if k < t.n-1 {
			t.op("ADDQ ldy+8(FP), R12")
		}
	}
}
