package main

import (
	"fmt"
	"strconv"
)

// tileTokens are the numbers of tokens for which there is a function. Sixteen tokens by sixteen rows fill the registers;
// smaller ones serve the rest, and one token is decoding.
var tileTokens = []int{1, 2, 4, 8, 16}

// tile is one function: n tokens times panels of one format.
type tile struct {
	*file
	f     *format
	n     int
	acc   []int // float32 sums, a token each
	w     []int // codes
	scale []int
	least []int
	d     int // of a superblock
	dmin  int
	temps []int          // integer sums
	masks map[string]int // constants that have a register
}

// tile512 writes a function:
//
//	func tileQ4_0x16AVX512(y *float32, ldy int, a *byte, stride int, w *byte, spans, n int)
//
// y[t*ldy+j] for t < tokens and j < n from the rows a[t*stride:] of an Int8 and the panels w of `spans` blocks or
// superblocks a row; ldy counts bytes. Registers:
//
//	SI w   R15 factors of the block   R14 blocks left in the superblock   CX spans left
//	DI a   R8, R9, R10, R11 tokens 0, 4, 8, 12 at the block   AX stride   BX 3*stride
//	DX y   R12 a row of y   R13 columns left
func tile512(file *file, f *format, tokens int) {
	t := &tile{file: file, f: f, n: tokens, masks: map[string]int{}}
	t.allocate()
	t.line("")
	t.line("// func %s(y *float32, ldy int, a *byte, stride int, w *byte, spans, n int)", tileName(f, tokens))
	t.line("// Requires: AVX512F, AVX512BW, AVX512VNNI")
	t.line("TEXT ·%s(SB), NOSPLIT, $0-56", tileName(f, tokens))
	t.op("MOVQ y+0(FP), DX")
	t.op("MOVQ a+16(FP), DI")
	t.op("MOVQ stride+24(FP), AX")
	t.op("LEAQ (AX)(AX*2), BX")
	t.op("MOVQ w+32(FP), SI")
	t.op("MOVQ n+48(FP), R13")
	t.loadMasks()
	t.line("")
	t.line("panel:")
	t.op("MOVQ DI, R8")
	for i := 4; i < tokens; i += 4 {
		t.op("LEAQ (%s)(AX*4), %s", bases[i/4-1], bases[i/4])
	}
	t.op("MOVQ spans+40(FP), CX")
	for _, z := range t.acc {
		t.op("VPXORD Z%d, Z%d, Z%d", z, z, z)
	}
	if f.super {
		t.superHead()
	}
	t.line("")
	t.line("block:")
	t.unpack512()
	t.scales512()
	t.products()
	for i := 0; i < tokens; i += 4 {
		t.op("ADDQ $64, %s", bases[i/4])
	}
	t.nextBlock()
	t.store()
	t.op("ADDQ $64, DX")
	t.op("SUBQ $16, R13")
	t.op("JG panel")
	t.op("VZEROUPPER")
	t.op("RET")
}

func tileName(f *format, tokens int) string { return fmt.Sprintf("tile%sx%dAVX512", f.name, tokens) }

// loadMasks loads the masks that have a register.
func (t *tile) loadMasks() {
	for _, m := range t.f.maskWords() {
		if z, ok := t.masks[m]; ok {
			t.op("VPBROADCASTD %s, Z%d", t.word(m), z)
		}
	}
}

// superHead begins a superblock.
func (t *tile) superHead() {
	t.line("")
	t.line("super:")
	t.op("%s (SI), Z%d", t.f.loadScale(), t.d)
	if t.f.min {
		t.op("VCVTPH2PS 32(SI), Z%d", t.dmin)
	}
	t.op("LEAQ 64(SI), R15")
	t.op("ADDQ $%d, SI", headBytes)
	t.op("MOVL $8, R14")
}

// nextBlock goes to the next block of the row, if there is one.
func (t *tile) nextBlock() {
	t.op("ADDQ $%d, SI", t.f.block)
	again := "block"
	if t.f.super {
		t.op("ADDQ $32, R15")
		t.op("DECL R14")
		t.op("JNZ block")
		again = "super"
	}
	t.op("DECQ CX")
	t.op("JNZ %s", again)
}

var bases = [4]string{"R8", "R9", "R10", "R11"}

// token returns the memory operand of byte `at` of token i's block.
func token(i, at int) string {
	disp := ""
	if at != 0 {
		disp = strconv.Itoa(at)
	}
	return disp + "(" + bases[i/4] + ")" + [4]string{"", "(AX*1)", "(AX*2)", "(BX*1)"}[i%4]
}

// allocate gives every part its registers and returns those that are left.
func (t *tile) allocate() *registers {
	r := allRegisters()
	t.w = r.takeN(8)
	halves := 1
	if t.f.halves {
		halves = 2
	}
	t.scale = r.takeN(halves)
	if t.f.min {
		t.least = r.takeN(halves)
	}
	if t.f.super {
		t.d = r.take()
		if t.f.min {
			t.dmin = r.take()
		}
	}
	t.acc = r.takeN(t.n)
	t.temps = r.takeN(2)
	for _, m := range t.f.maskWords() {
		if len(r.free) > 0 {
			t.masks[m] = r.take()
		}
	}
	for len(r.free) > 0 && len(t.temps) < 8 {
		t.temps = append(t.temps, r.take())
	}
	return r
}

// word returns the memory operand of a mask.
func (t *tile) word(mask string) string {
	v, err := strconv.ParseUint(mask, 0, 32)
	if err != nil {
		panic(err)
	}
	return t.file.word(uint32(v))
}

// products adds the block's products to the sums of all tokens. A chain of eight dots depends on itself, so that
// several tokens stand side by side.
func (t *tile) products() {
	per := 1
	if t.f.halves {
		per = 2
	}
	group := max(1, min(t.n, len(t.temps)/per, 4))
	for first := 0; first < t.n; first += group {
		t.group(first, min(group, t.n-first), per)
	}
}

func (t *tile) group(first, n, per int) {
	f := t.f
	z := func(i, h int) int { return t.temps[i*per+h] }
	for i := range n {
		for h := range per {
			if f.min {
				t.op("VPXORD Z%d, Z%d, Z%d", z(i, h), z(i, h), z(i, h))
			} else {
				at := 36
				if f.halves {
					at = 40 + 4*h
				}
				t.op("VPBROADCASTD %s, Z%d", token(first+i, at), z(i, h))
			}
		}
	}
	for k := range 8 / per {
		for i := range n {
			for h := range per {
				c := k + h*4
				t.op("VPDPBUSD.BCST %s, Z%d, Z%d", token(first+i, 4*c), t.w[c], z(i, h))
			}
		}
	}
	for i := range n {
		for h := range per {
			t.op("VCVTDQ2PS Z%d, Z%d", z(i, h), z(i, h))
		}
	}
	for i := range n {
		acc, s := t.acc[first+i], z(i, 0)
		if f.halves {
			t.op("VMULPS Z%d, Z%d, Z%d", t.scale[0], s, s)
			t.op("VFMADD231PS Z%d, Z%d, Z%d", t.scale[1], z(i, 1), s)
			t.op("VFMADD231PS.BCST %s, Z%d, Z%d", token(first+i, 32), s, acc)
		} else {
			t.op("VMULPS.BCST %s, Z%d, Z%d", token(first+i, 32), s, s)
			t.op("VFMADD231PS Z%d, Z%d, Z%d", t.scale[0], s, acc)
		}
		if !f.min {
			continue
		}
		// A K format takes its minimum off.
		add := "VFMADD231PS.BCST"
		if f.super {
			add = "VFNMADD231PS.BCST"
		}
		if f.halves {
			t.op("%s %s, Z%d, Z%d", add, token(first+i, 52), t.least[0], acc)
			t.op("%s %s, Z%d, Z%d", add, token(first+i, 56), t.least[1], acc)
		} else {
			t.op("%s %s, Z%d, Z%d", add, token(first+i, 48), t.least[0], acc)
		}
	}
}

// store writes the sums; of the last panel, only the columns that there are.
func (t *tile) store() {
	label := "store"
	t.line("")
	t.op("MOVL $0xffff, R12")
	t.op("KMOVW R12, K1")
	t.op("CMPQ R13, $16")
	t.op("JGE %s", label)
	t.op("MOVL $1, R12")
	t.op("MOVQ R13, CX")
	t.op("SHLL CX, R12")
	t.op("DECL R12")
	t.op("KMOVW R12, K1")
	t.line("")
	t.line("%s:", label)
	t.op("MOVQ DX, R12")
	for i, z := range t.acc {
		if t.f.shift > 0 {
			t.op("VMULPS.BCST %s, Z%d, Z%d", t.file.word(uint32(127-t.f.shift)<<23), z, z)
		}
		t.op("VMOVUPS Z%d, K1, (R12)", z)
		if i < t.n-1 {
			t.op("ADDQ ldy+8(FP), R12")
		}
	}
}
