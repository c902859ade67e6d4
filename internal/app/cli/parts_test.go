package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"retort/internal/format/gguf"
)

// split writes a GGUF file in parts, as llama.cpp's gguf-split does: split SRC PREFIX PARTS
func split(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: split SRC PREFIX PARTS")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	f, err := gguf.Open(args[0])
	ts.Check(err)
	defer f.Close()
	for i := range n {
		ts.Check(writePart(f, ts.MkAbs(fmt.Sprintf("%s-%05d-of-%05d.gguf", args[1], i+1, n)), i, n))
	}
}

// writePart writes part i of n: the first has all metadata, each its share of the tensors.
func writePart(f *gguf.File, path string, i, n int) error {
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	if i == 0 {
		for key, v := range f.All() {
			w.Set(key, v)
		}
	}
	w.Set("split.no", gguf.ValueOf(uint16(i)))
	w.Set("split.count", gguf.ValueOf(uint16(n)))
	w.Set("split.tensors.count", gguf.ValueOf(int32(len(f.Tensors))))
	for _, t := range f.Tensors[len(f.Tensors)*i/n : len(f.Tensors)*(i+1)/n] {
		w.Add(t.Name, t.Type, t.Dims, func(dst io.Writer) error {
			_, err := dst.Write(t.Data())
			return err
		})
	}
	return w.Commit(context.Background())
}
