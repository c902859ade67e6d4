package gguf

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// A Type is a tensor's stored format, by ggml's number.
type Type uint32

// The stored formats of ggml. Numbers that are missing were removed from ggml before or soon after GGUF and never mean
// anything else again.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q8_1    Type = 9
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	Q8_K    Type = 15
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	I8      Type = 24
	I16     Type = 25
	I32     Type = 26
	I64     Type = 27
	F64     Type = 28
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
	NVFP4   Type = 40
	Q1_0    Type = 41
	Q2_0    Type = 42
)

// layouts tells for each type its name and how many bytes hold one block of how many elements. The figures are those of
// ggml_blck_size and ggml_type_size in llama.cpp v0.5.0 (ref/blocks.py reads them from the library).
var layouts = [...]struct {
	name         string
	block, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, F64: {"F64", 1, 8},
	I8: {"I8", 1, 1}, I16: {"I16", 1, 2}, I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20}, Q5_0: {"Q5_0", 32, 22}, Q5_1: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, Q8_1: {"Q8_1", 32, 36},
	Q2_K: {"Q2_K", 256, 84}, Q3_K: {"Q3_K", 256, 110}, Q4_K: {"Q4_K", 256, 144}, Q5_K: {"Q5_K", 256, 176},
	Q6_K: {"Q6_K", 256, 210}, Q8_K: {"Q8_K", 256, 292},
	IQ1_S: {"IQ1_S", 256, 50}, IQ1_M: {"IQ1_M", 256, 56}, IQ2_XXS: {"IQ2_XXS", 256, 66}, IQ2_XS: {"IQ2_XS", 256, 74},
	IQ2_S: {"IQ2_S", 256, 82}, IQ3_XXS: {"IQ3_XXS", 256, 98}, IQ3_S: {"IQ3_S", 256, 110},
	IQ4_NL: {"IQ4_NL", 32, 18}, IQ4_XS: {"IQ4_XS", 256, 136},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
	MXFP4: {"MXFP4", 32, 17}, NVFP4: {"NVFP4", 64, 36}, Q1_0: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18},
}

// Known reports whether t is a format of ggml's table.
func (t Type) Known() bool { return int64(t) < int64(len(layouts)) && layouts[t].block != 0 }

// String is the format's name as model files and tools print it: "F32", "Q4_K", "IQ2_XXS".
func (t Type) String() string {
	if !t.Known() {
		return fmt.Sprintf("type(%d)", uint32(t))
	}
	return layouts[t].name
}

// Block is the number of elements that are stored together, 0 for an unknown type. A row is a whole number of blocks.
func (t Type) Block() int {
	if !t.Known() {
		return 0
	}
	return layouts[t].block
}

// Bytes is the size of one block in bytes, 0 for an unknown type.
func (t Type) Bytes() int {
	if !t.Known() {
		return 0
	}
	return layouts[t].bytes
}

// ParseType finds a type by its name in either case: "q8_0", "Q4_K".
func ParseType(name string) (Type, error) {
	for t, l := range layouts {
		if l.block != 0 && strings.EqualFold(l.name, name) {
			return Type(t), nil
		}
	}
	return 0, fmt.Errorf("gguf: no tensor type is called %q", name)
}

// size returns the bytes of a tensor of the given dims, the first of which is the row. It refuses what a file may not
// say: unknown types, no or too many dims, a zero dim, rows that are no whole blocks, sizes past 2⁶³.
func (t Type) size(dims []uint64) (uint64, error) {
	if !t.Known() {
		return 0, fmt.Errorf("unknown tensor type %d", uint32(t))
	}
	if len(dims) == 0 || len(dims) > maxDims {
		return 0, fmt.Errorf("%d dimensions, want 1 to %d", len(dims), maxDims)
	}
	if dims[0]%uint64(t.Block()) != 0 {
		return 0, fmt.Errorf("rows of %d elements are no whole blocks of %d (%s)", dims[0], t.Block(), t)
	}
	blocks := dims[0] / uint64(t.Block())
	for _, d := range dims[1:] {
		hi, lo := bits.Mul64(blocks, d)
		if hi != 0 {
			return 0, fmt.Errorf("dimensions %v: too many elements", dims)
		}
		blocks = lo
	}
	sizeHi, size := bits.Mul64(blocks, uint64(t.Bytes()))
	countHi, count := bits.Mul64(blocks, uint64(t.Block()))
	if sizeHi != 0 || countHi != 0 || size > math.MaxInt64 || count > math.MaxInt64 {
		return 0, fmt.Errorf("dimensions %v: too many elements", dims)
	}
	if size == 0 {
		return 0, fmt.Errorf("dimensions %v: no element", dims)
	}
	return size, nil
}
