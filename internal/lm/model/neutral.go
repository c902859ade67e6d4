package model

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"retort/internal/format/gguf"
)

// neutral is the rule of a key that changes what a model computes unless its value leaves everything as it is. No model
// here computes such a change, so any other value is refused by the key's name. Keys that are read elsewhere (gguf.go,
// hf.go) and those that change no result (vocab_size, use_cache, attention_dropout) are in no table; null is not there.
type neutral struct {
	want string // for the error
	ok   func(c *Config, v any) bool
}

// is allows any of the values, and an array of nothing else. Numbers are float64, whatever they were.
func is(values ...any) neutral {
	var names []string
	for _, v := range values {
		names = append(names, fmt.Sprint(v))
	}
	return neutral{strings.Join(names, " or "), func(_ *Config, v any) bool {
		if list, ok := v.([]any); ok {
			return !slices.ContainsFunc(list, func(x any) bool { return !slices.Contains(values, x) })
		}
		return slices.Contains(values, v)
	}}
}

var (
	unset   = is(false)
	none    = is(0.0) // a cap, a bound or a count that is not there
	factor1 = is(0.0, 1.0)

	wholeWindow = neutral{"0, or the whole context", func(c *Config, v any) bool {
		n, ok := v.(float64)
		return ok && (n <= 0 || n >= float64(c.Context))
	}}
	headScale = neutral{"1/sqrt of the width of a head", func(c *Config, v any) bool {
		n, ok := v.(float64)
		want := 1 / math.Sqrt(float64(c.HeadDim))
		return ok && (n == 0 || math.Abs(n-want) <= 1e-6*want)
	}}
	headWidth = neutral{"the width of a head", func(c *Config, v any) bool { return v == float64(c.HeadDim) || c.MLA != nil }}
	noYarn    = neutral{"1 with yarn, 0 without", func(c *Config, v any) bool {
		n, ok := v.(float64)
		return ok && (n < 0 || (n == 1) == (c.Rope.Scaling == "yarn") && (n == 0 || n == 1))
	}}
	ofYarn = neutral{"1 unless positions are stretched by yarn", func(c *Config, v any) bool {
		return v == 1.0 || c.Rope.Scaling == "yarn" && c.MLA == nil
	}}
	ofLatent  = neutral{"true of latent attention, whose pairs are neighbours, and false of others", func(c *Config, v any) bool { return v == (c.MLA != nil) }}
	noExperts = neutral{"0", func(c *Config, v any) bool { return v == 0.0 || c.MLA != nil }}
)

// neutralGGUF are the keys under an architecture's prefix. Source: llama.cpp, src/llama-arch.cpp (the names) and
// src/llama-model.cpp with src/models (what reads them).
var neutralGGUF = map[string]neutral{
	"attention.causal":                 is(true),
	"attention.scale":                  headScale,
	"attention.output_scale":           factor1,
	"attention.value_scale":            factor1,
	"attention.value_length":           headWidth,
	"attention.clamp_kqv":              none,
	"attention.max_alibi_bias":         none,
	"attention.sliding_window":         wholeWindow,
	"attention.temperature_scale":      none,
	"attention.temperature_length":     none,
	"attention.shared_kv_layers":       none,
	"attention.recurrent_layers":       is(false, 0.0),
	"attention.indexer.head_count":     none,
	"attn_logit_softcapping":           none,
	"router_logit_softcapping":         none,
	"final_logit_softcapping":          none,
	"logit_scale":                      factor1,
	"residual_scale":                   factor1,
	"embedding_scale":                  factor1,
	"hidden_activation":                is("silu"),
	"use_parallel_residual":            unset,
	"swin_norm":                        unset,
	"rescale_every_n_layers":           none,
	"token_shift_count":                none,
	"rope.dimension_sections":          none,
	"rope.scaling.alpha":               factor1,
	"rope.scaling.attn_factor":         ofYarn,
	"rope.scaling.yarn_attn_factor":    is(1.0),
	"rope.scaling.yarn_ext_factor":     noYarn,
	"expert_count":                     noExperts,
	"expert_group_scale":               factor1,
	"expert_latent_length":             none,
	"interleave_moe_layer_step":        factor1,
	"moe_every_n_layers":               factor1,
	"swiglu_limits":                    none,
	"swiglu_limits_shared":             none,
	"swiglu_clamp_exp":                 none,
	"swiglu_clamp_shexp":               none,
	"n_deepstack_layers":               none,
	"hyper_connection.count":           none,
	"hash_layer_count":                 none,
	"embedding_length_per_layer_input": none,
}

// neutralHF are the keys of config.json. Source: the configuration classes of Hugging Face's transformers, of which many
// models are Llama but for one of these.
var neutralHF = map[string]neutral{
	"hidden_act":                  is("silu", "swish"),
	"hidden_activation":           is("silu", "swish"),
	"is_causal":                   is(true),
	"use_bidirectional_attention": unset,
	"use_qk_norm":                 unset,
	"qk_norm":                     unset,
	"qk_layernorm":                unset,
	"qkv_bias":                    unset,
	"use_bias":                    unset,
	"alibi":                       unset,
	"use_parallel_residual":       unset,
	"parallel_residual":           unset,
	"rope_interleave":             ofLatent,
	"partial_rotary_factor":       is(1.0),
	"rotary_pct":                  is(1.0),
	"no_rope_layers":              is(1.0, true),
	"no_rope_layer_interval":      none,
	"layer_types":                 is("full_attention"),
	"attn_logit_softcapping":      none,
	"final_logit_softcapping":     none,
	"router_logit_softcapping":    none,
	"clip_qkv":                    none,
	"attention_multiplier":        headScale,
	"query_pre_attn_scalar":       headWidth,
	"embedding_multiplier":        is(1.0),
	"residual_multiplier":         is(1.0),
	"logits_scaling":              is(1.0),
	"logit_scale":                 is(1.0),
	"scale_emb":                   is(1.0),
	"scale_embeddings":            unset,
	"scale_embedding":             unset,
	"moe_layer_freq":              is(1.0),
	"decoder_sparse_step":         is(1.0),
	"num_local_experts":           factor1,
	"num_experts":                 factor1,
	"num_kv_shared_layers":        none,
	"swiglu_limit":                none,
	"scoring_func":                is("softmax", "sigmoid"),
	"topk_method":                 is("greedy", "group_limited_greedy", "noaux_tc"),
}

// refuse returns an error that names the first key whose value v changes what no model here computes.
func (n neutral) refuse(c *Config, key string, v any) error {
	if n.ok(c, v) {
		return nil
	}
	return fmt.Errorf("model: %s is %s, which is not supported: want %s", key, shown(v), n.want)
}

// shown is v as an error shows it: arrays and texts of a file can be long.
func shown(v any) string {
	s := fmt.Sprint(v)
	if text, ok := v.(string); ok {
		s = fmt.Sprintf("%q", text)
	}
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return s
}

// checkNeutral holds the metadata of c's file to neutralGGUF.
func (k *keys) checkNeutral(c *Config) error {
	for key, v := range k.md.All() {
		n, ok := neutralGGUF[strings.TrimPrefix(key, k.arch+".")]
		if !ok || !strings.HasPrefix(key, k.arch+".") {
			continue
		}
		if v.Len() > maxLayers {
			return fmt.Errorf("model: %s has %d values, want at most one for each of %d layers", key, v.Len(), maxLayers)
		}
		x, err := plain(v)
		if err != nil {
			return err
		}
		if err := n.refuse(c, key, x); err != nil {
			return err
		}
	}
	return nil
}

// plain returns a value of metadata as JSON's would be: numbers as float64, arrays as []any.
func plain(v gguf.Value) (any, error) {
	x, err := v.Any()
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprint(x), nil // NaN and infinities: equal to nothing
	}
	var out any
	err = json.Unmarshal(b, &out)
	return out, err
}

// checkNeutralHF holds the keys of config.json to neutralHF, in the order of their names.
func checkNeutralHF(c *Config, config []byte) error {
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		return fmt.Errorf("model: config.json: %w", err)
	}
	keys := make([]string, 0, len(neutralHF))
	for key := range neutralHF {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if v := all[key]; v != nil {
			if err := neutralHF[key].refuse(c, key, v); err != nil {
				return err
			}
		}
	}
	return nil
}
