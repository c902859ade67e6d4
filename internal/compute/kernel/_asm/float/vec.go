package main

import "math"

func writeVec(f *file) {
	var lanes []uint32
	for i := range 16 {
		v := uint32(0)
		if i < 8 {
			v = 0xffffffff
		}
		lanes = append(lanes, v)
	}
	f.words("lanes", lanes...) // 8 lanes from word 8-n have the first n set
	f.words("one", math.Float32bits(1), math.Float32bits(float32(math.Inf(-1))))
	expTables(f)
	for _, x := range isas(f) {
		dot(x)
		elementwise(x)
		maximum(x)
		expSum(x)
		swiGLU(x)
		swiGLUBackward(x)
		rope(x)
		adamW(x)
		convert(x)
	}
}

// dot keeps four chains of sums, so that the latency of an addition is hidden.
func dot(x *simd) {
	x.begin("dot", "ret float32", "x []float32", "y []float32")
	x.p("MOVQ x_base+0(FP), SI")
	x.p("MOVQ x_len+8(FP), CX")
	x.p("MOVQ y_base+24(FP), DI")
	for i := range 4 {
		x.zero(i)
	}
	x.p("XORQ AX, AX")
	x.p("JMP check4")
	x.label("loop4")
	for i := range 4 {
		x.p("VMOVUPS %s, %s", x.at("SI", i), x.r(4+i))
		x.p("VFMADD231PS %s, %s, %s", x.at("DI", i), x.r(4+i), x.r(i))
	}
	x.p("ADDQ $%d, AX", 4*x.lanes)
	x.p("SUBQ $%d, CX", 4*x.lanes)
	x.label("check4")
	x.p("CMPQ CX, $%d", 4*x.lanes)
	x.p("JGE loop4")
	body := func() {
		x.load("SI", 4)
		x.load("DI", 5)
		x.op("VFMADD231PS", 5, 4, 0)
	}
	x.p("JMP check1")
	x.label("loop1")
	body()
	x.p("ADDQ $%d, AX", x.lanes)
	x.p("SUBQ $%d, CX", x.lanes)
	x.label("check1")
	x.p("CMPQ CX, $%d", x.lanes)
	x.p("JGE loop1")
	x.rest(body)
	x.op("VADDPS", 1, 0, 0)
	x.op("VADDPS", 3, 2, 2)
	x.op("VADDPS", 2, 0, 0)
	x.fold("VADDPS")
	x.p("VMOVSS X0, ret+48(FP)")
	x.end()
}

func elementwise(x *simd) {
	x.begin("axpy", "", "a float32", "x []float32", "y []float32")
	x.broadcast("a+0(FP)", 2)
	x.p("MOVQ x_base+8(FP), SI")
	x.p("MOVQ x_len+16(FP), CX")
	x.p("MOVQ y_base+32(FP), DI")
	x.each(func() {
		x.load("SI", 0)
		x.load("DI", 1)
		x.op("VFMADD231PS", 0, 2, 1)
		x.store(1, "DI")
	})
	x.end()

	for _, k := range []struct{ name, op string }{{"add", "VADDPS"}, {"mul", "VMULPS"}} {
		x.begin(k.name, "", "dst []float32", "x []float32")
		x.p("MOVQ dst_base+0(FP), DI")
		x.p("MOVQ dst_len+8(FP), CX")
		x.p("MOVQ x_base+24(FP), SI")
		x.each(func() {
			x.load("DI", 0)
			x.load("SI", 1)
			x.op(k.op, 1, 0, 0)
			x.store(0, "DI")
		})
		x.end()
	}

	x.begin("scale", "", "a float32", "x []float32")
	x.broadcast("a+0(FP)", 2)
	x.p("MOVQ x_base+8(FP), SI")
	x.p("MOVQ x_len+16(FP), CX")
	x.each(func() {
		x.load("SI", 0)
		x.op("VMULPS", 2, 0, 0)
		x.store(0, "SI")
	})
	x.end()

	x.begin("mulScaled", "", "y []float32", "x []float32", "w []float32", "a float32")
	x.p("MOVQ y_base+0(FP), DI")
	x.p("MOVQ x_base+24(FP), SI")
	x.p("MOVQ x_len+32(FP), CX")
	x.p("MOVQ w_base+48(FP), R8")
	x.broadcast("a+72(FP)", 2)
	x.each(func() {
		x.load("SI", 0)
		x.load("R8", 1)
		x.op("VMULPS", 2, 0, 0)
		x.op("VMULPS", 1, 0, 0)
		x.store(0, "DI")
	})
	x.end()
}

// maximum: MAXPS returns its second operand when one is NaN; here that is the running maximum, so a NaN is passed over.
func maximum(x *simd) {
	x.begin("maximum", "ret float32", "x []float32")
	x.p("MOVQ x_base+0(FP), SI")
	x.p("MOVQ x_len+8(FP), CX")
	x.broadcast("one<>+4(SB)", 0)
	x.op("VMOVAPS", 0, 2)
	x.each(func() {
		x.load("SI", 1)
		if x.tail {
			if x.wide() {
				x.p("VBLENDMPS Z1, Z2, K1, Z1")
			} else {
				x.p("VBLENDVPS Y15, Y1, Y2, Y1")
			}
		}
		x.op("VMAXPS", 0, 1, 0)
	})
	x.fold("VMAXPS")
	x.p("VMOVSS X0, ret+24(FP)")
	x.end()
}

// rope: halves as two streams; pairs with each cosine doubled and the pair swapped, 8 (4) pairs a register.
func rope(x *simd) {
	x.begin("ropeHalf", "", "x []float32", "cos []float32", "sin []float32")
	ropePointers(x)
	x.p("LEAQ (SI)(CX*4), DI")
	x.each(func() {
		x.load("SI", 0)
		x.load("DI", 1)
		x.load("R8", 2)
		x.load("R9", 3)
		x.op("VMULPS", 3, 1, 4)
		x.op("VMULPS", 3, 0, 5)
		x.op("VFMSUB213PS", 4, 2, 0) // a·cos - b·sin
		x.op("VFMADD213PS", 5, 2, 1) // b·cos + a·sin
		x.store(0, "SI")
		x.store(1, "DI")
	})
	x.end()

	// Whole registers only: the Go side does a rest of less than 8 or 4 pairs.
	x.begin("ropePairs", "", "x []float32", "cos []float32", "sin []float32")
	ropePointers(x)
	pairs := x.lanes / 2
	x.p("XORQ AX, AX")
	x.p("JMP check")
	x.label("loop")
	x.p("VMOVUPS (SI)(AX*8), %s", x.r(0))
	x.p("VPMOVZXDQ (R8)(AX*4), %s", x.r(2))
	x.p("VPMOVZXDQ (R9)(AX*4), %s", x.r(3))
	x.op("VMOVSLDUP", 2, 2)
	x.op("VMOVSLDUP", 3, 3)
	x.p("VPERMILPS $0xB1, %s, %s", x.r(0), x.r(1))
	x.op("VMULPS", 3, 1, 1)
	x.op("VFMADDSUB213PS", 1, 2, 0) // even a·cos - b·sin, odd b·cos + a·sin
	x.p("VMOVUPS %s, (SI)(AX*8)", x.r(0))
	x.p("ADDQ $%d, AX", pairs)
	x.p("SUBQ $%d, CX", pairs)
	x.label("check")
	x.p("CMPQ CX, $%d", pairs)
	x.p("JGE loop")
	x.end()
}

func ropePointers(x *simd) {
	x.p("MOVQ x_base+0(FP), SI")
	x.p("MOVQ cos_base+24(FP), R8")
	x.p("MOVQ cos_len+32(FP), CX")
	x.p("MOVQ sin_base+48(FP), R9")
}

// adamW has its constants in registers 4 to 13, in the order of adamWGeneric.
func adamW(x *simd) {
	x.begin("adamW", "", "p []float32", "m []float32", "v []float32", "g []float32", "c *[10]float32")
	x.p("MOVQ p_base+0(FP), DI")
	x.p("MOVQ p_len+8(FP), CX")
	x.p("MOVQ m_base+24(FP), R8")
	x.p("MOVQ v_base+48(FP), R9")
	x.p("MOVQ g_base+72(FP), SI")
	x.p("MOVQ c+96(FP), R10")
	const scale, b1, a1, b2, a2, c1, c2, eps, lr, decay = 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
	for i := range 10 {
		x.p("VBROADCASTSS %d(R10), %s", 4*i, x.r(scale+i))
	}
	x.each(func() {
		// All loads stand before the stores: page-aligned arrays have equal low address bits, by which a processor
		// would take a load for one of the bytes just stored.
		x.load("SI", 0)
		x.load("R8", 1)
		x.load("R9", 2)
		x.load("DI", 3)
		x.op("VMULPS", scale, 0, 0) // g'
		x.op("VMULPS", b1, 1, 1)
		x.op("VFMADD231PS", a1, 0, 1) // m
		x.op("VMULPS", 0, 0, 0)       // g'²
		x.op("VMULPS", b2, 2, 2)
		x.op("VFMADD231PS", a2, 0, 2) // v
		x.op("VMULPS", decay, 3, 3)
		x.op("VMULPS", c2, 2, 0)
		x.op("VSQRTPS", 0, 0)
		x.op("VADDPS", eps, 0, 0)
		x.op("VMULPS", c1, 1, 14)
		x.op("VDIVPS", 0, 14, 0) // step
		x.op("VFNMADD231PS", lr, 0, 3)
		x.store(1, "R8")
		x.store(2, "R9")
		x.store(3, "DI")
	})
	x.end()
}

// convert writes the conversions between float32 and 16 bits. Whole registers only: the Go side does the rest.
func convert(x *simd) {
	loop := func(body func()) {
		x.p("XORQ AX, AX")
		x.p("JMP check")
		x.label("loop")
		body()
		x.p("ADDQ $%d, AX", x.lanes)
		x.p("SUBQ $%d, CX", x.lanes)
		x.label("check")
		x.p("CMPQ CX, $%d", x.lanes)
		x.p("JGE loop")
		x.end()
	}
	half := "Y"
	if !x.wide() {
		half = "X"
	}
	pointers := func() {
		x.p("MOVQ dst_base+0(FP), DI")
		x.p("MOVQ src_base+24(FP), SI")
		x.p("MOVQ src_len+32(FP), CX")
	}

	x.begin("fromBF16", "", "dst []float32", "src []uint16")
	pointers()
	loop(func() {
		x.p("VPMOVZXWD (SI)(AX*2), %s", x.r(0))
		x.p("VPSLLD $16, %s, %s", x.r(0), x.r(0))
		x.p("VMOVUPS %s, (DI)(AX*4)", x.r(0))
	})

	x.begin("fromF16", "", "dst []float32", "src []uint16")
	pointers()
	loop(func() {
		x.p("VCVTPH2PS (SI)(AX*2), %s", x.r(0))
		x.p("VMOVUPS %s, (DI)(AX*4)", x.r(0))
	})

	x.begin("toF16", "", "dst []uint16", "src []float32")
	pointers()
	loop(func() {
		x.p("VMOVUPS (SI)(AX*4), %s", x.r(0))
		x.p("VCVTPS2PH $0, %s, %s0", x.r(0), half)
		x.p("VMOVUPS %s0, (DI)(AX*2)", half)
	})

	x.begin("toBF16", "", "dst []uint16", "src []float32")
	pointers()
	for i, c := range []string{"ints<>+0(SB)", "ints<>+4(SB)", "ints<>+8(SB)"} {
		x.p("VPBROADCASTD %s, %s", c, x.r(4+i))
	}
	loop(func() {
		x.p("VMOVUPS (SI)(AX*4), %s", x.r(0))
		x.p("VPSRLD $16, %s, %s", x.r(0), x.r(1))
		if x.wide() {
			x.op("VPANDD", 4, 1, 1)
			x.op("VPADDD", 5, 1, 1)
			x.op("VPADDD", 0, 1, 1)
			x.p("VCMPPS $3, Z0, Z0, K2")
			x.p("VPORD Z6, Z0, K2, Z1")
			x.p("VPSRLD $16, Z1, Z1")
			x.p("VPMOVDW Z1, (DI)(AX*2)")
			return
		}
		x.op("VPAND", 4, 1, 1)
		x.op("VPADDD", 5, 1, 1)
		x.op("VPADDD", 0, 1, 1)
		x.p("VCMPPS $3, Y0, Y0, Y2")
		x.op("VPOR", 6, 0, 3)
		x.p("VBLENDVPS Y2, Y3, Y1, Y1")
		x.p("VPSRLD $16, Y1, Y1")
		x.p("VEXTRACTI128 $1, Y1, X2")
		x.p("VPACKUSDW X2, X1, X1")
		x.p("VMOVUPS X1, (DI)(AX*2)")
	})
}
