package model

import (
	"fmt"
	"math"
	"slices"

	"retort/internal/format/gguf"
)

// keys reads the metadata of one architecture and remembers the first key that has the wrong type.
type keys struct {
	md   *gguf.Metadata
	arch string
	err  error
}

func (k *keys) int(name string, def int) int {
	v, err := k.md.IntOr(k.arch+"."+name, def)
	k.note(err)
	return v
}

func (k *keys) need(name string) int {
	v, err := k.md.Int(k.arch + "." + name)
	k.note(err)
	return v
}

func (k *keys) float(name string, def float64) float64 {
	v, err := k.md.FloatOr(k.arch+"."+name, def)
	k.note(err)
	return v
}

func (k *keys) bool(name string, def bool) bool {
	v, err := k.md.BoolOr(k.arch+"."+name, def)
	k.note(err)
	return v
}

func (k *keys) string(name, def string) string {
	v, err := k.md.StringOr(k.arch+"."+name, def)
	k.note(err)
	return v
}

func (k *keys) note(err error) {
	if err != nil && k.err == nil {
		k.err = err
	}
}

// Supports says whether ConfigFromGGUF knows an architecture.
func Supports(arch string) bool {
	return arch == "llama" || arch == "qwen2" || arch == "qwen3" || arch == "deepseek2"
}

// ConfigFromGGUF reads the configuration from a file's metadata.
func ConfigFromGGUF(f *gguf.File) (Config, error) {
	arch, err := f.Architecture()
	if err != nil {
		return Config{}, err
	}
	if !Supports(arch) {
		return Config{}, fmt.Errorf("model: architecture %q is not supported (llama, qwen2, qwen3, deepseek2 are)", arch)
	}
	k := &keys{md: &f.Metadata, arch: arch}
	c := Config{
		Arch: arch, Width: k.need("embedding_length"), Layers: k.need("block_count"), Context: k.need("context_length"),
		Eps: k.float("attention.layer_norm_rms_epsilon", 0), QKNorm: arch == "qwen3", Tied: f.Tensor("output.weight") == nil,
	}
	k.layers(&c)
	first := func(name string) bool { return f.Tensor("blk.0."+name+".bias") != nil }
	c.Bias = arch == "qwen2" || first("attn_q") || first("attn_k") || first("attn_v")
	c.OutBias, c.MLPBias = first("attn_output"), first("ffn_gate") || first("ffn_up") || first("ffn_down")
	c.HeadDim = k.int("attention.key_length", c.Width/max(c.layer(0).Heads, 1))
	if t := f.Tensor("token_embd.weight"); t != nil && len(t.Dims) == 2 {
		c.Vocab = t.Dims[1]
	} else {
		return c, fmt.Errorf("model: token_embd.weight is missing: the file holds no model (a vocabulary alone?)")
	}
	k.rope(&c)
	if arch == "deepseek2" {
		k.deepseek(&c, f)
	}
	if k.err != nil {
		return c, k.err
	}
	if t := f.Tensor(ropeFreqs); t != nil {
		if t.Type != gguf.F32 {
			return c, fmt.Errorf("model: %s is stored as %v, want F32", ropeFreqs, t.Type)
		}
		c.Rope.Factors = floats32(t.Data())
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	return c, k.checkNeutral(&c)
}

// layers reads what may be one number for all layers or an array of one a layer.
func (k *keys) layers(c *Config) {
	if c.Layers < 1 || c.Layers > maxLayers {
		return // refused by Check; nothing is made of that size before
	}
	heads := k.perLayer("attention.head_count", c.Layers, nil)
	kv := k.perLayer("attention.head_count_kv", c.Layers, heads)
	ffn := k.perLayer("feed_forward_length", c.Layers, nil)
	if k.err != nil {
		return
	}
	c.Heads, c.KVHeads, c.FFN = slices.Max(heads), slices.Max(kv), slices.Max(ffn)
	same, all := true, make([]LayerShape, c.Layers)
	for i := range all {
		all[i] = LayerShape{heads[i], kv[i], ffn[i]}
		same = same && all[i] == all[0]
	}
	if !same {
		c.PerLayer = all
	}
	for i, l := range all {
		if l.Heads == 0 || l.KVHeads == 0 {
			k.note(fmt.Errorf("model: layer %d has %d heads and %d key/value heads (%s.attention.head_count): layers without attention are not supported", i, l.Heads, l.KVHeads, k.arch))
		}
	}
}

// perLayer returns n numbers: those of an array, or one number n times. A key that is missing is an error unless there
// is a default.
func (k *keys) perLayer(name string, n int, def []int) []int {
	key := k.arch + "." + name
	v, ok := k.md.Value(key)
	switch {
	case !ok && def != nil:
		return def
	case ok && v.Kind() == gguf.Array:
		if v.Len() != n {
			k.note(fmt.Errorf("model: %s has %d numbers, want one for each of %d layers", key, v.Len(), n))
			return make([]int, n)
		}
		all, err := k.md.Ints(key)
		k.note(err)
		return all
	}
	return slices.Repeat([]int{k.need(name)}, n)
}

func floats32(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24)
	}
	return v
}

// rope reads how positions rotate. GGUF's llama and deepseek2 store rows such that neighbours form a pair.
//
// A factor without a type is linear, scale_linear is its old name, and 0 means none. Source: llama.cpp,
// src/llama-model.cpp, load_hparams.
func (k *keys) rope(c *Config) {
	r := &c.Rope
	r.Dim = k.int("rope.dimension_count", c.HeadDim)
	r.Theta = k.float("rope.freq_base", 10000)
	r.Pairs = c.Arch == "llama" || c.Arch == "deepseek2"
	r.Factor = k.float("rope.scaling.factor", k.float("rope.scale_linear", 0))
	r.Scaling = k.string("rope.scaling.type", "linear")
	switch {
	case r.Scaling == "none", r.Scaling == "linear" && (r.Factor == 0 || r.Factor == 1):
		r.Scaling, r.Factor = "", 0
		return
	case r.Factor == 0:
		r.Factor = 1
	}
	r.Original = k.int("rope.scaling.original_context_length", c.Context)
	r.BetaFast, r.BetaSlow = k.float("rope.scaling.yarn_beta_fast", 32), k.float("rope.scaling.yarn_beta_slow", 1)
	if r.Scaling == "yarn" {
		r.Exact = !k.bool(yarnTruncate, true)
		r.Magnitude = yarnScale(r.Factor, 1) * k.float("rope.scaling.attn_factor", 1)
		// DeepSeek's files give a tenth of mscale_all_dim; the magnitude then belongs to the softmax scale.
		if m := k.float("rope.scaling.yarn_log_multiplier", 0); m != 0 {
			r.MScale, r.Magnitude = 10*m, 1
		}
	}
}

// yarnTruncate is false where yarn's ramp does not end at whole pairs. The key is our own: llama.cpp always rounds.
const yarnTruncate = "rope.scaling.yarn_truncate"

// deepseek reads what MLA and the mixture of experts need; files from before and after the split of kv_b are read.
func (k *keys) deepseek(c *Config, f *gguf.File) {
	m := &MLAConfig{QRank: k.int("attention.q_lora_rank", 0), KVRank: k.need("attention.kv_lora_rank"), Rope: c.Rope.Dim}
	key := k.int("attention.key_length_mla", k.int("attention.key_length", 0))
	m.Value = k.int("attention.value_length_mla", k.int("attention.value_length", 0))
	m.Nope = key - m.Rope
	c.MLA = m
	c.KVHeads = c.Heads
	c.HeadDim = key
	if c.Rope.Scaling == "yarn" {
		c.Rope.Magnitude = 1
		if c.Rope.MScale == 0 {
			c.Rope.MScale = 1 // files from before yarn_log_multiplier
		}
	}
	n := k.int("expert_count", 0)
	if n == 0 {
		return
	}
	e := &MoEConfig{Experts: n, TopK: k.need("expert_used_count"), Shared: k.int("expert_shared_count", 0), FFN: k.need("expert_feed_forward_length"),
		Dense: k.int("leading_dense_block_count", 0), Groups: max(k.int("expert_group_count", 1), 1), Keep: max(k.int("expert_group_used_count", 1), 1),
		Normalize: k.bool("expert_weights_norm", false), Scale: k.float("expert_weights_scale", 1)}
	if e.Scale == 0 {
		e.Scale = 1
	}
	gate := k.int("expert_gating_func", 1)
	e.Sigmoid = gate == 2
	if gate != 1 && gate != 2 {
		k.note(fmt.Errorf("model: deepseek2.expert_gating_func is %d, want 1 (softmax) or 2 (sigmoid)", gate))
	}
	// V3 files from before the group keys: 256 experts are in 8 groups, of which 4 are kept.
	if n == 256 && f.Tensor("blk.3.exp_probs_b.bias") != nil {
		e.Groups, e.Keep = k.int("expert_group_count", 8), k.int("expert_group_used_count", 4)
	}
	c.MoE = e
}
