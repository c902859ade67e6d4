package model

import (
	"context"
	"io"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
)

// TestDefaultsOfOldFiles: what files say that were written before a key was there.
func TestDefaultsOfOldFiles(t *testing.T) {
	f32 := func(v float64) gguf.Value { return gguf.ValueOf(float32(v)) }
	yarn := map[string]gguf.Value{"rope.scaling.type": gguf.ValueOf("yarn"), "rope.scaling.factor": f32(40), "rope.scaling.original_context_length": gguf.ValueOf(uint32(16))}
	c, err := configWith(t, tinyDeepSeek(), yarn) // without yarn_log_multiplier
	if err != nil || c.Rope.MScale != 1 || c.Rope.Magnitude != 1 {
		t.Errorf("yarn of an old DeepSeek file: mscale %g, magnitude %g (%v)", c.Rope.MScale, c.Rope.Magnitude, err)
	}

	// 256 experts and the balancing bias are V3's, whose groups old files do not tell.
	v3 := tinyDeepSeek()
	v3.MoE.Experts, v3.MoE.TopK = 256, 8
	path := filepath.Join(t.TempDir(), "v3.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for key, v := range v3.Metadata("x").All() {
		if !strings.Contains(key, "expert_group") {
			w.Set(key, v)
		}
	}
	for name, dims := range map[string][]int{"token_embd.weight": {1, 3}, "blk.3.exp_probs_b.bias": {3}} {
		w.Add(name, gguf.F32, dims, func(dst io.Writer) error { _, err := dst.Write(make([]byte, 12)); return err })
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err = ConfigFromGGUF(f); err != nil || c.MoE.Groups != 8 || c.MoE.Keep != 4 {
		t.Errorf("old V3 file: %d groups, %d kept, want 8 and 4 (%v)", c.MoE.Groups, c.MoE.Keep, err)
	}

	c, err = ConfigFromJSON([]byte(strings.Replace(plainLlama, `"llama"`, `"qwen3"`, 1)))
	if err != nil || c.HeadDim != 128 {
		t.Errorf("qwen3 without head_dim: %d, want 128 (%v)", c.HeadDim, err)
	}

	// V2's code scales the weights of experts only where it does not normalize them; V3's does both.
	moe := `"q_lora_rank":null,"kv_lora_rank":16,"qk_nope_head_dim":8,"qk_rope_head_dim":4,"v_head_dim":8,"n_routed_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":8,"routed_scaling_factor":16,"norm_topk_prob":`
	for kind, want := range map[string]float64{`"deepseek_v2"true`: 1, `"deepseek_v2"false`: 16, `"deepseek_v3"true`: 16} {
		name, norm := kind[:13], kind[13:]
		c, err := ConfigFromJSON([]byte(strings.Replace(strings.Replace(plainLlama, `"llama"`, name, 1), `}`, `,`+moe+norm+`}`, 1)))
		if err != nil || c.MoE.Scale != want {
			t.Errorf("%s: %+v, want a scale of %g (%v)", kind, c.MoE, want, err)
		}
	}
}

// TestFileTypes are llama.cpp's numbers (llama.h, llama_ftype).
func TestFileTypes(t *testing.T) {
	for typ, want := range map[quant.Type]int{quant.F32: 0, quant.F16: 1, quant.Q4_0: 2, quant.Q4_1: 3, quant.Q8_0: 7, quant.Q5_0: 8, quant.Q5_1: 9, quant.Q4_K: 15, quant.Q6_K: 18, quant.BF16: 32} {
		if got := fileType(typ); got != want {
			t.Errorf("%v: %d, want %d", typ, got, want)
		}
	}
}

// TestFreshSpread: what writes into the residual stream begins smaller with depth, as GPT-2's does; all else has one spread.
func TestFreshSpread(t *testing.T) {
	c := tinyLlama()
	c.Width, c.FFN, c.Layers = 64, 256, 8
	m, err := Fresh(c, 1, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		if p.Weight == nil {
			continue
		}
		want := 0.02
		if strings.Contains(p.Name, "attn_output") || strings.Contains(p.Name, "ffn_down") {
			want /= 4 // sqrt(2·8)
		}
		sum := 0.0
		for _, v := range p.Weight.Data {
			sum += float64(v) * float64(v)
		}
		// 1,500 values and more: their spread is known to some 2 %.
		if got := math.Sqrt(sum / float64(len(p.Weight.Data))); math.Abs(got-want) > want/10 {
			t.Errorf("%s: spread %g, want %g", p.Name, got, want)
		}
	}
}

// TestBalancingBiasKeepsFloat32: a folder in bf16 holds it as F32.
func TestBalancingBiasKeepsFloat32(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := lively(t, tinyDeepSeek(), 2).WriteSafetensors(context.Background(), dir, quant.BF16); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := 0
	for _, x := range f.Tensors {
		bias := strings.HasSuffix(x.Name, "e_score_correction_bias")
		if bias {
			found++
		}
		if (x.DType == safetensors.F32) != bias {
			t.Errorf("%s is %s", x.Name, x.DType)
		}
	}
	if found == 0 {
		t.Error("there is no balancing bias")
	}
}

// TestAdapterOfExperts: a change is of an expert that is there, and merged matrices keep the halves in which they are stored.
func TestAdapterOfExperts(t *testing.T) {
	for from, want := range map[quant.Type]quant.Type{quant.F32: quant.F32, quant.F16: quant.F16, quant.BF16: quant.BF16, quant.Q8_0: quant.F32, quant.Q4_K: quant.F32} {
		if got := mergedAs(from); got != want {
			t.Errorf("merged into %v: %v, want %v", from, got, want)
		}
	}
	c := tinyDeepSeek()
	src := inMemory(t, c)
	for expert, want := range map[int]string{0: "", c.MoE.Experts - 1: "", c.MoE.Experts: "no such expert"} {
		ch := &change{module: "x", out: c.MoE.FFN, in: c.Width, rank: 1}
		err := ch.fits(src, c, changed{"blk.1.ffn_up_exps.weight", expert})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("expert %d: %v, want %q", expert, err, want)
		}
	}
}
