package model

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"retort/internal/compute/quant"
	"retort/internal/format/atomicfile"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

// shardBytes is how large a file of weights may become, as is usual.
const shardBytes = 5_000_000_000

// hfTypes is how stored floats are named there and in config.json.
var hfTypes = map[quant.Type]struct {
	dtype safetensors.DType
	torch string
}{quant.F32: {safetensors.F32, "float32"}, quant.F16: {safetensors.F16, "float16"}, quant.BF16: {safetensors.BF16, "bfloat16"}}

// WriteSafetensors writes m into the folder dir, which is made if need be, in Hugging Face's form: safetensors, then
// config.json, without which the folder is no model. LoRAs are merged, quantized tensors decoded; all become t, which is
// F32, F16 or BF16. A folder that holds a model is refused.
func (m *Model) WriteSafetensors(ctx context.Context, dir string, t quant.Type) error {
	as, ok := hfTypes[t]
	if !ok {
		return fmt.Errorf("model: safetensors of type %v, want F32, F16 or BF16", t)
	}
	c, err := m.Config.hf()
	if err != nil {
		return err
	}
	c.DType = as.torch
	config, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	var tensors []safetensors.Source
	for _, s := range m.whole() {
		if tensors, err = m.appendHF(tensors, s, t, as.dtype); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := safetensors.WriteSharded(ctx, dir, shardBytes, map[string]string{"format": "pt"}, tensors); err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(dir, ConfigName), append(config, '\n'))
}

// rowsOf is a tensor as values: row(dst, i) writes row i, counted through the outer dims.
type rowsOf struct {
	name string // GGUF's
	dims []int  // outermost first
	row  func(dst []float32, i int)
}

// whole returns every tensor of m as it is now, attn_kv_b in one.
func (m *Model) whole() []rowsOf {
	var out []rowsOf
	if m.lora == nil && len(m.params) > 0 {
		for _, p := range m.params {
			out = append(out, rowsOf{p.Name, p.Dims, p.row()})
		}
		return out
	}
	for _, name := range m.source.Names() {
		if name == ropeFreqs || strings.HasSuffix(name, ".attn_v_b.weight") {
			continue // of config.json; beside attn_k_b
		}
		src, _ := m.source.Tensor(name)
		row, _ := m.mergedRows(src)
		if block, ok := strings.CutSuffix(name, "attn_k_b.weight"); ok {
			src, row = m.joined(block, src, row)
		}
		out = append(out, rowsOf{src.Name, src.Dims, row})
	}
	return out
}

// row returns what copies row i of p.
func (p Param) row() func(dst []float32, i int) {
	var parts [][]float32
	p.Slices(func(values, _ []float32) { parts = append(parts, values) })
	return func(dst []float32, i int) {
		n := len(dst)
		per := len(parts[0]) / n
		copy(dst, parts[i/per][i%per*n:])
	}
}

// joined returns [W^UK | W^UV] per head as the one tensor attn_kv_b, of a file that stores the parts apart; row gives
// the rows of attn_k_b, [H, L, N].
func (m *Model) joined(block string, k weights.Tensor, row func(dst []float32, i int)) (weights.Tensor, func(dst []float32, i int)) {
	c, heads := m.Config.MLA, m.Config.Heads
	v, _ := m.source.Tensor(block + "attn_v_b.weight")
	values, _ := m.mergedRows(v)
	head, at := make([]float32, c.KVRank*c.Nope), -1 // W^UK of one head, transposed
	all := weights.Tensor{Name: block + "attn_kv_b.weight", Type: k.Type, Dims: []int{heads * (c.Nope + c.Value), c.KVRank}}
	return all, func(dst []float32, i int) {
		h, n := i/(c.Nope+c.Value), i%(c.Nope+c.Value)
		if n >= c.Nope {
			values(dst, h*c.Value+n-c.Nope)
			return
		}
		if h != at {
			for r := range c.KVRank {
				row(head[r*c.Nope:(r+1)*c.Nope], h*c.KVRank+r)
			}
			at = h
		}
		for r := range dst {
			dst[r] = head[r*c.Nope+n]
		}
	}
}

// appendHF adds s under Hugging Face's name, an expert each, with llama's rows in its order.
func (m *Model) appendHF(to []safetensors.Source, s rowsOf, t quant.Type, dtype safetensors.DType) ([]safetensors.Source, error) {
	if strings.HasSuffix(s.name, "exp_probs_b.bias") {
		t, dtype = quant.F32, safetensors.F32 // steps of its learning are smaller than what bf16 tells apart
	}
	shape, parts := s.dims, 1
	if len(shape) == 3 {
		shape, parts = shape[1:], shape[0]
	}
	rows := 1
	if len(shape) == 2 {
		rows = shape[0]
	}
	for e := range parts {
		name, ok := weights.HuggingFaceName(s.name, e)
		if !ok {
			return nil, fmt.Errorf("model: %s has no name in Hugging Face's form", s.name)
		}
		order := m.hfOrder(s.name)
		to = append(to, safetensors.Source{Name: name, DType: dtype, Shape: shape, Write: func(w io.Writer) error {
			return encodeRowsOf(w, t, rows, shape[len(shape)-1], func(dst []float32, i int) {
				if len(shape) == 1 {
					values := make([]float32, len(dst))
					s.row(values, e)
					for j := range dst {
						dst[j] = values[order(j)]
					}
					return
				}
				s.row(dst, e*rows+order(i))
			})
		}})
	}
	return to, nil
}

// hfOrder returns which of our rows is row i there. GGUF files of llama hold the values of a head that turn together as
// neighbours (2i, 2i+1), Hugging Face (i, i + d/2).
func (m *Model) hfOrder(name string) func(i int) int {
	c := m.Config
	if c.Arch != "llama" || !c.Rope.Pairs || !weights.Turns(name) {
		return func(i int) int { return i }
	}
	half := c.HeadDim / 2
	return func(i int) int {
		h, j := i/c.HeadDim, i%c.HeadDim
		return h*c.HeadDim + j%half*2 + j/half
	}
}

// hf returns c as config.json has it.
func (c Config) hf() (*hfConfig, error) {
	h := &hfConfig{Vocab: c.Vocab, Width: c.Width, Layers: c.Layers, Heads: c.Heads, KVHeads: &c.KVHeads, FFN: c.FFN, Context: c.Context,
		Act: "silu", Eps: short(c.Eps), Tied: c.Tied, Theta: short(c.Rope.Theta)}
	switch c.Arch {
	case "llama", "qwen2", "qwen3":
		h.ModelType, h.HeadDim = c.Arch, &c.HeadDim
		h.Architectures = []string{strings.ToUpper(c.Arch[:1]) + c.Arch[1:] + "ForCausalLM"}
		if err := c.hfBias(h); err != nil {
			return nil, err
		}
		if c.PerLayer != nil {
			return nil, fmt.Errorf("model: layers of unlike shapes: no config.json of %s can say that", c.Arch)
		}
		if c.Rope.Dim != c.HeadDim {
			return nil, fmt.Errorf("model: %d of %d values of a head turn: Hugging Face's %s turns all", c.Rope.Dim, c.HeadDim, c.Arch)
		}
		if c.Arch == "qwen2" && c.HeadDim*c.Heads != c.Width {
			return nil, fmt.Errorf("model: %d heads of %d in a width of %d: Hugging Face's qwen2 wants them equal", c.Heads, c.HeadDim, c.Width)
		}
	default:
		c.hfDeepSeek(h)
	}
	var err error
	h.Scaling, err = c.hfScaling()
	return h, err
}

// hfBias fills in which projections have a bias.
func (c Config) hfBias(h *hfConfig) error {
	all := c.Arch != "qwen2" // where attention_bias is of all four projections
	if all && c.Bias != c.OutBias || !all && c.OutBias {
		return fmt.Errorf("model: bias of queries %t, of the attention's output %t: no config.json of %s can say that", c.Bias, c.OutBias, c.Arch)
	}
	if c.MLPBias && c.Arch != "llama" {
		return fmt.Errorf("model: bias of the feed-forward network: no config.json of %s can say that", c.Arch)
	}
	h.Bias, h.MLPBias = all && c.Bias, c.MLPBias
	return nil
}

// short returns the number with the fewest digits that is v in float32, which is all that GGUF files keep: 1e-05, and not
// 9.999999747378752e-06.
func short(v float64) *float64 {
	x, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', -1, 32), 64)
	if err != nil {
		return &v
	}
	return &x
}

// hfDeepSeek fills in the keys of V3, or of V2 where experts are scored by softmax.
func (c Config) hfDeepSeek(h *hfConfig) {
	m, one := c.MLA, 1
	h.ModelType, h.Architectures = "deepseek_v3", []string{"DeepseekV3ForCausalLM"}
	h.KVRank, h.NopeDim, h.RopeDim, h.ValueDim = m.KVRank, m.Nope, m.Rope, m.Value
	if m.QRank > 0 {
		h.QRank = &m.QRank
	}
	e := c.MoE
	if e == nil {
		h.Dense = c.Layers
		return
	}
	h.Experts, h.TopK, h.Shared, h.ExpertFFN, h.Dense = &e.Experts, e.TopK, &e.Shared, e.FFN, e.Dense
	h.Groups, h.Keep, h.Normalize, h.ExpertScale, h.EveryLayer = &e.Groups, &e.Keep, &e.Normalize, short(e.Scale), &one
	h.ScoringFunc, h.TopKMethod = "sigmoid", "noaux_tc"
	if !e.Sigmoid {
		h.ModelType, h.Architectures = "deepseek_v2", []string{"DeepseekV2ForCausalLM"}
		h.ScoringFunc, h.TopKMethod = "softmax", "group_limited_greedy"
		if e.Groups == 1 {
			h.TopKMethod = "greedy"
		}
	}
}

// hfScaling returns how positions are stretched, nil for not at all.
func (c Config) hfScaling() (*hfRope, error) {
	r := c.Rope
	if r.Factors != nil {
		return llama3Factors(r)
	}
	if r.Scaling == "" {
		return nil, nil
	}
	h := &hfRope{Type: r.Scaling, OldType: r.Scaling, Factor: hfFloat(r.Factor), Original: r.Original}
	float := func(v float64) *hfFloat { f := hfFloat(v); return &f }
	switch r.Scaling {
	case "linear":
		h.Type, h.Original = "", 0 // older transformers want type and factor alone
	case "llama3":
		h.LowFactor, h.HighFactor = float(r.LowFreq), float(r.HighFreq)
	case "yarn":
		h.BetaFast, h.BetaSlow = float(r.BetaFast), float(r.BetaSlow)
		if r.Exact {
			h.Truncate = new(bool)
		}
		magnitude := r.Magnitude
		if magnitude == 0 {
			magnitude = 1
		}
		if r.MScale == 0 {
			h.Attention = float(magnitude)
			break
		}
		// The magnitude is the quotient of the scales of mscale and mscale_all_dim.
		h.MScaleAll, h.MScale = hfFloat(r.MScale), hfFloat(r.MScale)
		if magnitude != 1 && r.Factor > 1 {
			h.MScale = hfFloat((magnitude*yarnScale(r.Factor, r.MScale) - 1) / (0.1 * math.Log(r.Factor)))
		}
	}
	return h, nil
}

// llama3Factors finds the scaling of Llama 3 whose result a GGUF file stores as divisors of the frequencies.
func llama3Factors(r RopeConfig) (*hfRope, error) {
	factors := r.Factors
	try := RopeConfig{Dim: r.Dim, Theta: r.Theta, Scaling: "llama3", Factor: math.Round(float64(factors[len(factors)-1])), Original: 8192, LowFreq: 1, HighFreq: 4}
	turning := RopeConfig{Dim: r.Dim, Theta: r.Theta}
	plain := turning.frequencies()
	for i, f := range try.frequencies() {
		if got := plain[i] / f; math.Abs(got-float64(factors[i])) > 1e-4*got {
			return nil, fmt.Errorf("model: rope_freqs.weight[%d] is %g, of Llama 3's scaling it would be %g: no config.json can say that", i, factors[i], got)
		}
	}
	if r.Scaling != "" {
		return nil, fmt.Errorf("model: rope_freqs.weight and rope scaling %q together: no config.json can say that", r.Scaling)
	}
	if try.Factor == 1 {
		return nil, nil // every divisor is 1
	}
	return Config{Rope: try}.hfScaling()
}
