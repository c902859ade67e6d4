package model

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// TestNeutralGGUF: every key of the table is passed over with a value that changes nothing, and refused by its name with one
// that does.
func TestNeutralGGUF(t *testing.T) {
	f32 := func(v float64) gguf.Value { return gguf.ValueOf(float32(v)) }
	u32 := func(v uint32) gguf.Value { return gguf.ValueOf(v) }
	yes, no := gguf.ValueOf(true), gguf.ValueOf(false)
	c := tinyLlama()
	head := 1 / math.Sqrt(float64(c.HeadDim))
	values := func(v ...gguf.Value) []gguf.Value { return v }
	tried := map[string]bool{}
	for _, x := range []struct {
		key       string
		good, bad []gguf.Value
	}{
		{"attention.causal", values(yes), values(no, u32(0))},
		{"attention.scale", values(f32(0), f32(head)), values(f32(1), f32(head*1.01), f32(math.NaN()))},
		{"attention.output_scale", values(f32(1), f32(0)), values(f32(2))},
		{"attention.value_scale", values(f32(1)), values(f32(0.5))},
		{"attention.value_length", values(u32(6)), values(u32(8))},
		{"attention.clamp_kqv", values(f32(0)), values(f32(8), f32(math.Inf(1)))},
		{"attention.max_alibi_bias", values(f32(0)), values(f32(8))},
		{"attention.sliding_window", values(u32(0), u32(64), u32(4096)), values(u32(63), gguf.ArrayOf([]uint32{0, 8}))},
		{"attention.temperature_scale", values(f32(0)), values(f32(0.1))},
		{"attention.temperature_length", values(u32(0)), values(u32(8192))},
		{"attention.shared_kv_layers", values(u32(0)), values(u32(1))},
		{"attention.recurrent_layers", values(gguf.ArrayOf([]bool{false, false})), values(gguf.ArrayOf([]bool{false, true}))},
		{"attention.indexer.head_count", values(u32(0)), values(u32(64))},
		{"attn_logit_softcapping", values(f32(0)), values(f32(50))},
		{"router_logit_softcapping", values(f32(0)), values(f32(30))},
		{"final_logit_softcapping", values(f32(0)), values(f32(30))},
		{"logit_scale", values(f32(0), f32(1)), values(f32(0.0625))},
		{"residual_scale", values(f32(0), f32(1)), values(f32(0.22))},
		{"embedding_scale", values(f32(0), f32(1)), values(f32(12))},
		{"hidden_activation", values(gguf.ValueOf("silu")), values(gguf.ValueOf("gelu"))},
		{"use_parallel_residual", values(no), values(yes)},
		{"swin_norm", values(no), values(yes)},
		{"rescale_every_n_layers", values(u32(0)), values(u32(6))},
		{"token_shift_count", values(u32(0)), values(u32(2))},
		{"rope.dimension_sections", values(gguf.ArrayOf([]int32{0, 0, 0, 0})), values(gguf.ArrayOf([]int32{16, 24, 24, 0}))},
		{"rope.scaling.alpha", values(f32(1), f32(0)), values(f32(1000))},
		{"rope.scaling.attn_factor", values(f32(1)), values(f32(0.5))},
		{"rope.scaling.yarn_attn_factor", values(f32(1)), values(f32(0.5))},
		{"rope.scaling.yarn_ext_factor", values(f32(0), f32(-1)), values(f32(1), f32(0.5))},
		{"expert_count", values(u32(0)), values(u32(8))},
		{"expert_group_scale", values(f32(1)), values(f32(0.05))},
		{"expert_latent_length", values(u32(0)), values(u32(64))},
		{"interleave_moe_layer_step", values(u32(1), u32(0)), values(u32(2))},
		{"moe_every_n_layers", values(u32(1)), values(u32(2))},
		{"swiglu_limits", values(gguf.ArrayOf([]float32{0, 0})), values(gguf.ArrayOf([]float32{0, 7}))},
		{"swiglu_limits_shared", values(gguf.ArrayOf([]float32{0})), values(gguf.ArrayOf([]float32{7}))},
		{"swiglu_clamp_exp", values(f32(0)), values(f32(7))},
		{"swiglu_clamp_shexp", values(f32(0)), values(f32(7))},
		{"n_deepstack_layers", values(u32(0)), values(u32(3))},
		{"hyper_connection.count", values(u32(0)), values(u32(4))},
		{"hash_layer_count", values(u32(0)), values(u32(3))},
		{"embedding_length_per_layer_input", values(u32(0)), values(u32(256))},
	} {
		tried[x.key] = true
		for _, v := range x.good {
			if _, err := configWith(t, c, map[string]gguf.Value{x.key: v}); err != nil {
				t.Errorf("%s harmless: %v", x.key, err)
			}
		}
		for _, v := range x.bad {
			if _, err := configWith(t, c, map[string]gguf.Value{x.key: v}); err == nil || !strings.Contains(err.Error(), "model: llama."+x.key+" is ") {
				t.Errorf("%s: %v", x.key, err)
			}
		}
	}
	for key := range neutralGGUF {
		if !tried[key] {
			t.Errorf("%s is not tried", key)
		}
	}

	// Of latent attention and yarn.
	yarn := everyStretch()["deepseek-yarn"]
	v3 := tinyDeepSeek()
	for _, x := range []struct {
		c    Config
		key  string
		v    gguf.Value
		want bool
	}{
		{v3, "expert_count", u32(uint32(v3.MoE.Experts)), true},
		{v3, "attention.value_length", u32(uint32(v3.MLA.Value)), true},
		{yarn, "rope.scaling.yarn_ext_factor", f32(1), true},
		{yarn, "rope.scaling.yarn_ext_factor", f32(0), false},
		{yarn, "rope.scaling.attn_factor", f32(0.5), false},
		{everyStretch()["yarn"], "rope.scaling.attn_factor", f32(0.5), true},
	} {
		if _, err := configWith(t, x.c, map[string]gguf.Value{x.key: x.v}); (err == nil) != x.want {
			t.Errorf("%s %s: %v", x.c.Arch, x.key, err)
		}
	}
	if _, err := configWith(t, c, map[string]gguf.Value{"swiglu_limits": gguf.ArrayOf(make([]float32, maxLayers+1))}); err == nil || !strings.Contains(err.Error(), "has 1025 values") {
		t.Errorf("a long array: %v", err)
	}
	// A key of another architecture is not this model's.
	if file, err := gguf.Parse("x", tinyFile(t, c, nil)); err != nil {
		t.Fatal(err)
	} else {
		file.Metadata.Set("clip.attention.causal", no)
		if _, err := ConfigFromGGUF(file); err != nil {
			t.Error(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const plainLlama = `{"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":96,"vocab_size":100,"max_position_embeddings":128}`

// TestNeutralHF: the same of config.json.
func TestNeutralHF(t *testing.T) {
	tried := map[string]bool{}
	for _, x := range []struct{ key, good, bad string }{
		{"hidden_act", `"silu" "swish"`, `"gelu" "relu"`},
		{"hidden_activation", `"silu"`, `"gelu_pytorch_tanh"`},
		{"is_causal", `true`, `false`},
		{"use_bidirectional_attention", `false`, `true`},
		{"use_qk_norm", `false`, `true`},
		{"qk_norm", `false`, `true`},
		{"qk_layernorm", `false`, `true`},
		{"qkv_bias", `false`, `true`},
		{"use_bias", `false`, `true`},
		{"alibi", `false`, `true`},
		{"use_parallel_residual", `false`, `true`},
		{"parallel_residual", `false`, `true`},
		{"rope_interleave", `false`, `true`},
		{"partial_rotary_factor", `1 1.0`, `0.5`},
		{"rotary_pct", `1.0`, `0.25`},
		{"no_rope_layers", `[1,1] []`, `[1,0]`},
		{"no_rope_layer_interval", `0`, `4`},
		{"layer_types", `["full_attention","full_attention"]`, `["full_attention","sliding_attention"] "linear_attention"`},
		{"attn_logit_softcapping", `0`, `50.0`},
		{"final_logit_softcapping", `0`, `30`},
		{"router_logit_softcapping", `0`, `30`},
		{"clip_qkv", `0`, `8`},
		{"attention_multiplier", `0.25`, `1.0 0.0078125`},
		{"query_pre_attn_scalar", `16`, `224`},
		{"embedding_multiplier", `1 1.0`, `12`},
		{"residual_multiplier", `1`, `0.22`},
		{"logits_scaling", `1`, `8`},
		{"logit_scale", `1`, `0.0625`},
		{"scale_emb", `1`, `12`},
		{"scale_embeddings", `false`, `true`},
		{"scale_embedding", `false`, `true`},
		{"moe_layer_freq", `1`, `2 [0,1]`},
		{"decoder_sparse_step", `1`, `2`},
		{"num_local_experts", `0 1`, `8`},
		{"num_experts", `0`, `60`},
		{"num_kv_shared_layers", `0`, `15`},
		{"swiglu_limit", `0`, `7.0`},
		{"scoring_func", `"softmax" "sigmoid"`, `"sqrtsoftplus"`},
		{"topk_method", `"greedy" "noaux_tc" "group_limited_greedy"`, `"topk"`},
	} {
		tried[x.key] = true
		with := func(v string) error {
			_, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, fmt.Sprintf(`,%q:%s}`, x.key, v), 1)))
			return err
		}
		for _, v := range append(strings.Fields(x.good), "null") {
			if err := with(v); err != nil {
				t.Errorf("%s %s: %v", x.key, v, err)
			}
		}
		for _, v := range strings.Fields(x.bad) {
			if err := with(v); err == nil || !strings.Contains(err.Error(), x.key) {
				t.Errorf("%s %s: %v", x.key, v, err)
			}
		}
	}
	v3, err := json.Marshal(must(tinyDeepSeek().hf()))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{"true": true, "false": false} {
		if _, err := ConfigFromJSON([]byte(strings.Replace(string(v3), `{`, `{"rope_interleave":`+value+`,`, 1))); (err == nil) != want {
			t.Errorf("DeepSeek's rope_interleave %s: %v", value, err)
		}
	}
	for key := range neutralHF {
		if !tried[key] {
			t.Errorf("%s is not tried", key)
		}
	}
}

// TestWindowAndBias: what depends on more than one key of config.json.
func TestWindowAndBias(t *testing.T) {
	for more, fault := range map[string]string{
		`"sliding_window":null`:                           "",
		`"sliding_window":128`:                            "",
		`"sliding_window":127`:                            "sliding_window 127 of a context of 128",
		`"sliding_window":64,"use_sliding_window":false`:  "",
		`"use_sliding_window":true`:                       "sliding_window 0",
		`"use_sliding_window":true,"sliding_window":4096`: "",
		`"use_sliding_window":true,"sliding_window":64`:   "sliding_window 64",
		`"model_type":"qwen2","sliding_window":64`:        "",
		`"model_type":"qwen2","use_sliding_window":true,"sliding_window":64,"max_window_layers":2`: "",
		`"model_type":"qwen2","use_sliding_window":true,"sliding_window":64,"max_window_layers":1`: "sliding_window 64",
		`"model_type":"qwen2","mlp_bias":true`:                                                     `mlp_bias of model_type "qwen2"`,
		`"model_type":"qwen3","mlp_bias":true`:                                                     `mlp_bias of model_type "qwen3"`,
		`"model_type":"deepseek_v3","attention_bias":true`:                                         `attention_bias of model_type "deepseek_v3"`,
	} {
		_, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, `,`+more+`}`, 1)))
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", more, err, fault)
		}
	}
	for more, want := range map[string][3]bool{ // bias of queries, of the output, of the network
		`"attention_bias":true`:                       {true, true, false},
		`"mlp_bias":true`:                             {false, false, true},
		`"attention_bias":null`:                       {},
		`"model_type":"qwen2","attention_bias":true`:  {true, false, false},
		`"model_type":"qwen3","attention_bias":true`:  {true, true, false},
		`"model_type":"qwen3","attention_bias":false`: {},
	} {
		c, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, `,`+more+`}`, 1)))
		if got := [3]bool{c.Bias, c.OutBias, c.MLPBias}; err != nil || got != want {
			t.Errorf("%s: %v, want %v (%v)", more, got, want, err)
		}
	}
	// What config.json cannot say is not written.
	for what, c := range map[string]Config{
		"qwen2, output":   {Arch: "qwen2", Bias: true, OutBias: true},
		"llama, queries":  {Arch: "llama", Bias: true},
		"llama, output":   {Arch: "llama", OutBias: true},
		"qwen3, queries":  {Arch: "qwen3", Bias: true},
		"qwen2, network":  {Arch: "qwen2", Bias: true, MLPBias: true},
		"qwen3, network ": {Arch: "qwen3", MLPBias: true},
	} {
		if _, err := c.hf(); err == nil || !strings.Contains(err.Error(), "no config.json of") {
			t.Errorf("bias of %s: %v", what, err)
		}
	}
}

// TestRopeScalingKeys: the type and factor of stretched positions from every key that says them.
func TestRopeScalingKeys(t *testing.T) {
	f32 := func(v float64) gguf.Value { return gguf.ValueOf(float32(v)) }
	type values = map[string]gguf.Value
	for _, x := range []struct {
		md      values
		scaling string
		factor  float64
	}{
		{nil, "", 0},
		{values{"rope.scaling.factor": f32(4)}, "linear", 4},
		{values{"rope.scaling.factor": f32(0)}, "", 0},
		{values{"rope.scaling.factor": f32(1)}, "", 0},
		{values{"rope.scale_linear": f32(2)}, "linear", 2},
		{values{"rope.scale_linear": f32(2), "rope.scaling.factor": f32(4)}, "linear", 4},
		{values{"rope.scale_linear": f32(2), "rope.scaling.factor": f32(0)}, "", 0}, // the newer key counts, also with 0
		{values{"rope.scaling.type": gguf.ValueOf("linear"), "rope.scale_linear": f32(8)}, "linear", 8},
		{values{"rope.scaling.type": gguf.ValueOf("none"), "rope.scaling.factor": f32(4)}, "", 0},
		{values{"rope.scaling.type": gguf.ValueOf("yarn")}, "yarn", 1},
		{values{"rope.scaling.type": gguf.ValueOf("yarn"), "rope.scale_linear": f32(8)}, "yarn", 8},
	} {
		c, err := configWith(t, tinyLlama(), x.md)
		if err != nil || c.Rope.Scaling != x.scaling || c.Rope.Factor != x.factor {
			t.Errorf("%v: %q by %g, want %q by %g (%v)", x.md, c.Rope.Scaling, c.Rope.Factor, x.scaling, x.factor, err)
		}
	}
	for _, x := range []struct {
		md    values
		fault string
	}{
		{values{"rope.scaling.type": gguf.ValueOf("longrope"), "rope.scaling.factor": f32(4)}, `rope scaling "longrope" is not supported`},
		{values{"rope.scaling.type": gguf.ValueOf("dynamic"), "rope.scaling.factor": f32(4)}, `rope scaling "dynamic" is not supported`},
		{values{"rope.scaling.factor": f32(-2)}, "rope scaling factor is -2"},
		{values{"rope.scale_linear": gguf.ValueOf(uint32(2))}, "llama.rope.scale_linear: is uint32"},
	} {
		if _, err := configWith(t, tinyLlama(), x.md); err == nil || !strings.Contains(err.Error(), x.fault) {
			t.Errorf("%v: %v, want %q", x.md, err, x.fault)
		}
	}
	// Linear is what it was for files that say its name: the same frequencies.
	a, err1 := configWith(t, tinyLlama(), values{"rope.scaling.factor": f32(4)})
	b, err2 := configWith(t, tinyLlama(), values{"rope.scaling.factor": f32(4), "rope.scaling.type": gguf.ValueOf("linear")})
	if err1 != nil || err2 != nil || !slices.Equal(a.Rope.frequencies(), b.Rope.frequencies()) {
		t.Errorf("linear by name: %v, %v", err1, err2)
	}

	for more, want := range map[string]string{
		`"rope_scaling":null`:                                                                             "",
		`"rope_scaling":{"type":"linear","factor":2}`:                                                     "linear 2",
		`"rope_scaling":{"rope_type":"linear","factor":2.0}`:                                              "linear 2",
		`"rope_scaling":{"rope_type":"default"}`:                                                          "",
		`"rope_scaling":{"type":"default","factor":2}`:                                                    "",
		`"rope_scaling":{}`:                                                                               "",
		`"rope_scaling":{"factor":1.0}`:                                                                   "",
		`"rope_scaling":{"factor":2.0}`:                                                                   "! factor of 2 and no rope_type",
		`"rope_scaling":{"type":"dynamic","factor":2.0}`:                                                  `! rope scaling "dynamic"`,
		`"rope_scaling":{"type":"su","factor":2.0}`:                                                       `! rope scaling "su"`,
		`"rope_scaling":{"type":"longrope","long_factor":[1],"short_factor":[1]}`:                         `! rope scaling "longrope"`,
		`"rope_scaling":{"type":"yarn","rope_type":"linear","factor":2}`:                                  `! rope_type "linear" and of type "yarn"`,
		`"rope_scaling":{"type":"linear","rope_type":"linear","factor":2}`:                                "linear 2",
		`"rope_scaling":{"rope_type":"default","mrope_section":[16,24,24]}`:                               "! mrope_section",
		`"rope_parameters":{"rope_theta":500,"rope_type":"linear","factor":2}`:                            "linear 2",
		`"rope_parameters":{"rope_theta":500,"rope_type":"default","partial_rotary_factor":0.5}`:          "! partial_rotary_factor is 0.5",
		`"rope_parameters":{"rope_type":"linear","factor":2},"rope_scaling":null`:                         "linear 2",
		`"rope_parameters":{"rope_type":"linear","factor":2},"rope_scaling":{"type":"linear","factor":2}`: "linear 2",
		`"rope_parameters":{"rope_type":"default"},"rope_scaling":{"type":"linear","factor":2}`:           "! contradict",
		`"rope_parameters":{"rope_type":"linear","factor":4},"rope_scaling":{"type":"linear","factor":2}`: "! contradict",
		`"rope_parameters":{"full_attention":{"rope_type":"linear","factor":2}}`:                          "linear 2",
		`"rope_parameters":{"sliding_attention":{"rope_type":"default","rope_theta":1e4}}`:                "! sliding_attention alone",
	} {
		c, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, `,`+more+`}`, 1)))
		if fault, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("%s: %v, want %q", more, err, fault)
			}
			continue
		}
		got := ""
		if c.Rope.Scaling != "" {
			got = fmt.Sprintf("%s %g", c.Rope.Scaling, c.Rope.Factor)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", more, got, want, err)
		}
	}
	for more, want := range map[string]float64{
		`"rope_theta":300`: 300, `"rope_parameters":{"rope_theta":500}`: 500, `"rope_theta":300,"rope_parameters":{"rope_theta":500}`: 500,
		`"rope_theta":300,"rope_parameters":{}`: 300, `"rope_parameters":{"full_attention":{"rope_theta":700}}`: 700, `"rope_theta":null`: 10000,
	} {
		if c, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, `,`+more+`}`, 1))); err != nil || c.Rope.Theta != want {
			t.Errorf("%s: theta %g, want %g (%v)", more, c.Rope.Theta, want, err)
		}
	}
	c, err := ConfigFromJSON([]byte(strings.Replace(plainLlama, `}`, `,"original_max_position_embeddings":32,"rope_scaling":{"type":"yarn","factor":4,"original_max_position_embeddings":64}}`, 1)))
	if err != nil || c.Rope.Original != 32 {
		t.Errorf("original context %d (%v)", c.Rope.Original, err)
	}
}

// TestExactYaRN: a ramp that does not end at whole pairs is another model, in a folder and in our own GGUF files.
func TestExactYaRN(t *testing.T) {
	exact := mustLoad(t, filepath.Join("testdata", "np_yarn"), LoadOptions{})
	if !exact.Config.Rope.Exact {
		t.Fatal("truncate is not read")
	}
	rounded := exact.Config.Rope
	rounded.Exact = false
	if slices.Equal(rounded.frequencies(), exact.Config.Rope.frequencies()) {
		t.Error("the golden model does not tell the difference")
	}
	h, err := exact.Config.hf()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(h); err != nil || !strings.Contains(string(b), `"truncate":false`) {
		t.Errorf("%s, %v", b, err)
	}
}
