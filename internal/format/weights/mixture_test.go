package weights

import (
	"slices"
	"testing"

	"retort/internal/compute/quant"
)

// stored is a tensor of float32 of these dims, the row first.
func stored(name string, dims ...int) Tensor {
	dims = slices.Clone(dims)
	slices.Reverse(dims)
	return Tensor{Name: name, Type: quant.F32, Dims: dims}
}

// The types are llama.cpp's for the same models: its own quantizer was run on them.
func TestMixtures(t *testing.T) {
	wide, narrow := []int{1536, 256}, []int{576, 192}
	in := Layout{Layers: 28}
	for _, c := range []struct {
		mix, name string
		dims      []int
		want      quant.Type
	}{
		{"q4_k_m", "blk.0.attn_v.weight", wide, quant.Q6_K},
		{"q4_k_m", "blk.4.attn_v.weight", wide, quant.Q4_K},
		{"q4_k_m", "blk.5.ffn_down.weight", wide, quant.Q6_K},
		{"q4_k_m", "blk.5.ffn_up.weight", wide, quant.Q4_K},
		{"q4_k_m", "blk.4.ffn_down.weight", narrow, quant.Q5_0},
		{"q4_k_m", "output.weight", wide, quant.Q6_K},
		{"q4_k_m", "output.weight", narrow, quant.Q8_0},
		{"q4_k_m", "token_embd.weight", wide, quant.Q4_K},
		{"q4_k_s", "blk.3.attn_v.weight", wide, quant.Q5_K},
		{"q4_k_s", "blk.2.ffn_down.weight", narrow, quant.Q5_1},
		{"q4_k_s", "blk.4.attn_v.weight", wide, quant.Q4_K},
		{"q5_k_m", "blk.27.ffn_down.weight", wide, quant.Q6_K},
		{"q5_k_m", "blk.27.attn_k.weight", wide, quant.Q5_K},
		{"q4_0", "blk.0.attn_k.weight", []int{60, 60}, quant.F16},
		{"q8_0", "blk.0.attn_norm.weight", []int{1536}, quant.F32},
		{"q8_0", "blk.0.attn_q.bias", []int{1536}, quant.F32},
		{"q8_0", "blk.3.ffn_gate_inp.weight", wide, quant.F32},
		{"q8_0", "blk.3.ffn_down_exps.weight", []int{1536, 256, 8}, quant.Q8_0},
		{"f16", "output.weight", wide, quant.F16},
		{"q8_0", "a.scalar.weight", nil, quant.F32},
	} {
		m, ok := FindMixture(c.mix)
		if !ok {
			t.Fatalf("no mixture %s", c.mix)
		}
		if got := m.storedAs(stored(c.name, c.dims...), in); got != c.want {
			t.Errorf("%s: %s %v is stored as %v, want %v", c.mix, c.name, c.dims, got, c.want)
		}
	}
	m, _ := FindMixture("Q4_K")
	if got := m.storedAs(stored("token_embd.weight", wide...), Layout{Layers: 28, Tied: true}); got != quant.Q6_K {
		t.Errorf("an embedding that serves as head is stored as %v, want %v", got, quant.Q6_K)
	}
}

// A file that is copied as it is has the number of the type that most of it has, also of one that is only read.
func TestFileTypeOfCopies(t *testing.T) {
	for _, typ := range quant.Types() {
		src := memory{{Name: "a.weight", Type: typ, Dims: []int{4, 512}, Data: make([]byte, 4*typ.RowBytes(512))},
			{Name: "b.weight", Type: quant.F32, Dims: []int{16}, Data: make([]byte, 64)}}
		code := Mixture{}.fileType(src)
		if (code == 0) != (typ == quant.F32) {
			t.Errorf("a file of %v has number %d", typ, code)
		}
		m := Mixture{Name: "q8_0", code: 7}
		if got := m.fileType(src); got != 7 {
			t.Errorf("a q8_0 file has number %d", got)
		}
	}
	src := memory{{Name: "a.weight", Type: quant.IQ4_XS, Dims: []int{256}, Data: make([]byte, 136)}, {Name: "b.weight", Type: quant.Q8_0, Dims: []int{64}, Data: make([]byte, 68)}}
	if got := (Mixture{}).fileType(src); got != 30 {
		t.Errorf("a file of IQ4_XS has number %d, want 30", got)
	}
}
