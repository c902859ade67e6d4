package gguf

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// kindsPairs is what ref/kinds.py put into testdata/kinds.gguf.
func kindsPairs() []pair {
	return []pair{
		{"general.architecture", ValueOf("kinds")},
		{"one.uint8", ValueOf(uint8(255))}, {"one.int8", ValueOf(int8(127))},
		{"one.uint16", ValueOf(uint16(65535))}, {"one.int16", ValueOf(int16(32767))},
		{"one.uint32", ValueOf(uint32(math.MaxUint32))}, {"one.int32", ValueOf(int32(math.MaxInt32))},
		{"one.uint64", ValueOf(uint64(math.MaxUint64))}, {"one.int64", ValueOf(int64(math.MaxInt64))},
		{"one.float32", ValueOf(float32(math.MaxFloat32))}, {"one.float64", ValueOf(math.MaxFloat64)},
		{"one.bool", ValueOf(true)}, {"one.string", ValueOf("naïve 鍵 🔑")},
		{"many.uint8", ArrayOf([]uint8{0, 255, 255})}, {"many.int8", ArrayOf([]int8{-128, 127, 127})},
		{"many.uint16", ArrayOf([]uint16{0, 65535, 65535})}, {"many.int16", ArrayOf([]int16{-32768, 32767, 32767})},
		{"many.uint32", ArrayOf([]uint32{0, math.MaxUint32, math.MaxUint32})},
		{"many.int32", ArrayOf([]int32{math.MinInt32, math.MaxInt32, math.MaxInt32})},
		{"many.uint64", ArrayOf([]uint64{0, math.MaxUint64, math.MaxUint64})},
		{"many.int64", ArrayOf([]int64{math.MinInt64, math.MaxInt64, math.MaxInt64})},
		{"many.float32", ArrayOf([]float32{-1.5, math.MaxFloat32, math.MaxFloat32})},
		{"many.float64", ArrayOf([]float64{-1.5, math.MaxFloat64, math.MaxFloat64})},
		{"many.bool", ArrayOf([]bool{false, true, true})},
		{"many.string", ArrayOf([]string{"", "naïve 鍵 🔑", "naïve 鍵 🔑"})},
		{"nested", arrayOfArrays([]Value{ArrayOf([]int32{1, 2}), ArrayOf([]int32{3})})},
	}
}

// arrayOfArrays makes an array of arrays, which the format knows and llama.cpp refuses. Panics if one is no array.
func arrayOfArrays(s []Value) Value {
	v := Value{kind: Array, elem: Array, n: len(s)}
	for _, x := range s {
		if x.kind != Array || x.source != nil {
			panic("gguf: arrayOfArrays: " + x.typeName() + ", want arrays in memory")
		}
		v.raw = appendArrayHead(v.raw, x)
		v.raw = append(v.raw, x.raw...)
	}
	return v
}

func TestKindsOfGGUFPy(t *testing.T) {
	f, err := Open(filepath.Join("testdata", "kinds.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := kindsPairs()
	i := 0
	for key, v := range f.All() {
		if i == len(want) || key != want[i].key {
			t.Fatalf("key %d is %q", i, key)
		}
		got, err := v.Any()
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		wanted, _ := want[i].value.Any()
		if vs, ok := got.([]Value); ok { // nested: compare what they hold
			for j := range vs {
				a, _ := vs[j].Any()
				b, _ := wanted.([]Value)[j].Any()
				if !reflect.DeepEqual(a, b) {
					t.Errorf("%s[%d]: %v, want %v", key, j, a, b)
				}
			}
		} else if !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s: %T %v, want %T %v", key, got, got, wanted, wanted)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("%d keys, want %d", i, len(want))
	}
	for _, c := range []struct {
		name string
		typ  Type
		dims []int
		size int64
	}{
		{"f32", F32, []int{3, 2}, 24}, {"f16", F16, []int{5}, 10}, {"i8", I8, []int{4, 3, 2}, 24}, {"q8_0", Q8_0, []int{64, 3}, 204},
	} {
		x := f.Tensor(c.name)
		if x == nil || x.Type != c.typ || !reflect.DeepEqual(x.Dims, c.dims) || x.Size != c.size || int64(len(x.Data())) != c.size {
			t.Errorf("tensor %s: %+v", c.name, x)
		}
	}
	if got, want := f.Tensor("f32").Data(), []byte{0, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}; !bytes.Equal(got[:12], want) {
		t.Errorf("f32 starts with % x, want % x", got[:12], want)
	}
	if got := f.Tensor("q8_0").Data(); got[0] != 0 || got[203] != 203 {
		t.Errorf("q8_0: % x", got)
	}
}

// Our writer makes the same file from the same content.
func TestWriterEqualsGGUFPy(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "kinds.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("kinds", golden)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "out.gguf")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, p := range kindsPairs() {
		w.Set(p.key, p.value)
	}
	for i := range f.Tensors {
		x := &f.Tensors[i]
		w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
			_, err := io.Copy(dst, io.NewSectionReader(x, 0, x.Size))
			return err
		})
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	equalBytes(t, "kinds.gguf", got, golden)
}

func equalBytes(t *testing.T, name string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: byte %d is %d, want %d (lengths %d and %d)", name, i, got[i], want[i], len(got), len(want))
			return
		}
	}
	t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
}

// The table of types is ggml's own.
func TestTypesOfGGML(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "blocks.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for i := range uint32(64) {
		if x := Type(i); x.Known() {
			fmt.Fprintln(&ours, i, x, x.Block(), x.Bytes())
			if back, err := ParseType(strings.ToLower(x.String())); back != x || err != nil {
				t.Errorf("ParseType(%s) = %d, %v", x, back, err)
			}
		}
	}
	equalBytes(t, "table of types", []byte(ours.String()), golden)
	for _, x := range []Type{4, 5, 31, 36, 43, math.MaxUint32} {
		if x.Known() || x.Block() != 0 || x.Bytes() != 0 {
			t.Errorf("%s is known", x)
		}
	}
	if _, err := ParseType("q9_9"); err == nil {
		t.Error("ParseType(q9_9): no error")
	}
}
