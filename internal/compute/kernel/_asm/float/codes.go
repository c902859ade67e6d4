package main

// writeCodes writes the decoding of 8-bit codes with bf16 scales, 16 codes a turn; AX counts the codes behind us.
func writeCodes(f *file) {
	for _, x := range isas(f) {
		x.begin("lanesToF32", "", "dst []float32", "codes []int8", "scale []uint16")
		x.p("MOVQ scale_base+48(FP), DX")
		for i := range x.vectors() {
			x.p("VPMOVZXWD %d(DX), %s", i*x.lanes*2, x.r(2+i))
			x.p("VPSLLD $16, %s, %s", x.r(2+i), x.r(2+i))
		}
		x.codes(func(i int) int { return 2 + i }, func() {})

		x.begin("rowsToF32", "", "dst []float32", "codes []int8", "scale []uint16", "step int")
		x.p("MOVQ scale_base+48(FP), DX")
		x.p("MOVQ step+72(FP), R9")
		x.codes(func(int) int { return 2 }, func() {
			x.p("MOVWLZX (DX), R8")
			x.p("LEAQ (DX)(R9*2), DX")
			x.p("SHLL $16, R8")
			x.p("VMOVD R8, X2")
			x.p("VPBROADCASTD X2, %s", x.r(2))
		})
	}
}

// vectors is how many registers hold 16 floats.
func (x *simd) vectors() int { return 16 / x.lanes }

// codes writes the loop: register scale(i) holds the scales of part i of the 16.
func (x *simd) codes(scale func(i int) int, before func()) {
	x.p("MOVQ dst_base+0(FP), DI")
	x.p("MOVQ codes_base+24(FP), SI")
	x.p("MOVQ codes_len+32(FP), CX")
	x.p("XORQ AX, AX")
	x.p("JMP check")
	x.label("loop")
	before()
	for i := range x.vectors() {
		x.p("VPMOVSXBD %d(SI)(AX*1), %s", i*x.lanes, x.r(i))
		x.p("VCVTDQ2PS %s, %s", x.r(i), x.r(i))
		x.op("VMULPS", scale(i), i, i)
		x.p("VMOVUPS %s, %d(DI)(AX*4)", x.r(i), i*x.lanes*4)
	}
	x.p("ADDQ $16, AX")
	x.label("check")
	x.p("CMPQ AX, CX")
	x.p("JLT loop")
	x.end()
}
