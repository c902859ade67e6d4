package weights

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/format/safetensors"
)

// entry is a tensor of a file to be made: bytes from start on, one more each.
type entry struct {
	name  string
	dtype safetensors.DType
	shape []int
	start byte
}

func (e entry) data() []byte {
	n := e.dtype.Size()
	for _, d := range e.shape {
		n *= d
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = e.start + byte(i)
	}
	return b
}

func fileOf(t *testing.T, entries ...entry) *safetensors.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	var sources []safetensors.Source
	for _, e := range entries {
		sources = append(sources, safetensors.Source{Name: e.name, DType: e.dtype, Shape: e.shape, Write: func(w io.Writer) error {
			_, err := w.Write(e.data())
			return err
		}})
	}
	if err := safetensors.WriteFile(context.Background(), path, nil, sources); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Parse("x", b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestUnknownTensors: nothing but Hugging Face's own names gets in, and those only in types that can be decoded. A name
// of GGUF's with another type, or beside the tensor of that name, would reach the model as that tensor.
func TestUnknownTensors(t *testing.T) {
	f := fileOf(t,
		entry{"model.norm.weight", safetensors.F32, []int{4}, 0},
		entry{"output_norm.weight", safetensors.F32, []int{4}, 1},
		entry{"token_embd.weight", safetensors.U8, []int{4, 8}, 0},
		entry{"model.embed_tokens.weight", safetensors.I64, []int{4, 8}, 0},
		entry{"vision.weight", safetensors.F32, []int{1}, 0},
		entry{"model.layers.0.mlp.experts.2.up_proj.weight", safetensors.F32, []int{1, 1}, 0},
		entry{"lm_head.weight", safetensors.I64, []int{4, 8}, 0},                  // tied, and the embedding again: left out
		entry{"model.layers.1.mlp.up_proj.weight", safetensors.U8, []int{4}, 0},   // beyond the layers: left out
		entry{"model.layers.0.rotary_emb.inv_freq", safetensors.F64, []int{4}, 0}, // of no use: left out
	)
	_, err := FromSafetensors(f, Layout{Arch: "llama", Layers: 1, Experts: 2, Heads: 1, KVHeads: 1, Tied: true})
	const want = `weights: 5 tensors do not fit:
  model.embed_tokens.weight: dtype I64 cannot be read, want F32, F16 or BF16
  model.layers.0.mlp.experts.2.up_proj.weight: not part of this architecture
  output_norm.weight: not part of this architecture
  token_embd.weight: not part of this architecture
  vision.weight: not part of this architecture`
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
}

// TestStackedExperts: experts follow one another as GGUF has them, as far as they are there and alike.
func TestStackedExperts(t *testing.T) {
	const layer = "model.layers.3.mlp.experts."
	f := fileOf(t,
		entry{layer + "1.up_proj.weight", safetensors.BF16, []int{2, 3}, 100},
		entry{layer + "0.up_proj.weight", safetensors.BF16, []int{2, 3}, 50},
		entry{layer + "0.down_proj.weight", safetensors.F32, []int{3, 2}, 0}, // 1 is missing
		entry{layer + "2.down_proj.weight", safetensors.F32, []int{3, 2}, 0},
		entry{layer + "0.gate_proj.weight", safetensors.F16, []int{3, 2}, 7},
		entry{layer + "1.gate_proj.weight", safetensors.BF16, []int{3, 2}, 0}, // another type
		entry{"model.layers.2.mlp.experts.1.up_proj.weight", safetensors.F32, []int{3, 2}, 0},
	)
	s, err := FromSafetensors(f, Layout{Arch: "deepseek2", Layers: 4, Experts: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name  string
		typ   quant.Type
		dims  []int
		start []byte // of each expert's bytes
	}{
		{"blk.3.ffn_up_exps.weight", quant.BF16, []int{2, 2, 3}, []byte{50, 100}},
		{"blk.3.ffn_down_exps.weight", quant.F32, []int{1, 3, 2}, []byte{0}},
		{"blk.3.ffn_gate_exps.weight", quant.F16, []int{1, 3, 2}, []byte{7}},
		{"blk.2.ffn_up_exps.weight", quant.F32, []int{0}, nil},
	} {
		got, ok := s.Tensor(want.name)
		if !ok || got.Name != want.name || got.Type != want.typ || !slices.Equal(got.Dims, want.dims) {
			t.Errorf("%s is %v %v, want %v %v", want.name, got.Type, got.Dims, want.typ, want.dims)
		}
		size := len(got.Data) / max(len(want.start), 1)
		for i, start := range want.start {
			if part := got.Data[i*size : (i+1)*size]; part[0] != start || part[size-1] != start+byte(size-1) {
				t.Errorf("%s: expert %d is %v", want.name, i, part)
			}
		}
	}
}

// TestNeighbours: Hugging Face's llama turns rows i and i + d/2 of a head of d together, GGUF's 2i and 2i + 1.
func TestNeighbours(t *testing.T) {
	q := entry{"model.layers.0.self_attn.q_proj.weight", safetensors.F32, []int{12, 1}, 0}
	k := entry{"model.layers.0.self_attn.k_proj.weight", safetensors.F32, []int{6, 1}, 0}
	rows := func(order ...int) (b []byte) {
		for _, r := range order {
			b = append(b, q.data()[4*r:4*r+4]...)
		}
		return b
	}
	for _, c := range []struct {
		arch           string
		heads, kvHeads int
		q, k           []byte
	}{
		{"llama", 2, 1, rows(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11), rows(0, 3, 1, 4, 2, 5)},
		{"llama", 6, 3, rows(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), rows(0, 1, 2, 3, 4, 5)}, // heads of one pair
		{"llama", 5, 0, q.data(), k.data()},                                                 // no such model: left for the shape's check
		{"qwen2", 2, 1, q.data(), k.data()},
	} {
		s, err := FromSafetensors(fileOf(t, q, k), Layout{Arch: c.arch, Layers: 1, Heads: c.heads, KVHeads: c.kvHeads})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string][]byte{"blk.0.attn_q.weight": c.q, "blk.0.attn_k.weight": c.k} {
			if got, ok := s.Tensor(name); !ok || !bytes.Equal(got.Data, want) {
				t.Errorf("%s, %d heads: %s is\n%v, want\n%v", c.arch, c.heads, name, got.Data, want)
			}
		}
		if names := strings.Join(s.Names(), " "); names != "blk.0.attn_k.weight blk.0.attn_q.weight" {
			t.Errorf("names are %s", names)
		}
		if _, ok := s.Tensor("blk.0.attn_v.weight"); ok {
			t.Error("a tensor that is not there")
		}
	}
}

// describer is a Source that describes without a copy; wrapped is one that embeds it.
type describer interface {
	Source
	Describe(name string) (Tensor, bool)
}

type wrapped struct{ describer }

// TestDescribeCopiesNothing: whether a tensor is there, and its shape, costs no more for a large one.
func TestDescribeCopiesNothing(t *testing.T) {
	const wide = 1 << 16
	s, err := FromSafetensors(fileOf(t,
		entry{"model.layers.0.self_attn.q_proj.weight", safetensors.F32, []int{4, wide}, 0},
		entry{"model.layers.0.mlp.experts.0.up_proj.weight", safetensors.F32, []int{1, wide}, 0},
		entry{"model.layers.0.mlp.experts.1.up_proj.weight", safetensors.F32, []int{1, wide}, 0},
	), Layout{Arch: "llama", Layers: 1, Experts: 2, Heads: 2, KVHeads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, dims := range map[string][]int{"blk.0.attn_q.weight": {4, wide}, "blk.0.ffn_up_exps.weight": {2, 1, wide}} {
		b := NewBinder(wrapped{s.(describer)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b.Has(name)
		b.Tensor(name, 1, 2) // another shape
		runtime.ReadMemStats(&after)
		got := after.TotalAlloc - before.TotalAlloc
		if got > 4096 {
			t.Errorf("%s: to look at it took %d bytes", name, got)
		}
		if t2, ok := Describe(s, name); !ok || t2.Data != nil || !slices.Equal(t2.Dims, dims) {
			t.Errorf("%s is described as %+v", name, t2)
		}
		if t2 := NewBinder(s).Tensor(name, dims...); len(t2.Data) != 4*t2.Elements() {
			t.Errorf("%s: %d bytes", name, len(t2.Data))
		}
	}
}

// TestNamesBelowPrefixes: what stands before a folder's names is told by its one embedding, and nothing beside it gets in.
func TestNamesBelowPrefixes(t *testing.T) {
	for _, c := range []struct {
		what  string
		names []string
		want  []string // under GGUF's names, or
		fault string
	}{
		{"usual", []string{"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}, []string{"output.weight", "output_norm.weight", "token_embd.weight"}, ""},
		{"trunk", []string{"embed_tokens.weight", "layers.0.mlp.up_proj.bias", "norm.weight"}, []string{"blk.0.ffn_up.bias", "output_norm.weight", "token_embd.weight"}, ""},
		{"trunk with a head", []string{"embed_tokens.weight", "lm_head.weight"}, []string{"output.weight", "token_embd.weight"}, ""},
		{"part", []string{"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"}, []string{"output.weight", "token_embd.weight"}, ""},
		{"newer part", []string{"model.language_model.embed_tokens.weight", "model.language_model.layers.0.self_attn.o_proj.bias", "lm_head.weight"},
			[]string{"blk.0.attn_output.bias", "output.weight", "token_embd.weight"}, ""},
		{"trunk of two minds", []string{"embed_tokens.weight", "model.norm.weight"}, nil, "model.norm.weight: not part"},
		{"part of two minds", []string{"language_model.model.embed_tokens.weight", "model.norm.weight"}, nil, "model.norm.weight: not part"},
		{"two heads", []string{"language_model.model.embed_tokens.weight", "language_model.lm_head.weight", "lm_head.weight"}, nil, "lm_head.weight: is there twice, as lm_head.weight"},
		{"two embeddings", []string{"model.embed_tokens.weight", "vision.embed_tokens.weight"}, nil, "vision.embed_tokens.weight: not part"},
		{"no embedding", []string{"model.norm.weight"}, []string{"output_norm.weight"}, ""},
		{"vision beside it", []string{"language_model.model.embed_tokens.weight", "vision_tower.layers.0.mlp.up_proj.weight"}, nil, "vision_tower.layers.0.mlp.up_proj.weight: not part"},
		{"another word's end", []string{"model.embed_tokens.weight", "model.my_embed_tokens.weight"}, nil, "model.my_embed_tokens.weight: not part"},
	} {
		var entries []entry
		for _, name := range c.names {
			entries = append(entries, entry{name, safetensors.F32, []int{4}, byte(len(entries))})
		}
		s, err := FromSafetensors(fileOf(t, entries...), Layout{Arch: "llama", Layers: 1, Heads: 1, KVHeads: 1})
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.what, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		got := slices.Sorted(slices.Values(s.Names()))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// TestTiedHead: of a tied model a head is left out only if it is the embedding, bit for bit.
func TestTiedHead(t *testing.T) {
	embed := entry{"model.embed_tokens.weight", safetensors.BF16, []int{2, 4}, 1}
	for what, c := range map[string]struct {
		head entry
		kept bool
	}{
		"the same":      {entry{"lm_head.weight", safetensors.BF16, []int{2, 4}, 1}, false},
		"other values":  {entry{"lm_head.weight", safetensors.BF16, []int{2, 4}, 2}, true},
		"another shape": {entry{"lm_head.weight", safetensors.BF16, []int{4, 2}, 1}, true},
		"another type":  {entry{"lm_head.weight", safetensors.F16, []int{2, 4}, 1}, true},
	} {
		for _, tied := range []bool{true, false} {
			s, err := FromSafetensors(fileOf(t, embed, c.head), Layout{Arch: "llama", Layers: 1, Tied: tied})
			if err != nil {
				t.Fatal(err)
			}
			if _, kept := s.Tensor("output.weight"); kept != (c.kept || !tied) {
				t.Errorf("%s, tied %v: kept: %v", what, tied, kept)
			}
		}
	}
}
