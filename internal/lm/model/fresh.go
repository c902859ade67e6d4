package model

import (
	"math"
	"math/rand/v2"
	"strings"

	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/format/weights"
)

// initStd is the spread of fresh matrices; those that write into the residual stream get 1/sqrt(2·layers) of it, so
// that the stream does not grow with depth. Source: Radford et al. 2019 (GPT-2), section 2.3.
const initStd = 0.02

// Fresh makes a trainable model of random weights; the seed decides them.
func Fresh(c Config, seed uint64, precision tensor.Precision) (*Model, error) {
	src := &randomSource{rng: rand.New(rand.NewPCG(seed, 0x6672657368)), layers: c.Layers}
	return Bind(c, src, LoadOptions{Train: true, Precision: precision})
}

// randomSource makes each tensor as it is asked for.
type randomSource struct {
	rng    *rand.Rand
	layers int
}

func (s *randomSource) Tensor(name string) (weights.Tensor, bool) {
	// The name of the newer, split form: fresh models are stored in the older one, which has all of it in one matrix.
	return weights.Tensor{}, !strings.HasSuffix(name, "attn_k_b.weight")
}

func (s *randomSource) Names() []string { return nil }
func (s *randomSource) Close() error    { return nil }

// make returns the random tensor name of shape dims.
func (s *randomSource) make(name string, dims []int) weights.Tensor {
	t := weights.Tensor{Name: name, Type: quant.F32, Dims: dims}
	v := make([]float32, t.Elements())
	std := initStd
	switch {
	case strings.HasSuffix(name, "norm.weight"):
		for i := range v {
			v[i] = 1
		}
		std = 0
	case strings.HasSuffix(name, ".bias"):
		std = 0
	case strings.Contains(name, "attn_output") || strings.Contains(name, "ffn_down"):
		std = initStd / math.Sqrt(2*float64(s.layers))
	}
	if std != 0 {
		for i := range v {
			v[i] = float32(s.rng.NormFloat64() * std)
		}
	}
	t.Data = bytesOf(v)
	return t
}

func bytesOf(v []float32) []byte {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		u := math.Float32bits(x)
		b[4*i], b[4*i+1], b[4*i+2], b[4*i+3] = byte(u), byte(u>>8), byte(u>>16), byte(u>>24)
	}
	return b
}

// Metadata returns the GGUF metadata that describes c, without a vocabulary.
func (c Config) Metadata(name string) *gguf.Metadata {
	md := &gguf.Metadata{}
	u32 := func(key string, v int) { md.Set(c.Arch+"."+key, gguf.ValueOf(uint32(v))) }
	f32 := func(key string, v float64) { md.Set(c.Arch+"."+key, gguf.ValueOf(float32(v))) }
	md.Set("general.architecture", gguf.ValueOf(c.Arch))
	md.Set("general.name", gguf.ValueOf(name))
	u32("block_count", c.Layers)
	u32("context_length", c.Context)
	u32("embedding_length", c.Width)
	c.layerMetadata(md, "feed_forward_length", func(l LayerShape) int { return l.FFN })
	u32("vocab_size", c.Vocab)
	c.layerMetadata(md, "attention.head_count", func(l LayerShape) int { return l.Heads })
	f32("attention.layer_norm_rms_epsilon", c.Eps)
	f32("rope.freq_base", c.Rope.Theta)
	u32("rope.dimension_count", c.Rope.Dim)
	c.scalingMetadata(md, u32, f32)
	if c.MLA == nil {
		c.layerMetadata(md, "attention.head_count_kv", func(l LayerShape) int { return l.KVHeads })
		u32("attention.key_length", c.HeadDim)
		u32("attention.value_length", c.HeadDim)
		return md
	}
	c.mlaMetadata(md, u32, f32)
	return md
}

// layerMetadata writes one number, or an array where layers differ.
func (c Config) layerMetadata(md *gguf.Metadata, key string, of func(LayerShape) int) {
	all := make([]uint32, max(1, len(c.PerLayer)))
	for i := range all {
		all[i] = uint32(of(c.layer(i)))
	}
	if c.PerLayer == nil {
		md.Set(c.Arch+"."+key, gguf.ValueOf(all[0]))
		return
	}
	md.Set(c.Arch+"."+key, gguf.ArrayOf(all))
}

// scalingMetadata writes how positions are stretched. Llama 3's way is not of the metadata: see ropeFactors.
func (c Config) scalingMetadata(md *gguf.Metadata, u32 func(string, int), f32 func(string, float64)) {
	r := c.Rope
	if r.Scaling != "linear" && r.Scaling != "yarn" {
		return
	}
	md.Set(c.Arch+".rope.scaling.type", gguf.ValueOf(r.Scaling))
	f32("rope.scaling.factor", r.Factor)
	u32("rope.scaling.original_context_length", r.Original)
	if r.Scaling != "yarn" {
		return
	}
	if r.Exact {
		md.Set(c.Arch+"."+yarnTruncate, gguf.ValueOf(false))
	}
	f32("rope.scaling.yarn_beta_fast", r.BetaFast)
	f32("rope.scaling.yarn_beta_slow", r.BetaSlow)
	if r.MScale != 0 {
		f32("rope.scaling.yarn_log_multiplier", r.MScale/10)
	} else if m := float64(r.magnitude()); m != yarnScale(r.Factor, 1) {
		f32("rope.scaling.attn_factor", m/yarnScale(r.Factor, 1))
	}
}

// mlaMetadata writes the keys of the form with one attn_kv_b.
func (c Config) mlaMetadata(md *gguf.Metadata, u32 func(string, int), f32 func(string, float64)) {
	m := c.MLA
	u32("attention.head_count_kv", c.Heads)
	if m.QRank > 0 {
		u32("attention.q_lora_rank", m.QRank)
	}
	u32("attention.kv_lora_rank", m.KVRank)
	u32("attention.key_length", m.Nope+m.Rope)
	u32("attention.value_length", m.Value)
	e := c.MoE
	if e == nil {
		return
	}
	u32("leading_dense_block_count", e.Dense)
	u32("expert_count", e.Experts)
	u32("expert_used_count", e.TopK)
	u32("expert_shared_count", e.Shared)
	u32("expert_feed_forward_length", e.FFN)
	u32("expert_group_count", e.Groups)
	u32("expert_group_used_count", e.Keep)
	f32("expert_weights_scale", e.Scale)
	md.Set(c.Arch+".expert_weights_norm", gguf.ValueOf(e.Normalize))
	gate := 1
	if e.Sigmoid {
		gate = 2
	}
	u32("expert_gating_func", gate)
}
