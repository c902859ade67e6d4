package gguf

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zeros(n int) func(io.Writer) error {
	return func(dst io.Writer) error {
		_, err := dst.Write(make([]byte, n))
		return err
	}
}

// What goes wrong leaves the old file and nothing else.
func TestFailedWrites(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	for _, c := range []struct {
		name, want string
		ctx        context.Context
		fill       func(w *Writer)
	}{
		{"callback fails", "disk on fire", nil, func(w *Writer) {
			w.Add("x", F32, []int{8}, func(io.Writer) error { return errors.New("disk on fire") })
		}},
		{"too few bytes", `tensor "x": 31 bytes written, want 32`, nil, func(w *Writer) { w.Add("x", F32, []int{8}, zeros(31)) }},
		{"too many bytes", `tensor "x": 1 bytes more`, nil, func(w *Writer) { w.Add("x", F32, []int{8}, zeros(33)) }},
		{"cancelled on the way", "context canceled", stopped, func(w *Writer) {
			w.Add("x", F32, []int{8}, func(dst io.Writer) error { stop(); return zeros(32)(dst) })
		}},
		{"tensor twice", `tensor "x": is there twice`, nil, func(w *Writer) {
			w.Add("x", F32, []int{8}, zeros(32))
			w.Add("x", F32, []int{8}, zeros(32))
		}},
		{"the first bad tensor is told", `tensor "bad"`, nil, func(w *Writer) {
			w.Add("bad", Type(4), []int{8}, zeros(32))
			w.Add("worse", F32, nil, zeros(32))
		}},
		{"row no whole blocks", "no whole blocks", nil, func(w *Writer) { w.Add("x", Q4_K, []int{255}, zeros(144)) }},
		{"dim negative", "dimensions [8 -1]", nil, func(w *Writer) { w.Add("x", F32, []int{8, -1}, zeros(32)) }},
		{"name too long for llama.cpp", "name of 64 bytes", nil, func(w *Writer) { w.Add(strings.Repeat("x", 64), F32, []int{8}, zeros(32)) }},
		{"larger than any file", "more than 2^63", nil, func(w *Writer) {
			w.Add("x", I8, []int{1 << 62}, nil)
			w.Add("y", I8, []int{1 << 62}, nil)
		}},
		{"key empty", "name of 0 bytes", nil, func(w *Writer) { w.Set("", ValueOf("x")) }},
		{"key without value", `metadata "k": has no value`, nil, func(w *Writer) { w.Set("k", Value{}) }},
		{"alignment 3", "power of two", nil, func(w *Writer) { w.Set("general.alignment", ValueOf(uint32(3))) }},
		{"alignment changed late", "became 64", nil, func(w *Writer) {
			w.Add("x", F32, []int{8}, zeros(32))
			w.Set("general.alignment", ValueOf(uint32(64)))
		}},
		{"nested too deep", "nested deeper", nil, func(w *Writer) {
			v := ArrayOf([]int32{1})
			for range 4 {
				v = arrayOfArrays([]Value{v})
			}
			w.Set("k", v)
		}},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "model.gguf")
		if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		c.fill(w)
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		if err := w.Commit(c.ctx); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		w.Abort()
		entries, err := os.ReadDir(dir)
		old, _ := os.ReadFile(path)
		if err != nil || len(entries) != 1 || string(old) != "old" {
			t.Errorf("%s: left %v, content %q, error %v", c.name, entries, old, err)
		}
	}
}

func TestWriteWithAlignment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w.Set("general.alignment", ValueOf(uint32(256)))
	w.Add("x", F32, []int{3}, zeros(12))
	w.Add("y", Q8_0, []int{32, 2}, func(dst io.Writer) error {
		for i := range 68 { // in pieces
			if _, err := dst.Write([]byte{byte(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	y := f.Tensor("y")
	if f.Alignment != 256 || y.Offset-f.Tensor("x").Offset != 256 || y.Data()[67] != 67 {
		t.Errorf("alignment %d, x at %d, y at %d", f.Alignment, f.Tensor("x").Offset, y.Offset)
	}
}
