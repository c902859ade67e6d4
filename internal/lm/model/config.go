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
	QKNorm  bool    `json:"-"`              // an RMSNorm of each query and key head (qwen3)

	Rope RopeConfig `json:"-"`
	MLA  *MLAConfig `json:"-"` // nil for grouped-query attention
	MoE  *MoEConfig `json:"-"` // nil where every layer is dense
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
	for _, f := range []struct {
		name   string
		v, max int
	}{
		{"num_hidden_layers", c.Layers, maxLayers}, {"hidden_size", c.Width, maxWidth}, {"vocab_size", c.Vocab, maxVocab},
		{"num_attention_heads", c.Heads, maxWidth}, {"num_key_value_heads", c.KVHeads, maxWidth}, {"head_dim", c.HeadDim, maxWidth},
		{"intermediate_size", c.FFN, maxWidth * 8}, {"max_position_embeddings", c.Context, maxContext},
	} {
		if f.v < 1 || f.v > f.max {
			return fmt.Errorf("model: %s is %d, want 1 to %d", f.name, f.v, f.max)
		}
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("model: %d attention heads are not a multiple of %d key/value heads", c.Heads, c.KVHeads)
	}
	if !(c.Eps > 0 && c.Eps < 1) {
		return fmt.Errorf("model: rms_norm_eps is %g, want between 0 and 1", c.Eps)
	}
	if err := c.checkRope(); err != nil {
		return err
	}
	if m := c.MLA; m != nil {
		for _, n := range []int{m.KVRank, m.Nope, m.Rope, m.Value} {
			if n < 1 || n > maxWidth {
				return fmt.Errorf("model: a width of latent attention is %d, want 1 to %d", n, maxWidth)
			}
		}
	}
	if m := c.MoE; m != nil {
		if m.Experts < 1 || m.Experts > maxExperts || m.TopK < 1 || m.TopK > m.Experts || m.FFN < 1 || m.FFN > maxWidth || m.Dense < 0 || m.Shared < 0 || m.Shared > 64 || !(m.Scale > 0 && m.Scale <= 1e4) {
			return fmt.Errorf("model: %d experts of width %d, %d chosen, %d shared, %d dense layers, weights times %g: not a mixture", m.Experts, m.FFN, m.TopK, m.Shared, m.Dense, m.Scale)
		}
		if m.Groups < 1 || m.Experts%m.Groups != 0 || m.Keep < 1 || m.Keep > m.Groups || m.Experts/m.Groups*m.Keep < m.TopK {
			return fmt.Errorf("model: %d experts in %d groups, %d kept: cannot choose %d", m.Experts, m.Groups, m.Keep, m.TopK)
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
		low := max(math.Floor(r.turns(r.BetaFast)), 0)
		high := min(math.Ceil(r.turns(r.BetaSlow)), float64(r.Dim-1))
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
