package main

const avx512 = "AVX512F, AVX512BW, AVX512DQ, AVX512VL"

// Packing moves 16 × 16 blocks of 32-bit words: float32, or pairs of bf16 made of two float32.
//
// Registers: DI dst, SI src, BX and R9 the row strides of src and dst in bytes, CX a count of blocks.

func writePack(f *file) {
	f.words("round", 1, 0x7fff, 0x400000)

	f.function("transposeF32AVX512", avx512, "", "dst *float32", "src *float32", "ldDst int", "ldSrc int", "blocks int")
	f.note("16 rows of src become 16 columns of dst; a block is 16 columns of src")
	packLoop(f, "blocks+32(FP)", func() {
		f.p("MOVQ SI, R8")
		for i := range 16 {
			f.p("VMOVUPS (R8), Z%d", i)
			f.p("ADDQ BX, R8")
		}
		transpose(f)
		storeRows(f, straight)
		f.p("ADDQ $64, SI")
	})

	f.function("packRowsBF16AVX512", avx512, "", "dst *uint16", "src *float32", "ldDst int", "ldSrc int", "blocks int")
	f.note("16 rows of src become 16 columns of pairs; a block is 32 columns of src, 16 rows of dst")
	packLoop(f, "blocks+32(FP)", func() {
		roundConstants(f)
		f.p("MOVQ SI, R8")
		for i := range 16 {
			// Even and odd columns apart; the shuffle works within 128-bit lanes, so that the pairs of a lane come
			// from both registers. pairOrder puts that right when the rows are stored.
			f.p("VMOVUPS (R8), Z16")
			f.p("VMOVUPS 64(R8), Z17")
			f.p("VSHUFPS $0x88, Z17, Z16, Z18")
			f.p("VSHUFPS $0xDD, Z17, Z16, Z19")
			pair(f, 18, 19, i)
			f.p("ADDQ BX, R8")
		}
		transpose(f)
		storeRows(f, pairOrder)
		f.p("ADDQ $128, SI")
	})

	f.function("transposeBF16AVX512", avx512, "", "dst *uint16", "src *float32", "ldDst int", "ldSrc int", "blocks int")
	f.note("32 rows of src become 32 columns of dst; a block is 16 columns of src")
	packLoop(f, "blocks+32(FP)", func() {
		roundConstants(f)
		f.p("MOVQ SI, R8")
		for i := range 16 {
			f.p("VMOVUPS (R8), Z18")
			f.p("VMOVUPS (R8)(BX*1), Z19")
			f.p("LEAQ (R8)(BX*2), R8")
			pair(f, 18, 19, i)
		}
		transpose(f)
		storeRows(f, straight)
		f.p("ADDQ $64, SI")
	})

	f.function("packColsF32AVX512", avx512, "", "dst *float32", "src *float32", "ldSrc int", "rows int", "mask uint32")
	f.note("the 16 columns of one panel, those outside mask zero")
	packColsBegin(f, "rows+24(FP)")
	f.p("VMOVUPS.Z (SI), K1, Z0")
	f.p("VMOVUPS Z0, (DI)")
	f.p("ADDQ BX, SI")
	packColsEnd(f)

	f.function("packColsBF16AVX512", avx512, "", "dst *uint16", "src *float32", "ldSrc int", "pairs int", "mask uint32")
	f.note("the 16 columns of one panel, those outside mask zero; a pair is two rows")
	roundConstants(f)
	packColsBegin(f, "pairs+24(FP)")
	f.p("VMOVUPS.Z (SI), K1, Z18")
	f.p("VMOVUPS.Z (SI)(BX*1), K1, Z19")
	pair(f, 18, 19, 0)
	f.p("VMOVUPS Z0, (DI)")
	f.p("LEAQ (SI)(BX*2), SI")
	packColsEnd(f)
}

// packLoop writes the loop over blocks, whose body steps src; dst goes 16 rows on.
func packLoop(f *file, count string, body func()) {
	f.p("MOVQ dst+0(FP), DI")
	f.p("MOVQ src+8(FP), SI")
	f.p("MOVQ ldDst+16(FP), R9")
	f.p("MOVQ ldSrc+24(FP), BX")
	f.p("MOVQ %s, CX", count)
	f.p("LEAQ (R9)(R9*2), R10")
	f.p("JMP check")
	f.label("block")
	body()
	f.p("DECQ CX")
	f.label("check")
	f.p("TESTQ CX, CX")
	f.p("JNE block")
	f.end()
}

func packColsBegin(f *file, count string) {
	f.p("MOVQ dst+0(FP), DI")
	f.p("MOVQ src+8(FP), SI")
	f.p("MOVQ ldSrc+16(FP), BX")
	f.p("MOVQ %s, CX", count)
	f.p("MOVL mask+32(FP), AX")
	f.p("KMOVW AX, K1")
	f.p("JMP check")
	f.label("row")
}

func packColsEnd(f *file) {
	f.p("ADDQ $64, DI")
	f.p("DECQ CX")
	f.label("check")
	f.p("TESTQ CX, CX")
	f.p("JNE row")
	f.end()
}

// roundConstants loads what pair needs. They lie where transpose has its temporaries.
func roundConstants(f *file) {
	f.p("VPBROADCASTD round<>+0(SB), Z29")
	f.p("VPBROADCASTD round<>+4(SB), Z30")
	f.p("VPBROADCASTD round<>+8(SB), Z31")
	f.p("MOVL $0xAAAAAAAA, AX")
	f.p("KMOVD AX, K3")
}

// round16 leaves bf16 of the float32 in x in the upper halves of to: x + 0x7fff + bit 16 of x, a carry out of the half
// that is dropped. A NaN is made quiet instead, since the carry could make it infinite. tmp K2.
func round16(f *file, x, to int) {
	f.p("VPSRLD $16, Z%d, Z%d", x, to)
	f.p("VPANDD Z29, Z%d, Z%d", to, to)
	f.p("VPADDD Z30, Z%d, Z%d", to, to)
	f.p("VPADDD Z%d, Z%d, Z%d", x, to, to)
	f.p("VCMPPS $3, Z%d, Z%d, K2", x, x)
	f.p("VPORD Z31, Z%d, K2, Z%d", x, to)
}

// pair makes words of bf16 out of two registers of float32: low halves from lo, high halves from hi.
func pair(f *file, lo, hi, to int) {
	round16(f, lo, to)
	round16(f, hi, 20)
	f.p("VPSRLD $16, Z%d, Z%d", to, to)
	f.p("VMOVDQU16 Z20, K3, Z%d", to)
}

// straight stores column c of a block as row c of dst.
func straight(c int) int { return c }

// pairOrder undoes the order of packRowsBF16's shuffle: word 4l+q of a register is the pair 2l + q&1 + 8·(q>>1).
func pairOrder(c int) int {
	l, q := c/4, c%4
	return 2*l + q&1 + 8*(q>>1)
}

// storeRows stores Z0-Z15 as rows of dst, Zc as row order(c).
func storeRows(f *file, order func(int) int) {
	at := map[int]int{}
	for c := range 16 {
		at[order(c)] = c
	}
	for row := 0; row < 16; row += 4 {
		f.p("VMOVUPS Z%d, (DI)", at[row])
		f.p("VMOVUPS Z%d, (DI)(R9*1)", at[row+1])
		f.p("VMOVUPS Z%d, (DI)(R9*2)", at[row+2])
		f.p("VMOVUPS Z%d, (DI)(R10*1)", at[row+3])
		f.p("LEAQ (DI)(R9*4), DI")
	}
}

// transpose turns the rows Z0-Z15 of a 16 × 16 block into its columns: words within 128-bit lanes first, then lanes.
func transpose(f *file) {
	op := func(name string, a, b, to int) { f.p("%s Z%d, Z%d, Z%d", name, b, a, to) }
	for i := 0; i < 16; i += 2 { // two rows: words of columns 0 0 1 1 and 2 2 3 3 of each lane
		op("VUNPCKLPS", i, i+1, 16+i)
		op("VUNPCKHPS", i, i+1, 17+i)
	}
	for i := 0; i < 16; i += 4 { // four rows: Z(i+q) holds column 4l+q in lane l
		op("VUNPCKLPD", 16+i, 18+i, i)
		op("VUNPCKHPD", 16+i, 18+i, i+1)
		op("VUNPCKLPD", 17+i, 19+i, i+2)
		op("VUNPCKHPD", 17+i, 19+i, i+3)
	}
	for q := range 4 { // eight rows: lanes 0 and 2, or 1 and 3
		for half := range 2 {
			a, b := 8*half+q, 8*half+4+q
			op("VSHUFF32X4 $0x88,", a, b, 16+4*q+2*half)
			op("VSHUFF32X4 $0xDD,", a, b, 17+4*q+2*half)
		}
	}
	for q := range 4 { // sixteen
		even, odd := 16+4*q, 17+4*q
		op("VSHUFF32X4 $0x88,", even, even+2, q)
		op("VSHUFF32X4 $0xDD,", even, even+2, 8+q)
		op("VSHUFF32X4 $0x88,", odd, odd+2, 4+q)
		op("VSHUFF32X4 $0xDD,", odd, odd+2, 12+q)
	}
}
