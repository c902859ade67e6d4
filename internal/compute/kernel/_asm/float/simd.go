package main

import "fmt"

// simd writes a kernel over vectors of float32 once for AVX-512 and once for AVX2.
//
// Registers: AX counts the elements behind us, CX those before us. A tail of less than a vector is done with masked
// loads, which give 0, and masked stores: K1 in AVX-512, register 15 in AVX2.
type simd struct {
	*file
	lanes int
	reg   string // Z or Y
	tail  bool   // the instructions at hand are those of the tail
}

func isas(f *file) []*simd {
	return []*simd{{file: f, lanes: 16, reg: "Z"}, {file: f, lanes: 8, reg: "Y"}}
}

func (x *simd) wide() bool { return x.lanes == 16 }

func (x *simd) begin(name, result string, args ...string) {
	if x.wide() {
		x.function(name+"AVX512", avx512, result, args...)
	} else {
		x.function(name+"AVX2", "AVX2, FMA, F16C", result, args...)
	}
}

// r is a register's name.
func (x *simd) r(i int) string { return fmt.Sprintf("%s%d", x.reg, i) }

// op writes an instruction on registers: op("VADDPS", a, b, dst).
func (x *simd) op(name string, regs ...int) {
	s := ""
	for i, r := range regs {
		if i > 0 {
			s += ", "
		}
		s += x.r(r)
	}
	x.p("%s %s", name, s)
}

// zero clears a register.
func (x *simd) zero(i int) {
	if x.wide() {
		x.op("VPXORD", i, i, i)
	} else {
		x.op("VXORPS", i, i, i)
	}
}

// broadcast fills a register with one float32 of memory.
func (x *simd) broadcast(from string, i int) { x.p("VBROADCASTSS %s, %s", from, x.r(i)) }

// at is the memory at pointer p, unrolled vectors ahead.
func (x *simd) at(p string, ahead int) string { return fmt.Sprintf("%d(%s)(AX*4)", ahead*x.lanes*4, p) }

// load reads a vector.
func (x *simd) load(p string, i int) {
	switch {
	case !x.tail:
		x.p("VMOVUPS %s, %s", x.at(p, 0), x.r(i))
	case x.wide():
		x.p("VMOVUPS.Z %s, K1, %s", x.at(p, 0), x.r(i))
	default:
		x.p("VMASKMOVPS %s, Y15, %s", x.at(p, 0), x.r(i))
	}
}

// store writes a vector.
func (x *simd) store(i int, p string) {
	switch {
	case !x.tail:
		x.p("VMOVUPS %s, %s", x.r(i), x.at(p, 0))
	case x.wide():
		x.p("VMOVUPS %s, K1, %s", x.r(i), x.at(p, 0))
	default:
		x.p("VMASKMOVPS %s, Y15, %s", x.r(i), x.at(p, 0))
	}
}

// each writes the loop over the elements, of which CX says how many: body once for whole vectors and once for the tail.
func (x *simd) each(body func()) {
	x.p("XORQ AX, AX")
	x.p("CMPQ CX, $%d", x.lanes)
	x.p("JLT tail")
	x.label("loop")
	x.tail = false
	body()
	x.p("ADDQ $%d, AX", x.lanes)
	x.p("SUBQ $%d, CX", x.lanes)
	x.p("CMPQ CX, $%d", x.lanes)
	x.p("JGE loop")
	x.rest(body)
}

// rest writes the tail of a loop, for CX elements.
func (x *simd) rest(body func()) {
	x.label("tail")
	x.p("TESTQ CX, CX")
	x.p("JEQ done")
	if x.wide() {
		x.p("MOVQ $-1, DX")
		x.p("BZHIQ CX, DX, DX")
		x.p("KMOVW DX, K1")
	} else {
		x.p("LEAQ lanes<>+32(SB), DX")
		x.p("NEGQ CX")
		x.p("VMOVUPS (DX)(CX*4), Y15")
	}
	x.tail = true
	body()
	x.tail = false
	x.label("done")
}

// fold reduces register 0 to its first lane with an operation such as VADDPS; register 1 is free.
func (x *simd) fold(name string) {
	if x.wide() {
		x.p("VEXTRACTF64X4 $1, Z0, Y1")
		x.p("%s Y1, Y0, Y0", name)
	}
	x.p("VEXTRACTF128 $1, Y0, X1")
	x.p("%s X1, X0, X0", name)
	x.p("VPERMILPS $0x4E, X0, X1")
	x.p("%s X1, X0, X0", name)
	x.p("VPERMILPS $0xB1, X0, X1")
	x.p("%s X1, X0, X0", name)
}
