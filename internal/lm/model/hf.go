package model

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"retort/internal/format/atomicfile"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

// ConfigName is the configuration in a folder of safetensors.
const ConfigName = "config.json"

const maxConfigBytes = 1 << 20

// hfConfig is config.json as Hugging Face's transformers write it. Pointers tell a key that is missing from a zero.
type hfConfig struct {
	Architectures []string `json:"architectures,omitempty"`
	ModelType     string   `json:"model_type"`
	DType         string   `json:"torch_dtype,omitempty"`
	Vocab         int      `json:"vocab_size"`
	Width         int      `json:"hidden_size"`
	Layers        int      `json:"num_hidden_layers"`
	Heads         int      `json:"num_attention_heads"`
	KVHeads       *int     `json:"num_key_value_heads,omitempty"`
	HeadDim       *int     `json:"head_dim,omitempty"`
	FFN           int      `json:"intermediate_size"`
	Context       int      `json:"max_position_embeddings"`
	Act           string   `json:"hidden_act"` // see neutralHF
	Eps           *float64 `json:"rms_norm_eps"`
	Tied          bool     `json:"tie_word_embeddings"`
	Bias          bool     `json:"attention_bias"`
	MLPBias       bool     `json:"mlp_bias,omitempty"`
	SlidingWindow *bool    `json:"use_sliding_window,omitempty"`
	Window        *int     `json:"sliding_window,omitempty"`
	WindowLayers  *int     `json:"max_window_layers,omitempty"` // so many first layers have no window

	Theta    *float64 `json:"rope_theta"`
	Scaling  *hfRope  `json:"rope_scaling"`
	Rope     *hfRope  `json:"rope_parameters,omitempty"` // newer files put both of the above here
	Original int      `json:"original_max_position_embeddings,omitempty"`

	QRank       *int     `json:"q_lora_rank,omitempty"`
	KVRank      int      `json:"kv_lora_rank,omitempty"`
	NopeDim     int      `json:"qk_nope_head_dim,omitempty"`
	RopeDim     int      `json:"qk_rope_head_dim,omitempty"`
	ValueDim    int      `json:"v_head_dim,omitempty"`
	Experts     *int     `json:"n_routed_experts,omitempty"`
	TopK        int      `json:"num_experts_per_tok,omitempty"`
	Shared      *int     `json:"n_shared_experts,omitempty"`
	ExpertFFN   int      `json:"moe_intermediate_size,omitempty"`
	Dense       int      `json:"first_k_dense_replace,omitempty"`
	EveryLayer  *int     `json:"moe_layer_freq,omitempty"`
	Groups      *int     `json:"n_group,omitempty"`
	Keep        *int     `json:"topk_group,omitempty"`
	TopKMethod  string   `json:"topk_method,omitempty"`
	ScoringFunc string   `json:"scoring_func,omitempty"`
	Normalize   *bool    `json:"norm_topk_prob,omitempty"`
	ExpertScale *float64 `json:"routed_scaling_factor,omitempty"`

	Quantization json.RawMessage `json:"quantization_config,omitempty"`
}

// hfRope is rope_scaling, or rope_parameters.
type hfRope struct {
	Type       string   `json:"rope_type,omitempty"`
	OldType    string   `json:"type,omitempty"`
	Theta      *hfFloat `json:"rope_theta,omitempty"`
	Factor     hfFloat  `json:"factor,omitempty"`
	Original   int      `json:"original_max_position_embeddings,omitempty"`
	BetaFast   *hfFloat `json:"beta_fast,omitempty"`
	BetaSlow   *hfFloat `json:"beta_slow,omitempty"`
	MScale     hfFloat  `json:"mscale,omitempty"`
	MScaleAll  hfFloat  `json:"mscale_all_dim,omitempty"`
	Attention  *hfFloat `json:"attention_factor,omitempty"`
	LowFactor  *hfFloat `json:"low_freq_factor,omitempty"`
	HighFactor *hfFloat `json:"high_freq_factor,omitempty"`
	Truncate   *bool    `json:"truncate,omitempty"`
	Partial    *float64 `json:"partial_rotary_factor,omitempty"`
	Sections   []int    `json:"mrope_section,omitempty"`

	// Where layers of several kinds have parameters each.
	Full    *hfRope `json:"full_attention,omitempty"`
	Sliding *hfRope `json:"sliding_attention,omitempty"`
}

// hfFloat is a number that is written with a point: transformers refuse a factor of 2 and take 2.0.
type hfFloat float64

// MarshalJSON writes the fewest digits that tell f in float32, which is what GGUF files keep.
func (f hfFloat) MarshalJSON() ([]byte, error) {
	s := strconv.FormatFloat(float64(f), 'g', -1, 32)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return []byte(s), nil
}

func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

func orFloat(p *hfFloat, def float64) float64 { return float64(or(p, hfFloat(def))) }

// ConfigFromJSON reads the configuration from the content of config.json: model_type llama, qwen2, qwen3, deepseek_v2 or
// deepseek_v3. Keys that are missing have the values that transformers give them.
func ConfigFromJSON(b []byte) (Config, error) {
	var h hfConfig
	if err := json.Unmarshal(b, &h); err != nil {
		return Config{}, fmt.Errorf("model: config.json: %w", err)
	}
	c := Config{Arch: h.ModelType, Vocab: h.Vocab, Width: h.Width, Layers: h.Layers, Heads: h.Heads, KVHeads: or(h.KVHeads, h.Heads),
		FFN: h.FFN, Context: h.Context, Eps: or(h.Eps, 1e-6), Tied: h.Tied}
	c.HeadDim = or(h.HeadDim, h.Width/max(h.Heads, 1))
	switch h.ModelType {
	case "llama":
		c.Bias, c.OutBias, c.MLPBias = h.Bias, h.Bias, h.MLPBias
	case "qwen2":
		c.Bias = true // and none of the output, whatever attention_bias says
	case "qwen3":
		c.Bias, c.OutBias = h.Bias, h.Bias
		c.QKNorm, c.HeadDim = true, or(h.HeadDim, 128)
	case "deepseek_v2", "deepseek_v3":
		c.Arch = "deepseek2"
		h.deepseek(&c)
	default:
		return c, fmt.Errorf("model: model_type %q is not supported (llama, qwen2, qwen3, deepseek_v2, deepseek_v3 are)", h.ModelType)
	}
	if err := h.check(); err != nil {
		return c, err
	}
	if err := h.rope(&c); err != nil {
		return c, err
	}
	if err := c.Check(); err != nil {
		return c, err
	}
	return c, checkNeutralHF(&c, b)
}

// check refuses what would be read wrongly, beside neutralHF.
func (h *hfConfig) check() error {
	switch {
	case len(h.Quantization) > 0 && string(h.Quantization) != "null":
		return fmt.Errorf("model: quantized safetensors are not read (quantization_config %.80s): take the model in bf16, or a GGUF file", h.Quantization)
	case h.Bias && strings.HasPrefix(h.ModelType, "deepseek"):
		return fmt.Errorf("model: attention_bias of model_type %q is not supported", h.ModelType)
	case h.MLPBias && h.ModelType != "llama":
		return fmt.Errorf("model: mlp_bias of model_type %q is not supported", h.ModelType)
	case h.windowed():
		return fmt.Errorf("model: attention in a sliding window (sliding_window %d of a context of %d) is not supported", or(h.Window, 0), h.Context)
	}
	return nil
}

// windowed says whether a layer does not see the whole context. Qwen's window is there only if use_sliding_window says so.
func (h *hfConfig) windowed() bool {
	on := h.Window != nil && !strings.HasPrefix(h.ModelType, "qwen")
	if h.SlidingWindow != nil {
		on = *h.SlidingWindow
	}
	if !on || or(h.WindowLayers, 0) >= h.Layers && h.WindowLayers != nil {
		return false
	}
	return h.Window == nil || *h.Window < h.Context
}

// deepseek reads what MLA and the mixture of experts need.
func (h *hfConfig) deepseek(c *Config) {
	c.MLA = &MLAConfig{QRank: or(h.QRank, 0), KVRank: h.KVRank, Nope: h.NopeDim, Rope: h.RopeDim, Value: h.ValueDim}
	c.KVHeads, c.HeadDim = c.Heads, h.NopeDim+h.RopeDim
	n := or(h.Experts, 0)
	if n == 0 {
		return
	}
	v3 := h.ModelType == "deepseek_v3"
	e := &MoEConfig{Experts: n, TopK: h.TopK, Shared: or(h.Shared, 0), FFN: h.ExpertFFN, Dense: h.Dense, Groups: 1, Keep: 1,
		Sigmoid: v3, Normalize: or(h.Normalize, v3), Scale: or(h.ExpertScale, 1)}
	if h.ScoringFunc != "" {
		e.Sigmoid = h.ScoringFunc == "sigmoid"
	}
	if h.TopKMethod != "greedy" && (v3 || h.TopKMethod != "") {
		e.Groups, e.Keep = or(h.Groups, 1), or(h.Keep, 1)
	}
	if !v3 && e.Normalize {
		e.Scale = 1 // V2's code scales only weights that it does not normalize
	}
	c.MoE = e
}

// scaling returns how positions rotate, from whichever key says it, or nil.
func (h *hfConfig) scaling() (*hfRope, error) {
	s := h.Scaling
	if h.Rope != nil {
		s = h.Rope
		if s.Full != nil {
			s = s.Full // layers of other kinds are refused by layer_types
		}
		if h.Scaling != nil && (h.Scaling.kind() != s.kind() || h.Scaling.Factor != s.Factor) {
			return nil, fmt.Errorf("model: rope_scaling (%q, factor %g) and rope_parameters (%q, factor %g) contradict each other", h.Scaling.kind(), float64(h.Scaling.Factor), s.kind(), float64(s.Factor))
		}
	}
	switch {
	case s == nil:
		return nil, nil
	case s.Sliding != nil:
		return nil, fmt.Errorf("model: rope_parameters of sliding_attention alone are not supported")
	case s.Type != "" && s.OldType != "" && s.Type != s.OldType:
		return nil, fmt.Errorf("model: rope scaling is of rope_type %q and of type %q", s.Type, s.OldType)
	case s.kind() == "" && s.Factor != 0 && s.Factor != 1:
		return nil, fmt.Errorf("model: rope scaling has a factor of %g and no rope_type", float64(s.Factor)) // transformers pass it over
	case len(s.Sections) > 0:
		return nil, fmt.Errorf("model: rope scaling with mrope_section %v is not supported", s.Sections)
	case or(s.Partial, 1) != 1:
		return nil, fmt.Errorf("model: partial_rotary_factor is %g, want 1", *s.Partial)
	}
	return s, nil
}

// kind is the type by either of its names.
func (s *hfRope) kind() string {
	if s.Type != "" {
		return s.Type
	}
	return s.OldType
}

// rope reads how positions rotate. The source of weights orders llama's rows as GGUF files do, neighbours in pairs.
func (h *hfConfig) rope(c *Config) error {
	r := &c.Rope
	r.Dim, r.Theta, r.Pairs = c.HeadDim, or(h.Theta, 10000), c.Arch == "llama" || c.MLA != nil
	if c.MLA != nil {
		r.Dim = c.MLA.Rope
	}
	s, err := h.scaling()
	if s == nil || err != nil {
		return err
	}
	r.Theta = orFloat(s.Theta, r.Theta)
	if r.Scaling = s.kind(); r.Scaling == "default" || r.Scaling == "" {
		r.Scaling = ""
		return nil
	}
	r.Factor, r.Original = float64(s.Factor), s.Original
	if h.Original != 0 {
		r.Original = h.Original // of Phi's files; transformers prefer it
	}
	if r.Original == 0 {
		r.Original = c.Context
	}
	r.LowFreq, r.HighFreq = orFloat(s.LowFactor, 1), orFloat(s.HighFactor, 4)
	r.BetaFast, r.BetaSlow = orFloat(s.BetaFast, 32), orFloat(s.BetaSlow, 1)
	if r.Scaling != "yarn" {
		return nil
	}
	r.Exact = !or(s.Truncate, true)
	r.Magnitude = yarnScale(r.Factor, 1)
	if s.MScale != 0 && s.MScaleAll != 0 {
		r.Magnitude = yarnScale(r.Factor, float64(s.MScale)) / yarnScale(r.Factor, float64(s.MScaleAll))
	}
	if s.Attention != nil {
		r.Magnitude = float64(*s.Attention)
	}
	if c.MLA != nil {
		r.MScale = float64(s.MScaleAll)
	}
	return nil
}

// yarnScale is what YaRN multiplies with so that attention stays as sharp at factor times the length.
// Source: Peng et al. 2023, arXiv 2309.00071, equation 22, with DeepSeek's mscale.
func yarnScale(factor, mscale float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*mscale*math.Log(factor) + 1
}

// loadFolder opens a folder with config.json and safetensors.
func loadFolder(dir string, opts LoadOptions) (*Model, error) {
	path := filepath.Join(dir, ConfigName)
	b, err := atomicfile.ReadFile(path, maxConfigBytes)
	if err != nil {
		return nil, err
	}
	c, err := ConfigFromJSON(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f, err := safetensors.Open(dir)
	if err != nil {
		return nil, err
	}
	m, err := FromSafetensors(f, c, opts)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	m.close = append(m.close, f.Close)
	return m, nil
}

// FromSafetensors makes a model of opened files in Hugging Face's form, which stay open as long as the model and are not
// closed by it.
func FromSafetensors(f *safetensors.File, c Config, opts LoadOptions) (*Model, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	l := weights.Layout{Arch: c.Arch, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, Tied: c.Tied}
	if c.MoE != nil {
		l.Experts = c.MoE.Experts
	}
	src, err := weights.FromSafetensors(f, l)
	if err != nil {
		return nil, err
	}
	return Bind(c, src, opts)
}
