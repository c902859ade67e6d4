package quant

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"retort/internal/numtest"
)

// golden is a record of testdata/*.golden, which ref/golden.py made with the Python package gguf.
type golden struct {
	t      Type
	raw    []byte
	floats []float32
}

func readGolden(t *testing.T, name string) []golden {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(bytes.NewReader(data))
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	var all []golden
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			return all
		}
		var typ string
		var n, size int
		if _, err := fmt.Sscanf(line, "%s %d %d\n", &typ, &n, &size); err != nil {
			t.Fatalf("%s: header %q: %v", name, line, err)
		}
		g := golden{raw: make([]byte, size), floats: make([]float32, n)}
		if g.t, err = ParseType(typ); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, g.raw); err != nil {
			t.Fatal(err)
		}
		if err := binary.Read(r, binary.LittleEndian, g.floats); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
}

// sameBits fails at the first number whose bits differ.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: weight %d is %v (%08x), want %v (%08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestDecodeGolden(t *testing.T) {
	records := append(readGolden(t, "decode.golden"), readGolden(t, "decode-iq.golden")...)
	if len(records) != len(formats) {
		t.Fatalf("%d records, want one for each of %d formats", len(records), len(formats))
	}
	for _, g := range records {
		got := make([]float32, len(g.floats))
		Decode(g.t, got, g.raw)
		sameBits(t, g.t.String(), got, g.floats)
	}
}

// TestDecodeAll holds Decode to hashes of what gguf decodes from so many blocks that every entry of a table occurs.
func TestDecodeAll(t *testing.T) {
	list, err := os.ReadFile("testdata/all.golden")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")[1:]
	if len(lines) != len(formats)-3 {
		t.Fatalf("%d lines, want one for each of %d formats with blocks", len(lines), len(formats)-3)
	}
	for _, line := range lines {
		var name, hash string
		var blocks int
		if _, err := fmt.Sscan(line, &name, &blocks, &hash); err != nil {
			t.Fatalf("all.golden: %q: %v", line, err)
		}
		typ, err := ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		data := sha3.SumSHAKE256([]byte(name), blocks*typ.BlockBytes())
		for b := 0; b < len(data); b += typ.BlockBytes() {
			putScales(typ, data[b:], func() float32 { return 1 })
		}
		floats := make([]float32, blocks*typ.BlockSize())
		Decode(typ, floats, data)
		raw := make([]byte, 4*len(floats))
		decodedBytes(raw, floats)
		if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != hash {
			t.Errorf("%v: weights have hash %s, want %s", typ, got, hash)
		}
	}
}

// decodedBytes writes floats as little endian numbers.
func decodedBytes(dst []byte, floats []float32) {
	for i, x := range floats {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func TestEncodeGolden(t *testing.T) {
	for _, g := range readGolden(t, "encode.golden") {
		got := make([]byte, len(g.raw))
		if err := Encode(g.t, got, g.floats); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if got[i] != g.raw[i] {
				t.Fatalf("%v: byte %d (block %d) is %02x, want %02x", g.t, i, i/g.t.BlockBytes(), got[i], g.raw[i])
			}
		}
	}
}

func TestTypes(t *testing.T) {
	for _, typ := range Types() {
		if got, err := ParseType(typ.String()); err != nil || got != typ {
			t.Errorf("ParseType(%q) = %v, %v", typ.String(), got, err)
		}
		if n := typ.BlockSize() * 3; typ.RowBytes(n) != 3*typ.BlockBytes() {
			t.Errorf("%v: RowBytes(%d) = %d", typ, n, typ.RowBytes(n))
		}
	}
	if got, err := ParseType("q4_k"); err != nil || got != Q4_K {
		t.Errorf("ParseType(q4_k) = %v, %v", got, err)
	}
	if _, err := ParseType("q9_9"); err == nil {
		t.Error("ParseType(q9_9) found something")
	}
	if got, err := ParseType("iq2_xxs"); err != nil || got != IQ2_XXS {
		t.Errorf("ParseType(iq2_xxs) = %v, %v", got, err)
	}
	if Type(9).Known() || Type(1000).Known() {
		t.Error("types 9 and 1000 are known")
	}
}

// randomBlocks returns n weights in random blocks of t with scales of ordinary size.
func randomBlocks(t Type, n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, uint64(t)))
	data := make([]byte, t.RowBytes(n))
	if t.BlockSize() == 1 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		if err := Encode(t, data, x); err != nil {
			panic(err)
		}
		return data
	}
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for b := 0; b < len(data); b += t.BlockBytes() {
		putScales(t, data[b:], func() float32 { return float32(rng.NormFloat64() * 0.02) })
		if t == MXFP4 {
			data[b] = 120 + data[b]%8
		}
	}
	return data
}

// scaleOffsets says where a block's float16 scales lie.
var scaleOffsets = map[Type][]int{Q4_0: {0}, Q4_1: {0, 2}, Q5_0: {0}, Q5_1: {0, 2}, Q8_0: {0}, Q2_K: {80, 82},
	Q3_K: {108}, Q4_K: {0, 2}, Q5_K: {0, 2}, Q6_K: {208}, IQ4_NL: {0}, IQ4_XS: {0}, IQ3_S: {0}, IQ3_XXS: {0}, IQ2_S: {0},
	IQ2_XS: {0}, IQ2_XXS: {0}, IQ1_S: {0}, IQ1_M: {49}, TQ1_0: {52}, TQ2_0: {64}}

// putScales gives a block its float16 scales.
func putScales(t Type, block []byte, next func() float32) {
	for _, at := range scaleOffsets[t] {
		var h [2]byte
		putHalf(h[:], next())
		if t != IQ1_M {
			copy(block[at:], h[:])
			continue
		}
		for q := range 4 { // four bits of it in every other byte
			block[at+2*q] = block[at+2*q]&15 | h[q/2]>>(q%2*4)<<4
		}
	}
}

// TestDecodeReal holds Decode to hashes of what gguf decodes from real files (ref/real.py).
func TestDecodeReal(t *testing.T) {
	list, err := os.ReadFile("testdata/real.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n")[1:] {
		var model, tensor, typ, hash string
		var offset, size int64
		if _, err := fmt.Sscan(line, &model, &tensor, &typ, &offset, &size, &hash); err != nil {
			t.Fatalf("real.golden: %q: %v", line, err)
		}
		t.Run(model+"/"+tensor, func(t *testing.T) {
			f, err := os.Open(numtest.Model(t, model))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			data := make([]byte, size)
			if _, err := f.ReadAt(data, offset); err != nil {
				t.Fatal(err)
			}
			kind, err := ParseType(typ)
			if err != nil {
				t.Fatal(err)
			}
			floats := make([]float32, len(data)/kind.BlockBytes()*kind.BlockSize())
			Decode(kind, floats, data)
			raw := make([]byte, 4*len(floats))
			if err := Encode(F32, raw, floats); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != hash {
				t.Errorf("%s: weights have hash %s, want %s", typ, got, hash)
			}
		})
	}
}

func TestHostileBlocks(t *testing.T) {
	for _, typ := range Types() {
		for _, fill := range []byte{0x00, 0x7c, 0x7e, 0xfc, 0xff} {
			data := bytes.Repeat([]byte{fill}, typ.RowBytes(512))
			dst := make([]float32, 512)
			Decode(typ, dst, data)
			if fill == 0xff && typ.BlockSize() > 1 && typ != MXFP4 && dst[0] == dst[0] {
				t.Errorf("%v: scale NaN gives %v", typ, dst[0])
			}
		}
	}
}

// TestPackedDecode holds the packed form to the stored one, bit by bit, for row counts that are not whole panels.
func TestPackedDecode(t *testing.T) {
	for _, typ := range Types() {
		for _, shape := range [][2]int{{1, 256}, {16, 512}, {37, 768}} {
			out, in := shape[0], shape[1]
			data := randomBlocks(typ, out*in, 7)
			w, err := New(typ, data, out, in)
			if err != nil {
				t.Fatal(err)
			}
			got, want := make([]float32, in), make([]float32, in)
			for r := range out {
				w.Decode(got, r)
				Decode(typ, want, data[r*typ.RowBytes(in):][:typ.RowBytes(in)])
				dropSigns(typ, want)
				sameBits(t, fmt.Sprintf("%v [%d, %d] row %d", typ, out, in, r), got, want)
			}
		}
	}
}

// dropSigns makes zeros of the ternary formats +0, as their panels do where a scale is negative.
func dropSigns(t Type, x []float32) {
	if t != TQ1_0 && t != TQ2_0 {
		return
	}
	for i, v := range x {
		if v == 0 {
			x[i] = 0
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		t             Type
		out, in, size int
	}{
		{Type(99), 16, 256, 100},
		{Q4_K, 16, 288, 16 * 162},
		{Q8_0, 16, 32, 16*34 - 1},
		{Q8_0, 0, 32, 0},
		{Q8_0, 1 << 40, 32, 34},
		{F16, 4, -4, 32},
		{F32, 1 << 62, 4, 0}, // whose product with 16 bytes a row wraps around to 0
	} {
		if w, err := New(c.t, make([]byte, c.size), c.out, c.in); err == nil {
			t.Errorf("New(%v, %d bytes, %d, %d) = %v, want an error", c.t, c.size, c.out, c.in, w)
		}
	}
}
