package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// file collects lines of assembly and the constants they use.
type file struct {
	b      strings.Builder
	consts map[string]uint32 // symbol -> the four bytes at it
	wides  map[string]uint32 // symbol -> the four bytes of which it is eight
}

func newFile() *file {
	f := &file{consts: map[string]uint32{}, wides: map[string]uint32{}}
	f.b.WriteString(header + "#include \"textflag.h\"\n")
	return f
}

func (f *file) line(format string, args ...any) { fmt.Fprintf(&f.b, format+"\n", args...) }
func (f *file) op(format string, args ...any)   { fmt.Fprintf(&f.b, "\t"+format+"\n", args...) }
func (f *file) say(format string, args ...any)  { fmt.Fprintf(&f.b, "\n\t// "+format+"\n", args...) }

// word returns an operand that is the four bytes v in memory, for a broadcast.
func (f *file) word(v uint32) string {
	name := fmt.Sprintf("int8word%08x<>", v)
	f.consts[name] = v
	return name + "(SB)"
}

// wide returns an operand that is v in memory eight times, for AVX2.
func (f *file) wide(v uint32) string {
	name := fmt.Sprintf("int8wide%08x<>", v)
	f.wides[name] = v
	return name + "(SB)"
}

// constants writes the data of all words used.
func (f *file) constants() {
	f.line("")
	for _, n := range slices.Sorted(maps.Keys(f.consts)) {
		f.line("DATA %s+0(SB)/4, $0x%08x", n, f.consts[n])
		f.line("GLOBL %s(SB), RODATA|NOPTR, $4", n)
	}
	for _, n := range slices.Sorted(maps.Keys(f.wides)) {
		for i := range 4 {
			f.line("DATA %s+%d(SB)/8, $0x%08x%08x", n, 8*i, f.wides[n], f.wides[n])
		}
		f.line("GLOBL %s(SB), RODATA|NOPTR, $32", n)
	}
}

// lanes writes the masks of VMASKMOVPS: those of n lanes begin 4n bytes before the middle.
func (f *file) lanes() {
	f.line("")
	for i := range 8 {
		f.line("DATA int8lanes<>+%d(SB)/8, $0x%016x", 8*i, []uint64{1<<64 - 1, 0}[i/4])
	}
	f.line("GLOBL int8lanes<>(SB), RODATA|NOPTR, $64")
}

func (f *file) text() string { return f.b.String() }

// registers hands out vector registers by number.
type registers struct{ free []int }

func allRegisters() *registers {
	r := &registers{}
	for i := range 32 {
		r.free = append(r.free, i)
	}
	return r
}

func (r *registers) take() int {
	if len(r.free) == 0 {
		panic("out of registers")
	}
	n := r.free[0]
	r.free = r.free[1:]
	return n
}

func (r *registers) takeN(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = r.take()
	}
	return s
}
