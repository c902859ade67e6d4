// Package quant knows the ways in which GGUF files store a matrix: F32, F16, BF16 and ggml's blocks of one and a
// half to eight bits. One file a format holds its bit picture, decode and encode; packed.go turns a stored matrix into a
// tensor.Weight that the CPU multiplies by. It knows no files and no names of tensors beyond MixQ4KM's.
//
// Bit pictures write bytes from left to right as they lie in the file and the bits of a byte from the highest down;
// numbers of more than one byte are little endian. The formats are ggml's; the oracle of the tests is the Python
// package gguf. Open q8_0.go first, then q4_k.go.
package quant

import (
	"fmt"
	"strings"

	"retort/internal/compute/kernel"
)

// Type is the way a matrix is stored, by ggml's number for it.
type Type uint32

// The stored formats.
const (
	F32     Type = 0
	F16     Type = 1
	Q4_0    Type = 2
	Q4_1    Type = 3
	Q5_0    Type = 6
	Q5_1    Type = 7
	Q8_0    Type = 8
	Q2_K    Type = 10
	Q3_K    Type = 11
	Q4_K    Type = 12
	Q5_K    Type = 13
	Q6_K    Type = 14
	IQ2_XXS Type = 16
	IQ2_XS  Type = 17
	IQ3_XXS Type = 18
	IQ1_S   Type = 19
	IQ4_NL  Type = 20
	IQ3_S   Type = 21
	IQ2_S   Type = 22
	IQ4_XS  Type = 23
	IQ1_M   Type = 29
	BF16    Type = 30
	TQ1_0   Type = 34
	TQ2_0   Type = 35
	MXFP4   Type = 39
)

// superblock is how many weights share the float16 scales of a K format.
const superblock = 256

// format is what the package knows of a type.
type format struct {
	t      Type
	name   string
	block  int // weights a block
	bytes  int // bytes a block
	decode func(dst []float32, src []byte)
	encode func(dst []byte, src []float32) // nil: read only
	halves []int                           // where a block that is encoded has its numbers of 16 bits

	// How a stored row becomes a row of a panel: fill sets row r of b to columns 32i to 32i+31 of a stored row. Formats
	// without a panel format of their own become one that holds their numbers exactly. fill is nil for 16 and 32 bits.
	panel kernel.PanelFormat
	fill  func(b *kernel.PanelBlock, r int, row []byte, i int)
}

var formats = []format{
	{t: F32, name: "F32", block: 1, bytes: 4, decode: decodeF32, encode: encodeF32},
	{t: F16, name: "F16", block: 1, bytes: 2, decode: decodeF16, encode: encodeF16, halves: []int{0}},
	{t: BF16, name: "BF16", block: 1, bytes: 2, decode: decodeBF16, encode: encodeBF16, halves: []int{0}},
	{t: Q4_0, name: "Q4_0", block: 32, bytes: 18, decode: decodeQ4_0, encode: encodeQ4_0, halves: []int{0},
		panel: kernel.PanelQ4_0, fill: fillQ4_0},
	{t: Q4_1, name: "Q4_1", block: 32, bytes: 20, decode: decodeQ4_1, encode: encodeQ4_1, halves: []int{0, 2},
		panel: kernel.PanelQ4_1, fill: fillQ4_1},
	{t: Q5_0, name: "Q5_0", block: 32, bytes: 22, decode: decodeQ5_0, encode: encodeQ5_0, halves: []int{0},
		panel: kernel.PanelQ5_0, fill: fillQ5_0},
	{t: Q5_1, name: "Q5_1", block: 32, bytes: 24, decode: decodeQ5_1, encode: encodeQ5_1, halves: []int{0, 2},
		panel: kernel.PanelQ5_1, fill: fillQ5_1},
	{t: Q8_0, name: "Q8_0", block: 32, bytes: 34, decode: decodeQ8_0, encode: encodeQ8_0, halves: []int{0},
		panel: kernel.PanelQ8_0, fill: fillQ8_0},
	{t: Q2_K, name: "Q2_K", block: 256, bytes: 84, decode: decodeQ2_K,
		panel: kernel.PanelQ2_K, fill: fillQ2_K},
	{t: Q3_K, name: "Q3_K", block: 256, bytes: 110, decode: decodeQ3_K,
		panel: kernel.PanelQ6_K, fill: fillQ3_K},
	{t: Q4_K, name: "Q4_K", block: 256, bytes: 144, decode: decodeQ4_K, encode: encodeQ4_K, halves: []int{0, 2},
		panel: kernel.PanelQ4_K, fill: fillQ4_K},
	{t: Q5_K, name: "Q5_K", block: 256, bytes: 176, decode: decodeQ5_K, encode: encodeQ5_K, halves: []int{0, 2},
		panel: kernel.PanelQ5_K, fill: fillQ5_K},
	{t: Q6_K, name: "Q6_K", block: 256, bytes: 210, decode: decodeQ6_K, encode: encodeQ6_K, halves: []int{208},
		panel: kernel.PanelQ6_K, fill: fillQ6_K},
	{t: IQ4_NL, name: "IQ4_NL", block: 32, bytes: 18, decode: decodeIQ4_NL,
		panel: kernel.PanelQ8_0, fill: fillIQ4_NL},
	{t: IQ4_XS, name: "IQ4_XS", block: 256, bytes: 136, decode: iq4XS.decode, panel: kernel.PanelIQ, fill: iq4XS.fill},
	{t: IQ3_S, name: "IQ3_S", block: 256, bytes: 110, decode: iq3S.decode, panel: kernel.PanelQ6_K, fill: fillIQ3_S},
	{t: IQ3_XXS, name: "IQ3_XXS", block: 256, bytes: 98, decode: iq3XXS.decode, panel: kernel.PanelIQ, fill: iq3XXS.fill},
	{t: IQ2_S, name: "IQ2_S", block: 256, bytes: 82, decode: iq2S.decode, panel: kernel.PanelIQ, fill: iq2S.fill},
	{t: IQ2_XS, name: "IQ2_XS", block: 256, bytes: 74, decode: iq2XS.decode, panel: kernel.PanelIQ, fill: iq2XS.fill},
	{t: IQ2_XXS, name: "IQ2_XXS", block: 256, bytes: 66, decode: iq2XXS.decode, panel: kernel.PanelIQ, fill: iq2XXS.fill},
	{t: IQ1_S, name: "IQ1_S", block: 256, bytes: 50, decode: iq1S.decode, panel: kernel.PanelIQ, fill: iq1S.fill},
	{t: IQ1_M, name: "IQ1_M", block: 256, bytes: 56, decode: iq1M.decode, panel: kernel.PanelIQ, fill: iq1M.fill},
	{t: TQ1_0, name: "TQ1_0", block: 256, bytes: 54, decode: decodeTQ1_0, panel: kernel.PanelQ2_K, fill: fillTQ1_0},
	{t: TQ2_0, name: "TQ2_0", block: 256, bytes: 66, decode: decodeTQ2_0, panel: kernel.PanelQ2_K, fill: fillTQ2_0},
	{t: MXFP4, name: "MXFP4", block: 32, bytes: 17, decode: decodeMXFP4, panel: kernel.PanelMX, fill: fillMXFP4},
}

// byType finds a format by its number.
var byType = func() (table [MXFP4 + 1]*format) {
	for i := range formats {
		table[formats[i].t] = &formats[i]
	}
	return table
}()

// format returns what is known of t, or nil.
func (t Type) format() *format {
	if int(t) >= len(byType) {
		return nil
	}
	return byType[t]
}

// known is format for callers who must know that t is one of ours.
func (t Type) known() *format {
	f := t.format()
	if f == nil {
		panic(fmt.Sprintf("quant: %v is not a known type", t))
	}
	return f
}

// Types returns all known types.
func Types() []Type {
	ts := make([]Type, len(formats))
	for i := range formats {
		ts[i] = formats[i].t
	}
	return ts
}

// String returns ggml's name, such as Q4_K.
func (t Type) String() string {
	if f := t.format(); f != nil {
		return f.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Known says whether the package can read t.
func (t Type) Known() bool { return t.format() != nil }

// ParseType finds a type by its name; case does not matter.
func ParseType(name string) (Type, error) {
	for i := range formats {
		if strings.EqualFold(formats[i].name, name) {
			return formats[i].t, nil
		}
	}
	return 0, fmt.Errorf("quant: unknown type %q", name)
}

// BlockSize returns how many weights a block holds: rows are whole blocks.
func (t Type) BlockSize() int { return t.known().block }

// BlockBytes returns the size of a block in bytes.
func (t Type) BlockBytes() int { return t.known().bytes }

// RowBytes returns the size of a row of cols weights, which must be whole blocks.
func (t Type) RowBytes(cols int) int {
	f := t.known()
	if cols%f.block != 0 {
		panic(fmt.Sprintf("quant: %v row of %d weights, want a multiple of %d", t, cols, f.block))
	}
	return cols / f.block * f.bytes
}

// CanEncode says whether Encode can write t.
func (t Type) CanEncode() bool { f := t.format(); return f != nil && f.encode != nil }

// Decode sets dst to the weights stored in src. len(dst) is whole blocks.
//
// It agrees bit for bit with ggml's definition: products of scale and code are exact in float32, and adding the
// minimum rounds once. Scales that are NaN or infinite give weights that are.
func Decode(t Type, dst []float32, src []byte) {
	if need := t.RowBytes(len(dst)); len(src) < need {
		panic(fmt.Sprintf("quant: Decode: %d bytes of %v, want %d", len(src), t, need))
	}
	t.known().decode(dst, src)
}

// Encode stores src, whole blocks, in dst. The error names a type that cannot be written, or is a RangeError for the
// weight that t cannot hold; then dst is not to be used.
func Encode(t Type, dst []byte, src []float32) error {
	if !t.CanEncode() {
		return fmt.Errorf("quant: cannot write %v", t)
	}
	if need := t.RowBytes(len(src)); len(dst) < need {
		panic(fmt.Sprintf("quant: Encode: %d bytes for %v, want %d", len(dst), t, need))
	}
	f := t.known()
	if err := f.checkValues(src); err != nil {
		return err
	}
	f.encode(dst, src)
	return f.checkStored(dst, src)
}
