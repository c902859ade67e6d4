package model

import (
	"fmt"
	"math"

	"retort/internal/compute/quant"
	"retort/internal/format/weights"
)

// Config is the shape of a model, in the words of the published config.json files.
type Config struct {
	Arch    string  `json:"model_type"` // llama, qwen2, qwen3 or deepseek2
	Vocab   int     `json:"vocab_size"`
	Width   int     `json:"hidden_size"`
	Layers  int     `json:"num_hidden_layers"`
	Heads   int     `json:"num_attention_heads"`
	KVHeads int     `json:"num_key_value_heads"`
	HeadDim int     `json:"head_dim"`
	FFN     int     `json:"intermediate_size"`
	Context int     `json:"max_position_embeddings"`
	Eps     float64 `json:"rms_norm_eps"`
	Tied    bool    `json:"tie_word_embeddings"`
	Bias    bool    `json:"attention_bias"` // of the query, key and value projections (qwen2)
	OutBias bool    `json:"-"`              // of the attention's output projection
	MLPBias bool    `json:"mlp_bias"`       // of gate, up and down
	QKNorm  bool    `json:"-"`              // an RMSNorm of each query and key head (qwen3)

	// PerLayer is nil where all layers are alike; else Heads, KVHeads and FFN are the most that a layer has.
	PerLayer []LayerShape `json:"-"`

	Rope RopeConfig `json:"-"`
	MLA  *MLAConfig `json:"-"` // nil for grouped-query attention
	MoE  *MoEConfig `json:"-"` // nil where every layer is dense
}

// LayerShape is what may differ from layer to layer.
type LayerShape struct{ Heads, KVHeads, FFN int }

// layer returns the shape of layer i.
func (c *Config) layer(i int) LayerShape {
	if c.PerLayer == nil {
		return LayerShape{c.Heads, c.KVHeads, c.FFN}
	}
	return c.PerLayer[i]
}

// RopeConfig says how positions rotate queries and keys.
type RopeConfig struct {
	Dim     int     // values of a head that rotate
	Theta   float64 // base of the frequencies
	Pairs   bool    // (2i, 2i+1) instead of (i, i+Dim/2)
	Scaling string  // "", linear, llama3 or yarn
	Factor  float64
	// Original is the context the model was trained with before it was stretched (yarn, llama3).
	Original           int
	BetaFast, BetaSlow float64 // yarn
	Exact              bool    // yarn: the ends of the ramp are not rounded to whole pairs
	LowFreq, HighFreq  float64 // llama3
	// MScale is yarn's mscale_all_dim: the softmax scale grows by (0.1·MScale·ln Factor + 1)².
	MScale float64
	// Magnitude multiplies cosines and sines (yarn without MScale: 0.1·ln Factor + 1); 0 means 1.
	Magnitude float64
	// Factors divide the frequencies one by one (rope_freqs.weight of Llama 3 GGUF files).
	Factors []float32
}

// MLAConfig is the shape of multi-head latent attention.
type MLAConfig struct {
	QRank, KVRank     int // QRank 0: queries are projected directly
	Nope, Rope, Value int // widths of a head
}

// MoEConfig is the shape of a mixture of experts.
type MoEConfig struct {
	Experts, TopK, Shared int
	FFN                   int // width of one expert
	Dense                 int // leading layers that are not mixtures
	Groups, Keep          int
	Sigmoid, Normalize    bool
	Scale                 float64
}

// Limits on what a file may claim; beyond them it is broken or hostile.
const (
	maxLayers  = 1024
	maxWidth   = 1 << 17
	maxVocab   = 1 << 21
	maxContext = 1 << 24
	maxExperts = 4096
)

// Check reports the first thing that no model can have.
func (c *Config) Check() error {
	err := within([]bound{
		{"num_hidden_layers", c.Layers, 1, maxLayers}, {"hidden_size", c.Width, 1, maxWidth}, {"vocab_size", c.Vocab, 1, maxVocab},
		{"head_dim", c.HeadDim, 1, maxWidth}, {"max_position_embeddings", c.Context, 1, maxContext},
	})
	if err != nil {
		return err
	}
	if c.PerLayer != nil && len(c.PerLayer) != c.Layers {
		return fmt.Errorf("model: shapes of %d layers, want %d", len(c.PerLayer), c.Layers)
	}
	if err := (LayerShape{c.Heads, c.KVHeads, c.FFN}).check(c.PerLayer == nil); err != nil {
		return err
	}
	for i, l := range c.PerLayer {
		if err := l.check(true); err != nil {
			return fmt.Errorf("model: layer %d: %w", i, err)
		}
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		return fmt.Errorf("model: rms_norm_eps is %g, want between 0 and 1", c.Eps)
	}
	if err := c.checkRope(); err != nil {
		return err
	}
	if m := c.MLA; m != nil {
		err := within([]bound{{"q_lora_rank", m.QRank, 0, maxWidth}, {"kv_lora_rank", m.KVRank, 1, maxWidth}, {"qk_nope_head_dim", m.Nope, 1, maxWidth},
			{"qk_rope_head_dim", m.Rope, 1, maxWidth}, {"v_head_dim", m.Value, 1, maxWidth}})
		if err != nil {
			return err
		}
	}
	if c.MoE != nil {
		return c.MoE.check()
	}
	return nil
}

// check reports what no layer can have. Of the most that layers have heads need not fit to each other.
func (l LayerShape) check(one bool) error {
	err := within([]bound{{"num_attention_heads", l.Heads, 1, maxWidth}, {"num_key_value_heads", l.KVHeads, 1, maxWidth}, {"intermediate_size", l.FFN, 1, maxWidth * 8}})
	if err == nil && one && l.Heads%l.KVHeads != 0 {
		err = fmt.Errorf("model: %d attention heads are not a multiple of %d key/value heads", l.Heads, l.KVHeads)
	}
	return err
}

func (m *MoEConfig) check() error {
	err := within([]bound{{"n_routed_experts", m.Experts, 1, maxExperts}, {"num_experts_per_tok", m.TopK, 1, m.Experts},
		{"moe_intermediate_size", m.FFN, 1, maxWidth}, {"n_shared_experts", m.Shared, 0, 64}, {"first_k_dense_replace", m.Dense, 0, maxLayers},
		{"n_group", m.Groups, 1, m.Experts}, {"topk_group", m.Keep, 1, m.Groups}})
	switch {
	case err != nil:
		return err
	case !(m.Scale > 0 && m.Scale <= 1e4):
		return fmt.Errorf("model: routed_scaling_factor is %g, want above 0, to 1e4", m.Scale)
	case m.Experts%m.Groups != 0:
		return fmt.Errorf("model: n_group is %d, want a divisor of %d experts", m.Groups, m.Experts)
	case m.Experts/m.Groups*m.Keep < m.TopK:
		return fmt.Errorf("model: num_experts_per_tok is %d, want at most %d: the experts of %d groups of %d", m.TopK, m.Experts/m.Groups*m.Keep, m.Keep, m.Groups)
	}
	return nil
}

// bound is what a number of a configuration may be.
type bound struct {
	key      string
	v        int
	min, max int
}

// within reports the first number that is out of its bounds.
func within(bounds []bound) error {
	for _, b := range bounds {
		if b.v < b.min || b.v > b.max {
			return fmt.Errorf("model: %s is %d, want %d to %d", b.key, b.v, b.min, b.max)
		}
	}
	return nil
}

func (c *Config) checkRope() error {
	r := c.Rope
	if r.Dim < 2 || r.Dim%2 != 0 || r.Dim > maxWidth || c.MLA == nil && r.Dim > c.HeadDim {
		return fmt.Errorf("model: %d rotated values of a head of %d", r.Dim, c.HeadDim)
	}
	if !(r.Theta >= 1 && r.Theta <= 1e12) {
		return fmt.Errorf("model: rope_theta is %g, want 1 to 1e12", r.Theta)
	}
	for i, f := range r.Factors {
		if !(f >= 1e-3 && f <= 1e6) {
			return fmt.Errorf("model: rope factor %d is %g, want 0.001 to 1e6", i, f)
		}
	}
	if r.Factors != nil && len(r.Factors) != r.Dim/2 {
		return fmt.Errorf("model: %d rope factors, want %d", len(r.Factors), r.Dim/2)
	}
	return r.checkScaling()
}

func (r *RopeConfig) checkScaling() error {
	switch r.Scaling {
	case "":
		return nil
	case "linear", "yarn", "llama3":
	default:
		return fmt.Errorf("model: rope scaling %q is not supported", r.Scaling)
	}
	if !(r.Factor >= 1 && r.Factor <= 1e6) {
		return fmt.Errorf("model: rope scaling factor is %g, want 1 to 1e6", r.Factor)
	}
	if r.Scaling != "linear" && (r.Original < 1 || r.Original > maxContext) {
		return fmt.Errorf("model: rope scaling from a context of %d, want 1 to %d", r.Original, maxContext)
	}
	if r.Scaling == "llama3" && !(r.LowFreq > 0 && r.HighFreq > r.LowFreq && r.HighFreq <= 1e6) {
		return fmt.Errorf("model: rope scaling between wave numbers %g and %g, want rising ones from above 0 to 1e6", r.LowFreq, r.HighFreq)
	}
	if r.Scaling != "yarn" {
		return nil
	}
	if !(r.BetaSlow > 0 && r.BetaFast >= r.BetaSlow && r.BetaFast <= 1e6) || r.Theta == 1 {
		return fmt.Errorf("model: yarn between %g and %g turns to the base %g, want rising numbers from above 0 to 1e6 and a base above 1", r.BetaSlow, r.BetaFast, r.Theta)
	}
	if !(r.MScale >= 0 && r.MScale <= 100) || !(r.Magnitude >= 0 && r.Magnitude <= 100) {
		return fmt.Errorf("model: yarn with mscale_all_dim %g and magnitude %g, want 0 to 100", r.MScale, r.Magnitude)
	}
	return nil
}

// frequencies returns the angular frequency of each rotated pair.
//
// YaRN: freq/factor where the wave is longer than the original context, freq where it turns often in it, a ramp
// between. Source: Peng et al. 2023, arXiv 2309.00071, section 3; bounds as DeepSeek's code computes them.
func (r *RopeConfig) frequencies() []float64 {
	f := make([]float64, r.Dim/2)
	for i := range f {
		f[i] = math.Pow(r.Theta, -2*float64(i)/float64(r.Dim))
		if r.Factors != nil {
			f[i] /= float64(r.Factors[i])
		}
	}
	switch r.Scaling {
	case "linear":
		for i := range f {
			f[i] /= r.Factor
		}
	case "yarn":
		low, high := r.turns(r.BetaFast), r.turns(r.BetaSlow)
		if !r.Exact {
			low, high = math.Floor(low), math.Ceil(high)
		}
		low, high = max(low, 0), min(high, float64(r.Dim-1))
		for i := range f {
			ramp := min(max((float64(i)-low)/max(high-low, 0.001), 0), 1)
			f[i] = f[i]/r.Factor*ramp + f[i]*(1-ramp)
		}
	case "llama3":
		for i := range f {
			f[i] = r.llama3(f[i])
		}
	}
	return f
}

// RopeTensor returns the tensor rope_freqs.weight that a GGUF file of c has: with Llama 3's scaling the divisors of the
// frequencies, one a pair, [Rope.Dim/2]; else nil. A folder says the same in config.json. llama.cpp knows it for llama alone.
func (c *Config) RopeTensor() *weights.Tensor {
	factors := c.Rope.ropeFactors()
	if factors == nil {
		return nil
	}
	return &weights.Tensor{Name: ropeFreqs, Type: quant.F32, Dims: []int{len(factors)}, Data: bytesOf(factors)}
}

// ropeFactors returns what a GGUF file stores as rope_freqs.weight: the divisors of the frequencies, or nil for none.
func (r *RopeConfig) ropeFactors() []float32 {
	if r.Scaling != "llama3" {
		return r.Factors
	}
	plain := RopeConfig{Dim: r.Dim, Theta: r.Theta}
	p, out := plain.frequencies(), make([]float32, r.Dim/2)
	for i, f := range r.frequencies() {
		out[i] = float32(p[i] / f)
	}
	return out
}

// turns returns the pair index whose wave turns beta times within the original context.
func (r *RopeConfig) turns(beta float64) float64 {
	return float64(r.Dim) * math.Log(float64(r.Original)/(beta*2*math.Pi)) / (2 * math.Log(r.Theta))
}

func (r *RopeConfig) llama3(f float64) float64 {
	wave := 2 * math.Pi / f
	low, high := float64(r.Original)/r.LowFreq, float64(r.Original)/r.HighFreq
	switch {
	case wave > low:
		return f / r.Factor
	case wave < high:
		return f
	}
	smooth := (float64(r.Original)/wave - r.LowFreq) / (r.HighFreq - r.LowFreq)
	return (1-smooth)*f/r.Factor + smooth*f
}

// softmaxScale returns what multiplies the attention scores.
func (c *Config) softmaxScale() float32 {
	width := c.HeadDim
	if c.MLA != nil {
		width = c.MLA.Nope + c.MLA.Rope
	}
	scale := 1 / math.Sqrt(float64(width))
	if r := c.Rope; r.Scaling == "yarn" && r.MScale != 0 {
		m := 0.1*r.MScale*math.Log(r.Factor) + 1
		scale *= m * m
	}
	return float32(scale)
}

// magnitude returns what multiplies cosines and sines.
func (r *RopeConfig) magnitude() float32 {
	if r.Magnitude == 0 {
		return 1
	}
	return float32(r.Magnitude)
}
