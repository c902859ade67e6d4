package weights

import (
	"strconv"
	"strings"
)

// names is GGUF's name of each tensor and Hugging Face's. N is the number of a block, E that of an expert: GGUF keeps
// all experts of a block in one tensor, Hugging Face each apart.
var names = [][2]string{
	{"token_embd.weight", "model.embed_tokens.weight"},
	{"output_norm.weight", "model.norm.weight"},
	{"output.weight", "lm_head.weight"},

	{"blk.N.attn_norm.weight", "model.layers.N.input_layernorm.weight"},
	{"blk.N.attn_q.weight", "model.layers.N.self_attn.q_proj.weight"},
	{"blk.N.attn_k.weight", "model.layers.N.self_attn.k_proj.weight"},
	{"blk.N.attn_v.weight", "model.layers.N.self_attn.v_proj.weight"},
	{"blk.N.attn_q.bias", "model.layers.N.self_attn.q_proj.bias"},
	{"blk.N.attn_k.bias", "model.layers.N.self_attn.k_proj.bias"},
	{"blk.N.attn_v.bias", "model.layers.N.self_attn.v_proj.bias"},
	{"blk.N.attn_output.bias", "model.layers.N.self_attn.o_proj.bias"},
	{"blk.N.attn_q_norm.weight", "model.layers.N.self_attn.q_norm.weight"},
	{"blk.N.attn_k_norm.weight", "model.layers.N.self_attn.k_norm.weight"},
	{"blk.N.attn_output.weight", "model.layers.N.self_attn.o_proj.weight"},

	{"blk.N.attn_q_a.weight", "model.layers.N.self_attn.q_a_proj.weight"},
	{"blk.N.attn_q_a_norm.weight", "model.layers.N.self_attn.q_a_layernorm.weight"},
	{"blk.N.attn_q_b.weight", "model.layers.N.self_attn.q_b_proj.weight"},
	{"blk.N.attn_kv_a_mqa.weight", "model.layers.N.self_attn.kv_a_proj_with_mqa.weight"},
	{"blk.N.attn_kv_a_norm.weight", "model.layers.N.self_attn.kv_a_layernorm.weight"},
	{"blk.N.attn_kv_b.weight", "model.layers.N.self_attn.kv_b_proj.weight"},

	{"blk.N.ffn_norm.weight", "model.layers.N.post_attention_layernorm.weight"},
	{"blk.N.ffn_gate.weight", "model.layers.N.mlp.gate_proj.weight"},
	{"blk.N.ffn_up.weight", "model.layers.N.mlp.up_proj.weight"},
	{"blk.N.ffn_down.weight", "model.layers.N.mlp.down_proj.weight"},

	{"blk.N.ffn_gate.bias", "model.layers.N.mlp.gate_proj.bias"},
	{"blk.N.ffn_up.bias", "model.layers.N.mlp.up_proj.bias"},
	{"blk.N.ffn_down.bias", "model.layers.N.mlp.down_proj.bias"},

	{"blk.N.ffn_gate_inp.weight", "model.layers.N.mlp.gate.weight"},
	{"blk.N.exp_probs_b.bias", "model.layers.N.mlp.gate.e_score_correction_bias"},
	{"blk.N.ffn_gate_exps.weight", "model.layers.N.mlp.experts.E.gate_proj.weight"},
	{"blk.N.ffn_up_exps.weight", "model.layers.N.mlp.experts.E.up_proj.weight"},
	{"blk.N.ffn_down_exps.weight", "model.layers.N.mlp.experts.E.down_proj.weight"},
	{"blk.N.ffn_gate_shexp.weight", "model.layers.N.mlp.shared_experts.gate_proj.weight"},
	{"blk.N.ffn_up_shexp.weight", "model.layers.N.mlp.shared_experts.up_proj.weight"},
	{"blk.N.ffn_down_shexp.weight", "model.layers.N.mlp.shared_experts.down_proj.weight"},
}

var toHuggingFace, fromHuggingFace = map[string]string{}, map[string]string{}

func init() {
	for _, n := range names {
		toHuggingFace[n[0]], fromHuggingFace[n[1]] = n[1], n[0]
	}
}

// HuggingFaceName translates GGUF's name of a tensor; expert counts where Hugging Face keeps each expert apart. ok is
// false for a name that has no other.
func HuggingFaceName(name string, expert int) (hf string, ok bool) {
	p, numbers := pattern(name)
	if hf, ok = toHuggingFace[p]; !ok {
		return "", false
	}
	if len(numbers) > 0 {
		hf = strings.Replace(hf, ".N.", "."+strconv.Itoa(numbers[0])+".", 1)
	}
	return strings.Replace(hf, ".E.", "."+strconv.Itoa(expert)+".", 1), true
}

// GGUFName translates Hugging Face's name of a tensor, or of one expert's part of it; expert is -1 where there is none.
func GGUFName(hf string) (name string, expert int, ok bool) {
	p, numbers := pattern(hf)
	if name, ok = fromHuggingFace[p]; !ok {
		return "", 0, false
	}
	if len(numbers) > 0 {
		name = strings.Replace(name, ".N.", "."+strconv.Itoa(numbers[0])+".", 1)
	}
	if len(numbers) > 1 {
		return name, numbers[1], true
	}
	return name, -1, true
}

// Turns says whether the tensor name, GGUF's, holds the queries or keys that positions turn: of llama its rows are in
// another order there than in Hugging Face's files.
func Turns(name string) bool {
	for _, suffix := range []string{".attn_q.weight", ".attn_k.weight", ".attn_q.bias", ".attn_k.bias"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// pattern replaces the numbers between dots by N, the second by E.
func pattern(name string) (p string, numbers []int) {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if part == "N" || part == "E" {
			return "", nil
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || strconv.Itoa(n) != part || len(numbers) == 2 {
			continue
		}
		parts[i] = "NE"[len(numbers):][:1]
		numbers = append(numbers, n)
	}
	return strings.Join(parts, "."), numbers
}
