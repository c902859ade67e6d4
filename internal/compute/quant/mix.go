package quant

import "strings"

// MixQ4KM returns how llama.cpp's Q4_K_M stores a matrix of a model: four bits for most, six where errors cost most
// (values and down projections of the first and last eighth of the layers and of every third between, and the output).
//
// name is GGUF's, such as blk.3.ffn_down.weight; layer is its number out of layers (llama.cpp counts in the order of
// the file), and means nothing for matrices outside of layers. A model whose output shares the embedding names it output.weight here. Vectors and the small
// matrices that route tokens to experts stay F32. The result still has to Fit the row length. The rule is that of
// llama.cpp's llama_tensor_get_type, without its exceptions for single models; ref/mix.py holds it to published files.
func MixQ4KM(name string, layer, layers int) Type {
	part := strings.TrimSuffix(name[strings.LastIndexByte(strings.TrimSuffix(name, ".weight"), '.')+1:], ".weight")
	more := layer < layers/8 || layer >= 7*layers/8 || (layer-layers/8)%3 == 2
	switch {
	case !strings.HasSuffix(name, ".weight") || strings.HasSuffix(part, "_norm") || part == "ffn_gate_inp":
		return F32
	case part == "output":
		return Q6_K
	case more && (part == "attn_v" || part == "ffn_down" || part == "ffn_down_exps" || part == "ffn_down_shexp"):
		return Q6_K
	case part == "attn_qkv":
		return Q5_K
	}
	return Q4_K
}

// Fit returns t, or the next better type whose blocks divide rows of cols weights: a 256-weight format gives way to
// one of 32, and that to F16.
func Fit(t Type, cols int) Type {
	if cols%t.BlockSize() == 0 {
		return t
	}
	if cols%32 != 0 {
		return F16
	}
	switch t {
	case Q2_K, Q3_K:
		return Q4_0
	case Q4_K:
		return Q5_0
	case Q5_K:
		return Q5_1
	}
	return Q8_0
}
