package model

import (
	"fmt"
	"math"

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
		Arch: arch, Width: k.need("embedding_length"), Layers: k.need("block_count"), Heads: k.need("attention.head_count"),
		FFN: k.need("feed_forward_length"), Context: k.need("context_length"), Eps: k.float("attention.layer_norm_rms_epsilon", 0),
		Bias: arch == "qwen2", QKNorm: arch == "qwen3", Tied: f.Tensor("output.weight") == nil,
	}
	c.KVHeads = k.int("attention.head_count_kv", c.Heads)
	c.HeadDim = k.int("attention.key_length", c.Width/max(c.Heads, 1))
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
	return c, c.Check()
}

func floats32(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(uint32(b[4*i]) | uint32(b[4*i+1])<<8 | uint32(b[4*i+2])<<16 | uint32(b[4*i+3])<<24)
	}
	return v
}

// rope reads how positions rotate. GGUF's llama and deepseek2 store rows such that neighbours form a pair.
func (k *keys) rope(c *Config) {
	r := &c.Rope
	r.Dim = k.int("rope.dimension_count", c.HeadDim)
	r.Theta = k.float("rope.freq_base", 10000)
	r.Pairs = c.Arch == "llama" || c.Arch == "deepseek2"
	r.Scaling = k.string("rope.scaling.type", "")
	if r.Scaling == "none" {
		r.Scaling = ""
	}
	if r.Scaling == "" {
		return
	}
	r.Factor = k.float("rope.scaling.factor", 1)
	r.Original = k.int("rope.scaling.original_context_length", c.Context)
	r.BetaFast, r.BetaSlow = k.float("rope.scaling.yarn_beta_fast", 32), k.float("rope.scaling.yarn_beta_slow", 1)
	if r.Scaling == "yarn" {
		r.Magnitude = yarnScale(r.Factor, 1) * k.float("rope.scaling.attn_factor", 1)
		// DeepSeek's files give a tenth of mscale_all_dim; the magnitude then belongs to the softmax scale.
		if m := k.float("rope.scaling.yarn_log_multiplier", 0); m != 0 {
			r.MScale, r.Magnitude = 10*m, 1
		}
	}
}

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
