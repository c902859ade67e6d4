package main

import "math"

// The exponential: x = n·ln 2 + r with |r| <= ln 2 / 2, exp(x) = 2ⁿ·p(r), p the Taylor polynomial of degree 7, whose
// error there is below 0.4466·2⁻²⁵ relative (r⁸/8!). With the rounding of r and of p the result is within 2 units in
// the last place. x is held within [-104, 89] first, beyond which the result is 0 or infinite; NaN passes.

// Words of the table exp, each as often as AVX2 has lanes, since it has no broadcast operands.
const (
	expLow = iota
	expHigh
	expLog2e
	expLn2
	expLn2Low
	expCoef  // 1/7!, 1/6!, … 1/0!
	expWords = expCoef + 8
)

func expTables(f *file) {
	ln2 := float32(math.Ln2)
	values := []float32{-104, 89, math.Log2E, ln2, float32(math.Ln2 - float64(ln2))}
	fact := 5040.0
	for d := 7; d >= 0; d-- {
		values = append(values, float32(1/fact))
		if d > 0 {
			fact /= float64(d)
		}
	}
	var words []uint32
	for _, v := range values {
		for range 8 {
			words = append(words, math.Float32bits(v))
		}
	}
	f.words("exp", words...)
	f.words("ints", 1, 0x7fff, 0x400000, 127)
}

// constant is an operand of the table: its instruction suffix and address.
func (x *simd) constant(op string, word int, a, to int) {
	if x.wide() {
		x.p("%s.BCST exp<>+%d(SB), %s, %s", op, 32*word, x.r(a), x.r(to))
	} else {
		x.p("%s exp<>+%d(SB), %s, %s", op, 32*word, x.r(a), x.r(to))
	}
}

// expConstants loads registers 12 to 14, which exp uses beside the table.
func expConstants(x *simd) {
	x.broadcast("exp<>+0(SB)", 12)
	x.broadcast("exp<>+32(SB)", 13)
	x.p("VPBROADCASTD ints<>+12(SB), %s", x.r(14))
}

// exp replaces register a by its exponential; n, p and t are free registers.
func exp(x *simd, a, n, p, t int) {
	// MIN and MAX return their last source, here x, when there is a NaN.
	x.op("VMAXPS", a, 12, a)
	x.op("VMINPS", a, 13, a)
	x.constant("VMULPS", expLog2e, a, n)
	if x.wide() {
		x.p("VRNDSCALEPS $0, %s, %s", x.r(n), x.r(n))
	} else {
		x.p("VROUNDPS $0, %s, %s", x.r(n), x.r(n))
	}
	x.constant("VFNMADD231PS", expLn2, n, a)
	x.constant("VFNMADD231PS", expLn2Low, n, a)
	x.broadcastWord(expCoef, p)
	for d := 1; d < 8; d++ {
		x.constant("VFMADD213PS", expCoef+d, a, p) // p = p·r + c
	}
	if x.wide() {
		x.p("VSCALEFPS %s, %s, %s", x.r(n), x.r(p), x.r(a))
		return
	}
	// 2ⁿ in two factors, for n reaches from -150 to 128.
	x.op("VCVTPS2DQ", n, n)
	x.p("VPSRAD $1, %s, %s", x.r(n), x.r(t))
	x.op("VPSUBD", t, n, n)
	for _, half := range []int{t, n} {
		x.op("VPADDD", 14, half, half)
		x.p("VPSLLD $23, %s, %s", x.r(half), x.r(half))
		x.op("VMULPS", half, p, p)
	}
	x.op("VMOVAPS", p, a)
}

func (x *simd) broadcastWord(word, to int) {
	if x.wide() {
		x.p("VBROADCASTSS exp<>+%d(SB), %s", 32*word, x.r(to))
	} else {
		x.p("VMOVUPS exp<>+%d(SB), %s", 32*word, x.r(to))
	}
}

// expSum keeps one vector of sums; lanes beyond the end add nothing.
func expSum(x *simd) {
	x.begin("expSum", "ret float32", "x []float32", "max float32")
	x.p("MOVQ x_base+0(FP), SI")
	x.p("MOVQ x_len+8(FP), CX")
	x.broadcast("max+24(FP)", 6)
	expConstants(x)
	x.zero(0)
	x.each(func() {
		x.load("SI", 1)
		x.op("VSUBPS", 6, 1, 1)
		exp(x, 1, 2, 3, 4)
		x.store(1, "SI")
		switch {
		case !x.tail:
			x.op("VADDPS", 1, 0, 0)
		case x.wide():
			x.p("VADDPS Z1, Z0, K1, Z0")
		default:
			x.op("VANDPS", 15, 1, 1)
			x.op("VADDPS", 1, 0, 0)
		}
	})
	x.fold("VADDPS")
	x.p("VMOVSS X0, ret+32(FP)")
	x.end()
}

func swiGLU(x *simd) {
	x.begin("swiGLU", "", "dst []float32", "gate []float32", "up []float32")
	x.p("MOVQ dst_base+0(FP), DI")
	x.p("MOVQ gate_base+24(FP), SI")
	x.p("MOVQ gate_len+32(FP), CX")
	x.p("MOVQ up_base+48(FP), R8")
	expConstants(x)
	x.broadcast("one<>+0(SB)", 6)
	x.zero(7)
	x.each(func() {
		x.load("SI", 0)
		x.op("VSUBPS", 0, 7, 1)
		exp(x, 1, 2, 3, 4)
		x.op("VADDPS", 6, 1, 1)
		x.op("VDIVPS", 1, 0, 0) // silu
		x.load("R8", 5)
		x.op("VMULPS", 5, 0, 0)
		x.store(0, "DI")
	})
	x.end()
}

func swiGLUBackward(x *simd) {
	x.begin("swiGLUBackward", "", "dGate []float32", "dUp []float32", "dy []float32", "gate []float32", "up []float32")
	x.p("MOVQ dGate_base+0(FP), DI")
	x.p("MOVQ dUp_base+24(FP), R9")
	x.p("MOVQ dy_base+48(FP), R10")
	x.p("MOVQ gate_base+72(FP), SI")
	x.p("MOVQ gate_len+80(FP), CX")
	x.p("MOVQ up_base+96(FP), R8")
	expConstants(x)
	x.broadcast("one<>+0(SB)", 6)
	x.zero(7)
	x.each(func() {
		x.load("SI", 0)
		x.op("VSUBPS", 0, 7, 1)
		exp(x, 1, 2, 3, 4)
		x.op("VADDPS", 6, 1, 1)
		x.op("VDIVPS", 1, 6, 1) // s = σ(g)
		x.op("VMULPS", 1, 0, 0) // silu
		x.load("R10", 2)        // dy
		x.load("R9", 3)
		x.load("R8", 4)
		x.load("DI", 5)
		x.op("VFMADD231PS", 2, 0, 3) // dUp
		x.op("VMULPS", 4, 2, 2)      // dy·up
		x.op("VSUBPS", 1, 6, 4)      // 1-s
		x.op("VFMADD231PS", 4, 0, 1) // s + silu·(1-s)
		x.op("VFMADD231PS", 2, 1, 5) // dGate
		x.store(3, "R9")
		x.store(5, "DI")
	})
	x.end()
}
