package safetensors

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"retort/internal/format/mmap"
)

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

// count is count of ref/golden.py.
func count(n, start int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(start + i)
	}
	return b
}

// dtypes is what ref/golden.py put into dtypes.safetensors.
func dtypes() map[string]Tensor {
	m := map[string]Tensor{
		"bool":              {DType: BOOL, Shape: []int{2}, data: []byte{0, 1}},
		"scalar":            {DType: F32, Shape: []int{}, data: count(4, 0)},
		"empty":             {DType: F32, Shape: []int{0, 7}, data: []byte{}},
		"escaped \"é鍵\\/\n": {DType: U8, Shape: []int{1, 1, 1, 1}, data: []byte{7}},
	}
	for name, d := range map[string]DType{
		"float64": F64, "float32": F32, "float16": F16, "bfloat16": BF16, "int64": I64, "int32": I32, "int16": I16,
		"int8": I8, "uint8": U8, "float8_e4m3fn": F8E4M3, "float8_e5m2": F8E5M2, "float8_e8m0fnu": F8E8M0,
	} {
		m[name] = Tensor{DType: d, Shape: []int{2, 3}, data: count(6*d.Size(), 0)}
	}
	return m
}

func TestReadsTheReference(t *testing.T) {
	f, err := Open(filepath.Join("testdata", "dtypes.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if want := map[string]string{"format": "pt"}; !reflect.DeepEqual(f.Metadata, want) {
		t.Errorf("metadata %v, want %v", f.Metadata, want)
	}
	want := dtypes()
	if len(f.Tensors) != len(want) {
		t.Errorf("%d tensors, want %d", len(f.Tensors), len(want))
	}
	for name, w := range want {
		x := f.Tensor(name)
		if x == nil {
			t.Errorf("no tensor %q", name)
			continue
		}
		if x.DType != w.DType || !reflect.DeepEqual(x.Shape, w.Shape) || !bytes.Equal(x.Data(), w.data) || x.Size != int64(len(w.data)) {
			t.Errorf("%q: %s %v % x, want %s %v % x", name, x.DType, x.Shape, x.Data(), w.DType, w.Shape, w.data)
		}
		if got, err := io.ReadAll(io.NewSectionReader(x, 0, x.Size)); err != nil || !bytes.Equal(got, w.data) {
			t.Errorf("%q: ReadAt gives % x, error %v", name, got, err)
		}
		if want := len(w.data) / w.DType.Size(); x.Elements() != want {
			t.Errorf("%q: %d elements, want %d", name, x.Elements(), want)
		}
	}
	if f.Tensor("none") != nil {
		t.Error("a tensor that is not there")
	}
}

func sources(tensors []Tensor) []Source {
	var list []Source
	for i := range tensors {
		x := &tensors[i]
		list = append(list, Source{x.Name, x.DType, x.Shape, func(dst io.Writer) error {
			_, err := dst.Write(x.data)
			return err
		}})
	}
	return list
}

func TestWritesAsTheReference(t *testing.T) {
	golden := filepath.Join("testdata", "dtypes.safetensors")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []Tensor
	for name, x := range dtypes() { // in any order
		x.Name = name
		tensors = append(tensors, x)
	}
	path := filepath.Join(t.TempDir(), "out.safetensors")
	if err := WriteFile(context.Background(), path, map[string]string{"format": "pt"}, sources(tensors)); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	equalBytes(t, golden, got, want)
}

func TestShards(t *testing.T) {
	golden := filepath.Join("testdata", "sharded")
	f, err := Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := []Tensor{
		{Name: "model.b", DType: F32, Shape: []int{4, 2}, data: count(32, 0)},
		{Name: "model.a", DType: BF16, Shape: []int{4}, data: count(8, 100)},
		{Name: "lm_head", DType: F32, Shape: []int{5, 2}, data: count(40, 50)},
	}
	for i, w := range want {
		x := f.Tensors[i]
		if x.Name != w.Name || x.DType != w.DType || !reflect.DeepEqual(x.Shape, w.Shape) || !bytes.Equal(x.Data(), w.data) || f.Tensor(w.Name) != &f.Tensors[i] {
			t.Errorf("tensor %d: %+v, want %+v", i, x, w)
		}
	}

	dir := t.TempDir()
	if err := WriteSharded(context.Background(), dir, 40, f.Metadata, sources(want)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(golden)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, errA := os.ReadFile(filepath.Join(dir, e.Name()))
		b, errB := os.ReadFile(filepath.Join(golden, e.Name()))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		equalBytes(t, e.Name(), a, b)
	}
	if err := WriteSharded(context.Background(), dir, 40, nil, sources(want)); err == nil {
		t.Error("a model was written over another")
	}

	// A limit that holds all of it makes one file; a limit below every tensor makes a shard of each.
	for limit, files := range map[int64]int{80: 1, 1: 4} {
		dir := t.TempDir()
		if err := WriteSharded(context.Background(), dir, limit, nil, sources(want)); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != files {
			t.Errorf("limit %d: %v, want %d files, error %v", limit, entries, files, err)
		}
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if x := f.Tensor("lm_head"); x == nil || !bytes.Equal(x.Data(), count(40, 50)) {
			t.Errorf("limit %d: lm_head %+v", limit, x)
		}
		f.Close()
	}
}

func TestTruncatedAfterOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.safetensors")
	big := []Tensor{{Name: "x", DType: U8, Shape: []int{1 << 20}, data: make([]byte, 1<<20)}}
	if err := WriteFile(context.Background(), path, nil, sources(big)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 5000); err != nil {
		t.Skipf("a mapped file cannot be shortened here: %v", err)
	}
	if _, err := io.ReadAll(io.NewSectionReader(f.Tensor("x"), 0, 1<<20)); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("tensor: %v", err)
	}
}
