package main

import (
	"fmt"
	"strings"
)

// mem is a memory operand base + index·scale + disp. index may be empty.
type mem struct {
	base, index string
	scale       int
	disp        int
}

func (m mem) String() string {
	if m.index == "" {
		return fmt.Sprintf("%d(%s)", m.disp, m.base)
	}
	return fmt.Sprintf("%d(%s)(%s*%d)", m.disp, m.base, m.index, m.scale)
}

var gpr = map[string]int{
	"AX": 0, "CX": 1, "DX": 2, "BX": 3, "SI": 6, "DI": 7,
	"R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13,
}

// dpbf16 writes VDPBF16PS with a broadcast memory operand, dst += src·[m] in pairs of bf16, as bytes: Go's assembler
// does not know the instruction. Encoding: EVEX.512.F3.0F38.W0 52 /r.
func (f *file) dpbf16(m mem, src, dst int) {
	f.bytes(fmt.Sprintf("VDPBF16PS.BCST %v, Z%d, Z%d", m, src, dst), evex(dst, src, 1, m, 0))
}

// dpbf16r is dpbf16 between registers.
func (f *file) dpbf16r(a, src, dst int) {
	f.bytes(fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", a, src, dst), evex(dst, src, 0, mem{}, a))
}

func (f *file) bytes(comment string, code []byte) {
	var s []string
	for _, c := range code {
		s = append(s, fmt.Sprintf("BYTE $0x%02x", c))
	}
	f.p("%s // %s", strings.Join(s, "; "), comment)
}

// evex encodes VDPBF16PS. The prefix keeps the high bits of register numbers inverted.
func evex(dst, src, broadcast int, m mem, reg int) []byte {
	inv := func(number, bit int) int { return ^number >> bit & 1 }
	var base, index int
	if broadcast == 1 {
		base = gpr[m.base]
		if m.index != "" {
			index = gpr[m.index]
		}
	} else {
		base, index = reg, reg>>1 // bit 4 of the register goes where bit 3 of an index would be
	}
	p0 := inv(dst, 3)<<7 | inv(index, 3)<<6 | inv(base, 3)<<5 | inv(dst, 4)<<4 | 2
	p1 := (^src&15)<<3 | 4 | 2
	p2 := 2<<5 | broadcast<<4 | inv(src, 4)<<3
	code := []byte{0x62, byte(p0), byte(p1), byte(p2), 0x52}
	if broadcast == 0 {
		return append(code, byte(3<<6|dst&7<<3|reg&7))
	}
	if m.disp%4 != 0 || m.disp/4 > 127 || m.disp < 0 {
		panic("evex: displacement")
	}
	disp8 := byte(m.disp / 4) // counted in units of the broadcast element
	if m.index == "" && base&7 != 4 {
		return append(code, byte(1<<6|dst&7<<3|base&7), disp8)
	}
	sib := 4<<3 | base&7 // no index
	if m.index != "" {
		scale := map[int]int{1: 0, 2: 1, 4: 2, 8: 3}[m.scale]
		sib = scale<<6 | index&7<<3 | base&7
	}
	return append(code, byte(1<<6|dst&7<<3|4), byte(sib), disp8)
}
