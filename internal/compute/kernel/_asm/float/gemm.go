package main

import "fmt"

// A tile is rows × (16·panels) elements of C held in registers while k runs. One step of k takes a vector of 16
// columns of B for each panel and one value (or pair) of A for each row.
//
// Registers: DX C, SI B, DI A; R8-R11 point at rows 0, 3, 6, 9 of A, the rows between are reached with the stride BX
// as index; CX counts steps, AX panels; R12, R13 hold 1 and 3 times the panel stride of B.

// kind is what the steps of a product are made of.
type kind struct {
	name         string
	aStep, bStep int // bytes that one step takes of a row of A, of a panel of B
}

var (
	f32Kind  = kind{"F32", 4, 64}  // a float32 times 16 float32
	dotKind  = kind{"Dot", 4, 64}  // a pair of bf16 times 16 pairs, one VDPBF16PS
	pairKind = kind{"Pair", 8, 64} // two float32 times 16 pairs of bf16, widened
	b16Kind  = kind{"B16", 4, 32}  // a float32 times 16 bf16, widened
)

// shape is a tile's size.
type shape struct{ rows, panels int }

// The tiles of each instruction set, tallest first.
var (
	kinds        = []kind{f32Kind, dotKind, pairKind, b16Kind}
	wideShapes   = []shape{{12, 1}, {8, 1}, {4, 2}, {2, 4}, {1, 4}}
	narrowShapes = []shape{{6, 1}, {4, 1}, {2, 2}, {1, 4}}
)

func writeGemm(f *file) {
	f.words("highHalf", 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000)
	for _, k := range kinds {
		for _, s := range wideShapes {
			gemm(f, wide{f}, k, s)
		}
		if k == dotKind {
			continue
		}
		for _, s := range narrowShapes {
			gemm(f, narrow{f}, k, s)
		}
	}
}

// writeTiles writes the declarations of the tiles and the switch between them: a call through a function value would
// make its scratch memory escape to the heap.
func writeTiles(f *file) {
	p := func(format string, args ...any) { fmt.Fprintf(&f.b, format, args...) }
	p("package kernel\n\nimport \"unsafe\"\n\n")
	p("// run multiplies the top rows of t, as many as t.tile() says.\nfunc (t *tiles) run(c *float32, a, b unsafe.Pointer, steps, panels int, mask uint32, acc bool) {\n\tswitch t.unit<<8 | unit(t.tile()) {\n")
	var names []string
	for _, k := range kinds {
		for _, set := range []struct {
			level  string
			shapes []shape
		}{{"AVX512", wideShapes}, {"AVX2", narrowShapes}} {
			if k == dotKind && set.level == "AVX2" {
				continue
			}
			for _, s := range set.shapes {
				name := fmt.Sprintf("gemm%s%sx%d", k.name, set.level, s.rows)
				names = append(names, name)
				p("\tcase unit%s%s<<8 | %d:\n\t\t%s(c, a, b, t.ldc, t.ldaTile, t.stride, steps, panels, mask, acc)\n", k.name, set.level, s.rows, name)
			}
		}
	}
	p("\tdefault:\n\t\tpanic(\"kernel: no such tile\")\n\t}\n}\n")
	for _, name := range names {
		p("\n//go:noescape\nfunc %s(c *float32, a unsafe.Pointer, b unsafe.Pointer, ldc int, lda int, stride int, steps int, panels int, mask uint32, acc bool)\n", name)
	}
}

// isa is an instruction set's way to do the parts of a tile.
type isa interface {
	level() (name, requires string)
	begin(k kind)                  // constants
	lastMask()                     // lanes of the last panel, from the argument
	load(s shape, row, panel int)  // an accumulator from C, whose row R8 points at
	zero(s shape)                  // accumulators
	store(s shape, row, panel int) // an accumulator to C
	step(k kind, s shape, n int)   // the n-th step behind the pointers
}

// gemm writes one function: C of s.rows rows and panels·16 columns. Groups of s.panels panels first, then single ones.
func gemm(f *file, x isa, k kind, s shape) {
	level, requires := x.level()
	f.function(fmt.Sprintf("gemm%s%sx%d", k.name, level, s.rows), requires, "",
		"c *float32", "a unsafe.Pointer", "b unsafe.Pointer",
		"ldc int", "lda int", "stride int", "steps int", "panels int", "mask uint32", "acc bool")
	f.p("MOVQ c+0(FP), DX")
	f.p("MOVQ b+16(FP), SI")
	f.p("MOVQ lda+32(FP), BX")
	f.p("MOVQ stride+40(FP), R12")
	f.p("LEAQ (R12)(R12*2), R13")
	f.p("MOVQ panels+56(FP), AX")
	x.begin(k)
	if s.panels > 1 {
		group(f, x, k, s, "wide", "one")
		s.panels = 1
	}
	group(f, x, k, s, "one", "done")
	f.label("done")
	f.end()
}

// group writes the loop over groups of s.panels panels; fewer go on at next.
func group(f *file, x isa, k kind, s shape, name, next string) {
	f.label(name)
	f.p("CMPQ AX, $%d", s.panels)
	f.p("JLT %s", next)
	f.p("JNE %sFull", name)
	x.lastMask()
	f.label(name + "Full")

	f.p("CMPB acc+68(FP), $0")
	f.p("JEQ %sZero", name)
	eachC(f, s, x.load)
	f.p("JMP %sStart", name)
	f.label(name + "Zero")
	x.zero(s)
	f.label(name + "Start")

	f.p("MOVQ a+8(FP), R8")
	for i := 1; i < (s.rows+2)/3; i++ {
		f.p("LEAQ (R%d)(BX*2), R%d", 7+i, 8+i)
		f.p("ADDQ BX, R%d", 8+i)
	}
	f.p("MOVQ steps+48(FP), CX")
	loop := func(suffix string, unroll int, next string) {
		f.label(name + suffix)
		f.p("CMPQ CX, $%d", unroll)
		f.p("JLT %s", next)
		f.label(name + suffix + "Loop")
		if unroll > 1 && s.rows >= 4 {
			prefetch(f, k, s, unroll)
		}
		for n := range unroll {
			x.step(k, s, n)
		}
		for i := range (s.rows + 2) / 3 {
			f.p("ADDQ $%d, R%d", unroll*k.aStep, 8+i)
		}
		f.p("ADDQ $%d, SI", unroll*k.bStep)
		f.p("SUBQ $%d, CX", unroll)
		f.p("CMPQ CX, $%d", unroll)
		f.p("JGE %sLoop", name+suffix)
	}
	loop("By4", 4, name+"By1")
	loop("By1", 1, name+"Store")
	f.label(name + "Store")
	eachC(f, s, x.store)
	f.p("ADDQ $%d, DX", 64*s.panels)
	f.note("the next group of panels: SI went over steps, the stride may be more")
	f.p("MOVQ steps+48(FP), CX")
	f.p("IMULQ $%d, CX", k.bStep)
	f.p("SUBQ CX, SI")
	switch s.panels {
	case 1:
		f.p("ADDQ R12, SI")
	case 2:
		f.p("LEAQ (SI)(R12*2), SI")
	case 4:
		f.p("LEAQ (SI)(R12*4), SI")
	}
	f.p("SUBQ $%d, AX", s.panels)
	f.p("JMP %s", name)
}

// prefetch asks for the B that comes 1 KiB later. A tall tile takes so many instructions a line that the processor looks
// less far ahead than memory is away: +10 to 30 % at 8 and 12 rows beyond the caches, +5 % at 48.
func prefetch(f *file, k kind, s shape, unroll int) {
	for p := range s.panels {
		for at := 0; at < unroll*k.bStep; at += 64 {
			m := bAt(k, p, 0)
			m.disp += 1024 + at
			f.p("PREFETCHT0 %v", m)
		}
	}
}

// eachC visits the tile of C with R8 at its row.
func eachC(f *file, s shape, visit func(s shape, row, panel int)) {
	f.p("MOVQ DX, R8")
	for r := range s.rows {
		for p := range s.panels {
			visit(s, r, p)
		}
		if r < s.rows-1 {
			f.p("ADDQ ldc+24(FP), R8")
		}
	}
}

// aAt is the value of A for a row, n steps and extra bytes behind the pointers.
func aAt(k kind, row, n, extra int) mem {
	m := mem{base: fmt.Sprintf("R%d", 8+row/3), disp: n*k.aStep + extra}
	if row%3 > 0 {
		m.index, m.scale = "BX", row%3
	}
	return m
}

// bAt is the vector of B for a panel.
func bAt(k kind, panel, n int) mem {
	m := mem{base: "SI", disp: n * k.bStep}
	switch panel {
	case 1, 2:
		m.index, m.scale = "R12", panel
	case 3:
		m.index, m.scale = "R13", 1
	}
	return m
}

// wide is AVX-512: one register holds 16 columns. Z0-Z11 accumulate, Z12-Z15 are columns of B, Z16-Z19 their odd
// halves, Z20-Z23 values of A, Z31 a mask.
type wide struct{ *file }

func (x wide) level() (string, string) { return "AVX512", "AVX512F, AVX512BW, AVX512DQ, AVX512VL" }

func (x wide) begin(k kind) {
	x.p("KXNORW K1, K1, K1")
	if k == pairKind {
		x.p("VBROADCASTSS highHalf<>(SB), Z31")
	}
}

func (x wide) lastMask() {
	x.p("MOVL mask+64(FP), CX")
	x.p("KMOVW CX, K1")
}

func (x wide) load(s shape, row, panel int) {
	if panel == s.panels-1 {
		x.p("VMOVUPS.Z %d(R8), K1, Z%d", 64*panel, row*s.panels+panel)
	} else {
		x.p("VMOVUPS %d(R8), Z%d", 64*panel, row*s.panels+panel)
	}
}

func (x wide) zero(s shape) {
	for i := range s.rows * s.panels {
		x.p("VPXORD Z%d, Z%d, Z%d", i, i, i)
	}
}

func (x wide) store(s shape, row, panel int) {
	if panel == s.panels-1 {
		x.p("VMOVUPS Z%d, K1, %d(R8)", row*s.panels+panel, 64*panel)
	} else {
		x.p("VMOVUPS Z%d, %d(R8)", row*s.panels+panel, 64*panel)
	}
}

func (x wide) step(k kind, s shape, n int) {
	for p := range s.panels {
		b := bAt(k, p, n)
		switch k {
		case pairKind:
			x.p("VMOVUPS %v, Z%d", b, 12+p)
			x.p("VPANDD Z31, Z%d, Z%d", 12+p, 16+p)
			x.p("VPSLLD $16, Z%d, Z%d", 12+p, 12+p)
		case b16Kind:
			x.p("VPMOVZXWD %v, Z%d", b, 12+p)
			x.p("VPSLLD $16, Z%d, Z%d", 12+p, 12+p)
		default:
			x.p("VMOVUPS %v, Z%d", b, 12+p)
		}
	}
	halves := 1
	if k == pairKind {
		halves = 2 // the even column of a pair first: ascending k
	}
	for h := range halves {
		for r := range s.rows {
			a := aAt(k, r, n, 4*h)
			if s.panels > 1 {
				x.p("VBROADCASTSS %v, Z%d", a, 20+r)
			}
			for p := range s.panels {
				acc, col := r*s.panels+p, 12+4*h+p
				switch {
				case k == dotKind && s.panels > 1:
					x.dpbf16r(20+r, col, acc)
				case k == dotKind:
					x.dpbf16(a, col, acc)
				case s.panels > 1:
					x.p("VFMADD231PS Z%d, Z%d, Z%d", 20+r, col, acc)
				default:
					x.p("VFMADD231PS.BCST %v, Z%d, Z%d", a, col, acc)
				}
			}
		}
	}
}

// narrow is AVX2 with FMA: two registers hold 16 columns. Y0-Y11 accumulate, Y12 and Y13 are columns of B, Y14 a value
// of A, Y15 a mask. It has no masked C: the caller gives the last panel a C of full width.
type narrow struct{ *file }

func (x narrow) level() (string, string) { return "AVX2", "AVX2, FMA" }

func (x narrow) begin(k kind) {
	if k == pairKind {
		x.p("VMOVUPS highHalf<>(SB), Y15")
	}
}

func (x narrow) lastMask() {}

func (x narrow) load(s shape, row, panel int) {
	for h := range 2 {
		x.p("VMOVUPS %d(R8), Y%d", 64*panel+32*h, 2*(row*s.panels+panel)+h)
	}
}

func (x narrow) zero(s shape) {
	for i := range 2 * s.rows * s.panels {
		x.p("VXORPS Y%d, Y%d, Y%d", i, i, i)
	}
}

func (x narrow) store(s shape, row, panel int) {
	for h := range 2 {
		x.p("VMOVUPS Y%d, %d(R8)", 2*(row*s.panels+panel)+h, 64*panel+32*h)
	}
}

func (x narrow) step(k kind, s shape, n int) {
	halves := 1
	if k == pairKind {
		halves = 2
	}
	for h := range halves {
		for p := range s.panels {
			for half := range 2 {
				b := bAt(k, p, n)
				b.disp += half * k.bStep / 2
				switch {
				case k == pairKind && h == 1:
					x.p("VPAND %v, Y15, Y%d", b, 12+half)
				case k == pairKind:
					x.p("VMOVUPS %v, Y%d", b, 12+half)
					x.p("VPSLLD $16, Y%d, Y%d", 12+half, 12+half)
				case k == b16Kind:
					x.p("VPMOVZXWD %v, Y%d", b, 12+half)
					x.p("VPSLLD $16, Y%d, Y%d", 12+half, 12+half)
				default:
					x.p("VMOVUPS %v, Y%d", b, 12+half)
				}
			}
			for r := range s.rows {
				x.p("VBROADCASTSS %v, Y14", aAt(k, r, n, 4*h))
				for half := range 2 {
					x.p("VFMADD231PS Y%d, Y14, Y%d", 12+half, 2*(r*s.panels+p)+half)
				}
			}
		}
	}
}
