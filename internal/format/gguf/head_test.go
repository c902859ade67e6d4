package gguf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A head is read from any prefix that holds it, and the same as from the whole file; a shorter one wants more.
func TestParseHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	writePart(t, path, 0, 1, 1, "output_norm.weight", 7)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Parse("m", data)
	if err != nil {
		t.Fatal(err)
	}
	size, tensor := int64(len(data)), whole.Tensors[0]
	read := 0
	for n := range data {
		f, err := ParseHead("m", data[:n], size)
		if err != nil {
			if !errors.Is(err, ErrMore) {
				t.Errorf("head of %d bytes: %v", n, err)
			}
			continue
		}
		read++
		got := f.Tensors[0]
		if f.Len() != whole.Len() || got.Name != tensor.Name || got.Offset != tensor.Offset || got.Size != tensor.Size || (got.Data() != nil) != (int64(n) >= tensor.Offset+tensor.Size) {
			t.Errorf("head of %d bytes: %d keys, tensor %+v", n, f.Len(), got)
		}
	}
	if read == 0 {
		t.Error("no head was enough")
	}
	f, err := ParseHead("m", data, size)
	if err != nil || f.Tensors[0].Data()[3] != 7 {
		t.Errorf("the whole file: %v", err)
	}
	end := tensor.Offset + tensor.Size
	for n, want := range map[int64]bool{end - 1: false, end: true} {
		if _, err := ParseHead("m", data[:end-4], n); (err == nil) != want || errors.Is(err, ErrMore) {
			t.Errorf("said to be of %d bytes: %v", n, err)
		}
	}
	// What cannot be there is said at once, not when all has come.
	huge := append([]byte(nil), data[:30]...)
	huge[8+5] = 1 // 2⁴⁰ tensors
	if _, err := ParseHead("m", huge, size); err == nil || errors.Is(err, ErrMore) {
		t.Errorf("impossible count: %v", err)
	}
	many := append([]byte(nil), data[:30]...)
	many[8+2] = 8 // 2¹⁹ tensors may follow in a file so large: no memory is taken before they do
	if n := testing.AllocsPerRun(1, func() { _, err = ParseHead("m", many, 1<<40) }); !errors.Is(err, ErrMore) || n > 20 {
		t.Errorf("many tensors: %v, %v allocations", err, n)
	}
	if _, err := ParseHead("m", data, size-1); err == nil {
		t.Error("a head longer than its file is accepted")
	}
}
