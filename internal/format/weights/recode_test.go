package weights

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// Parts become one file in the types of the mixture, which tells what it is: a vector stays float32.
func TestRecoding(t *testing.T) {
	floats := func(n int) []byte {
		b := make([]byte, 4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(i)))
		}
		return b
	}
	src := memory{
		{Name: "blk.0.attn_q.weight", Type: quant.F32, Dims: []int{3, 32}, Data: floats(96)},
		{Name: "output_norm.weight", Type: quant.F32, Dims: []int{5}, Data: floats(5)},
	}
	md := &gguf.Metadata{}
	md.Set("general.architecture", gguf.ValueOf("llama"))
	md.Set("split.count", gguf.ValueOf(uint16(2)))
	mix, _ := FindMixture("q8_0")
	pool := par.New(2)
	defer pool.Close()
	last, path := int64(0), filepath.Join(t.TempDir(), "a.gguf")
	r := Recoding{Source: src, Metadata: md, Layout: Layout{Layers: 1}, Mixture: mix, Pool: pool, Told: func(done, _ int64, _ string) { last = done }}
	if err := r.WriteGGUF(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.Value("split.count"); ok {
		t.Error("the file says that it is one of several")
	}
	if n, err := f.Int("general.file_type"); n != 7 || err != nil {
		t.Errorf("general.file_type is %d, %v, want 7", n, err)
	}
	for i, want := range []gguf.Type{gguf.Type(quant.Q8_0), gguf.Type(quant.F32)} {
		if got := f.Tensors[i].Type; got != want {
			t.Errorf("%s is stored as %v, want %v", f.Tensors[i].Name, got, want)
		}
	}
	if last != 4*(96+5) {
		t.Errorf("told of %d bytes, want all 404", last)
	}
}
