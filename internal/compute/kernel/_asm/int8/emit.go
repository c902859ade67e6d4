package main

import (
	"fmt"
	"sort"
	"strings"
)

// file collects lines of assembly and the constants they use.
type file struct {
	b      strings.Builder
	consts map[string]uint32 // symbol -> the four bytes at it
}

func newFile(what string) *file {
	f := &file{consts: map[string]uint32{}}
	f.b.WriteString(header)
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

// constants writes the data of all words used.
func (f *file) constants() {
	names := make([]string, 0, len(f.consts))
	for n := range f.consts {
		names = append(names, n)
	}
	sort.Strings(names)
	f.line("")
	for _, n := range names {
		f.line("DATA %s+0(SB)/4, $0x%08x", n, f.consts[n])
		f.line("GLOBL %s(SB), RODATA|NOPTR, $4", n)
	}
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
