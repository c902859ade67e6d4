package model

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestConfigRoundTrip: what is written is what is read, with every kind of stretched positions.
func TestConfigRoundTrip(t *testing.T) {
	shapes := everyShape()
	dense := shapes["deepseek-v3"]
	dense.MoE = nil
	shapes["deepseek-dense"] = dense
	maps.Copy(shapes, everyStretch())
	for name, c := range shapes {
		h, err := c.hf()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ConfigFromJSON(b)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, b)
			continue
		}
		if got.MLA != nil {
			got.KVHeads, got.HeadDim = c.KVHeads, c.HeadDim
		}
		if want := describe(c); describe(got) != want {
			t.Errorf("%s: read\n%s, wrote\n%s\n%s", name, describe(got), want, b)
		}
		if !slices.EqualFunc(got.Rope.frequencies(), c.Rope.frequencies(), func(a, b float64) bool { return a == b }) ||
			got.Rope.magnitude() != c.Rope.magnitude() || got.softmaxScale() != c.softmaxScale() {
			t.Errorf("%s: positions turn in another way", name)
		}
	}
}

// describe prints all that a config says but what scaling does not use.
func describe(c Config) string {
	r := c.Rope
	c.Rope = RopeConfig{Dim: r.Dim, Theta: r.Theta, Pairs: r.Pairs, Scaling: r.Scaling, MScale: r.MScale}
	s := fmt.Sprintf("%+v", c)
	if c.MLA != nil {
		s += fmt.Sprintf(" %+v", *c.MLA)
	}
	if c.MoE != nil {
		s += fmt.Sprintf(" %+v", *c.MoE)
	}
	before, after, _ := strings.Cut(s, " MLA:")
	_, after, _ = strings.Cut(after, "}")
	return before + after
}

// TestPublishedConfigs reads the keys of published models as their files have them.
func TestPublishedConfigs(t *testing.T) {
	llama3 := `{"architectures":["LlamaForCausalLM"],"attention_bias":false,"head_dim":64,"hidden_act":"silu","hidden_size":2048,"intermediate_size":8192,
		"max_position_embeddings":131072,"mlp_bias":false,"model_type":"llama","num_attention_heads":32,"num_hidden_layers":16,"num_key_value_heads":8,
		"pretraining_tp":1,"rms_norm_eps":1e-05,"rope_scaling":{"factor":32.0,"high_freq_factor":4.0,"low_freq_factor":1.0,"original_max_position_embeddings":8192,
		"rope_type":"llama3"},"rope_theta":500000.0,"tie_word_embeddings":true,"torch_dtype":"bfloat16","vocab_size":128256}`
	c, err := ConfigFromJSON([]byte(llama3))
	if err != nil || !c.Tied || c.Rope.Scaling != "llama3" || c.Rope.Factor != 32 || !c.Rope.Pairs || c.HeadDim != 64 || c.KVHeads != 8 || c.Eps != 1e-5 {
		t.Errorf("llama 3.2: %+v, %v", c, err)
	}
	f := c.Rope.frequencies() // the slowest pair turns 32 times slower, the fastest as before
	if plain := math.Pow(500000, -62.0/64); math.Abs(f[31]*32-plain) > 1e-12 || f[0] != 1 {
		t.Errorf("llama 3.2: frequencies %v to %v", f[0], f[31])
	}
	v3 := `{"model_type":"deepseek_v3","hidden_size":7168,"num_hidden_layers":61,"num_attention_heads":128,"num_key_value_heads":128,"intermediate_size":18432,
		"vocab_size":129280,"max_position_embeddings":163840,"rms_norm_eps":1e-06,"hidden_act":"silu","tie_word_embeddings":false,"attention_bias":false,
		"q_lora_rank":1536,"kv_lora_rank":512,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,"n_routed_experts":256,"n_shared_experts":1,
		"num_experts_per_tok":8,"moe_intermediate_size":2048,"first_k_dense_replace":3,"moe_layer_freq":1,"n_group":8,"topk_group":4,"topk_method":"noaux_tc",
		"scoring_func":"sigmoid","norm_topk_prob":true,"routed_scaling_factor":2.5,"num_nextn_predict_layers":1,"rope_theta":10000,
		"rope_scaling":{"beta_fast":32,"beta_slow":1,"factor":40,"mscale":1.0,"mscale_all_dim":1.0,"original_max_position_embeddings":4096,"type":"yarn"}}`
	c, err = ConfigFromJSON([]byte(v3))
	if err != nil || c.Arch != "deepseek2" || *c.MLA != (MLAConfig{1536, 512, 128, 64, 128}) || c.Rope.MScale != 1 || c.Rope.Magnitude != 1 || c.Rope.Dim != 64 ||
		*c.MoE != (MoEConfig{Experts: 256, TopK: 8, Shared: 1, FFN: 2048, Dense: 3, Groups: 8, Keep: 4, Sigmoid: true, Normalize: true, Scale: 2.5}) {
		t.Errorf("deepseek v3: %+v %+v %+v, %v", c, c.MLA, c.MoE, err)
	}
	v2lite := strings.NewReplacer(`"deepseek_v3"`, `"deepseek_v2"`, `"q_lora_rank":1536`, `"q_lora_rank":null`, `"noaux_tc"`, `"greedy"`, `"sigmoid"`, `"softmax"`,
		`"norm_topk_prob":true`, `"norm_topk_prob":false`, `"n_group":8`, `"n_group":1`, `"topk_group":4`, `"topk_group":1`, `"mscale":1.0,"mscale_all_dim":1.0`, `"mscale":0.707,"mscale_all_dim":0.707`).Replace(v3)
	c, err = ConfigFromJSON([]byte(v2lite))
	if err != nil || c.MLA.QRank != 0 || c.MoE.Sigmoid || c.MoE.Normalize || c.MoE.Groups != 1 || c.MoE.Scale != 2.5 || c.Rope.MScale != 0.707 || c.Rope.Magnitude != 1 {
		t.Errorf("deepseek v2 lite: %+v %+v %+v, %v", c, c.MLA, c.MoE, err)
	}
	qwen3 := `{"model_type":"qwen3","head_dim":128,"hidden_size":1024,"num_hidden_layers":28,"num_attention_heads":16,"num_key_value_heads":8,"intermediate_size":3072,
		"vocab_size":151936,"max_position_embeddings":40960,"rms_norm_eps":1e-06,"tie_word_embeddings":true,"rope_theta":1000000,"rope_scaling":null,"sliding_window":null,"use_sliding_window":false}`
	c, err = ConfigFromJSON([]byte(qwen3))
	if err != nil || !c.QKNorm || c.Bias || c.Rope.Pairs || c.HeadDim != 128 || c.Rope.Theta != 1e6 || c.Rope.Scaling != "" {
		t.Errorf("qwen3: %+v, %v", c, err)
	}
	newer := strings.Replace(qwen3, `"rope_theta":1000000,"rope_scaling":null`, `"rope_parameters":{"rope_theta":5000000,"rope_type":"default"}`, 1)
	if c, err = ConfigFromJSON([]byte(newer)); err != nil || c.Rope.Theta != 5e6 || c.Rope.Scaling != "" {
		t.Errorf("rope_parameters: %+v, %v", c.Rope, err)
	}
}

// TestConfigRefusals: what would be computed wrongly is not computed.
func TestConfigRefusals(t *testing.T) {
	good := `{"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":96,"vocab_size":100,"max_position_embeddings":128}`
	if _, err := ConfigFromJSON([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for old, new := range map[string]string{
		`"llama"`: `"gemma3"`, `"hidden_size":64`: `"hidden_size":-64`, `"num_hidden_layers":2`: `"num_hidden_layers":2000000`, `:4,`: `:0,`, `:96`: `:9.5`,
		`:100`: `:"100"`, `:128}`: `:128,"hidden_act":"gelu"}`, `128}`: `128,"use_qk_norm":true}`, `"max_position_embeddings":128}`: `"rms_norm_eps":1e-5}`,
		`28}`: `28,"rope_scaling":{"type":"dynamic","factor":2}}`, `8}`: `8,"rope_scaling":{"type":"linear","factor":0}}`, `}`: `,"quantization_config":{"quant_method":"awq"}}`,
		`{"model`: `{"use_sliding_window":true,"model`, `{"`: `{"num_key_value_heads":3,"`, `{`: ``, `"vocab_size":100`: `"vocab_size":99999999999999999999`,
		`"num_attention_heads":4`: `"num_attention_heads":4,"head_dim":7`, `e":6`: `e":1e999,"x":6`,
	} {
		text := strings.Replace(good, old, new, 1)
		if c, err := ConfigFromJSON([]byte(text)); err == nil {
			t.Errorf("%s\nis read as %+v", text, c)
		} else if !strings.HasPrefix(err.Error(), "model: ") {
			t.Errorf("error %q does not say that it is the model's", err)
		}
	}
}

// TestBoundsByName: an error of a configuration names the key, the value and what it may be.
func TestBoundsByName(t *testing.T) {
	for want, spoil := range map[string]func(c *Config){
		"model: n_routed_experts is 0, want 1 to 4096":                                  func(c *Config) { c.MoE.Experts = 0 },
		"model: n_routed_experts is 4097, want 1 to 4096":                               func(c *Config) { c.MoE.Experts = 4097 },
		"model: num_experts_per_tok is 0, want 1 to 8":                                  func(c *Config) { c.MoE.TopK = 0 },
		"model: num_experts_per_tok is 9, want 1 to 8":                                  func(c *Config) { c.MoE.TopK = 9 },
		"model: moe_intermediate_size is 0, want 1 to 131072":                           func(c *Config) { c.MoE.FFN = 0 },
		"model: n_shared_experts is -1, want 0 to 64":                                   func(c *Config) { c.MoE.Shared = -1 },
		"model: n_shared_experts is 65, want 0 to 64":                                   func(c *Config) { c.MoE.Shared = 65 },
		"model: first_k_dense_replace is -1, want 0 to 1024":                            func(c *Config) { c.MoE.Dense = -1 },
		"model: n_group is 0, want 1 to 8":                                              func(c *Config) { c.MoE.Groups = 0 },
		"model: n_group is 3, want a divisor of 8 experts":                              func(c *Config) { c.MoE.Groups, c.MoE.Keep = 3, 1 },
		"model: topk_group is 5, want 1 to 4":                                           func(c *Config) { c.MoE.Keep = 5 },
		"model: num_experts_per_tok is 3, want at most 2: the experts of 1 groups of 4": func(c *Config) { c.MoE.Keep, c.MoE.TopK = 1, 3 },
		"model: routed_scaling_factor is 0, want above 0, to 1e4":                       func(c *Config) { c.MoE.Scale = 0 },
		"model: routed_scaling_factor is NaN, want above 0, to 1e4":                     func(c *Config) { c.MoE.Scale = math.NaN() },
		"model: routed_scaling_factor is 20000, want above 0, to 1e4":                   func(c *Config) { c.MoE.Scale = 2e4 },
		"model: q_lora_rank is -1, want 0 to 131072":                                    func(c *Config) { c.MLA.QRank = -1 },
		"model: kv_lora_rank is 0, want 1 to 131072":                                    func(c *Config) { c.MLA.KVRank = 0 },
		"model: qk_nope_head_dim is 0, want 1 to 131072":                                func(c *Config) { c.MLA.Nope = 0 },
		"model: qk_rope_head_dim is 0, want 1 to 131072":                                func(c *Config) { c.MLA.Rope = 0 },
		"model: v_head_dim is 0, want 1 to 131072":                                      func(c *Config) { c.MLA.Value = 0 },
		"model: num_attention_heads is 0, want 1 to 131072":                             func(c *Config) { c.Heads = 0 },
		"model: num_key_value_heads is 0, want 1 to 131072":                             func(c *Config) { c.KVHeads = 0 },
		"model: intermediate_size is 0, want 1 to 1048576":                              func(c *Config) { c.FFN = 0 },
		"model: num_hidden_layers is 1025, want 1 to 1024":                              func(c *Config) { c.Layers = 1025 },
		"model: vocab_size is 0, want 1 to 2097152":                                     func(c *Config) { c.Vocab = 0 },
		"model: shapes of 1 layers, want 2":                                             func(c *Config) { c.PerLayer = make([]LayerShape, 1) },
	} {
		c := tinyDeepSeek()
		c.MoE.Experts, c.MoE.TopK, c.MoE.Groups, c.MoE.Keep = 8, 2, 4, 2
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(&c)
		if err := c.Check(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
