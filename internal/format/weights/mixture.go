package weights

import (
	"fmt"
	"strings"

	"retort/internal/compute/quant"
)

// Mixture is a way to store a whole model, by llama.cpp's name for it. The zero Mixture leaves matrices as they are.
type Mixture struct {
	Name string
	code uint32     // general.file_type
	Main quant.Type // of most matrices
	head quant.Type // of the output head, or of the embedding that serves as one
	// better, if not nil, names the type of the matrices in which errors cost most: part is such as ffn_down, of which
	// of how many layers. It returns main for all others.
	better func(name, part string, layer, layers int) quant.Type
}

// mixtures are those that a GGUF file can be written in.
var mixtures = []Mixture{
	{"f32", 0, quant.F32, quant.F32, nil},
	{"f16", 1, quant.F16, quant.F16, nil},
	{"bf16", 32, quant.BF16, quant.BF16, nil},
	{"q8_0", 7, quant.Q8_0, quant.Q8_0, nil},
	{"q6_k", 18, quant.Q6_K, quant.Q6_K, nil},
	{"q5_k_m", 17, quant.Q5_K, quant.Q6_K, func(name, _ string, layer, layers int) quant.Type {
		if quant.MixQ4KM(name, layer, layers) == quant.Q6_K {
			return quant.Q6_K
		}
		return quant.Q5_K
	}},
	{"q5_k_s", 16, quant.Q5_K, quant.Q6_K, nil},
	{"q5_1", 9, quant.Q5_1, quant.Q6_K, nil},
	{"q5_0", 8, quant.Q5_0, quant.Q6_K, nil},
	{"q4_k_m", 15, quant.Q4_K, quant.Q6_K, func(name, _ string, layer, layers int) quant.Type { return quant.MixQ4KM(name, layer, layers) }},
	{"q4_k_s", 14, quant.Q4_K, quant.Q6_K, func(_, part string, layer, layers int) quant.Type {
		if part == "attn_v" && layer < 4 || strings.HasPrefix(part, "ffn_down") && layer < layers/8 {
			return quant.Q5_K
		}
		return quant.Q4_K
	}},
	{"q4_1", 3, quant.Q4_1, quant.Q6_K, nil},
	{"q4_0", 2, quant.Q4_0, quant.Q6_K, nil},
}

// copied are the types that are read and not written, with llama.cpp's number for files of them.
var copied = []struct {
	t    quant.Type
	code uint32
}{
	{quant.Q2_K, 10}, {quant.Q3_K, 12}, {quant.IQ2_XXS, 19}, {quant.IQ2_XS, 20}, {quant.IQ3_XXS, 23}, {quant.IQ1_S, 24}, {quant.IQ4_NL, 25},
	{quant.IQ3_S, 26}, {quant.IQ2_S, 28}, {quant.IQ4_XS, 30}, {quant.IQ1_M, 31}, {quant.TQ1_0, 36}, {quant.TQ2_0, 37}, {quant.MXFP4, 38},
}

// FindMixture finds a mixture by its name in either case; q4_k and q5_k are the _m ones, as everywhere.
func FindMixture(name string) (m Mixture, ok bool) {
	low := strings.ToLower(name)
	if low == "q4_k" || low == "q5_k" {
		low += "_m"
	}
	for _, m := range mixtures {
		if m.Name == low {
			return m, true
		}
	}
	return Mixture{}, false
}

// MixtureNames are the names that FindMixture knows.
func MixtureNames() []string {
	names := make([]string, len(mixtures))
	for i, m := range mixtures {
		names[i] = m.Name
	}
	return names
}

// storedAs returns the type in which t is to be stored.
//
// What readers expect in float32 stays so: vectors, and the router of a mixture of experts. Everything else that is a
// matrix is quantized, as in llama.cpp's llama_tensor_get_type without its exceptions for single models.
func (m Mixture) storedAs(t Tensor, in Layout) quant.Type {
	name := t.Name
	switch {
	case len(t.Dims) < 2 || !strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, "_norm.weight") || strings.HasSuffix(name, "ffn_gate_inp.weight"):
		if t.Type == quant.BF16 || t.Type == quant.F16 {
			return quant.F32
		}
		return t.Type
	case m.Name == "": // as it is
		return t.Type
	}
	want, row := m.Main, t.Dims[len(t.Dims)-1]
	switch {
	case name == "output.weight" || in.Tied && name == "token_embd.weight":
		if want = m.head; row%want.BlockSize() != 0 {
			want = quant.Q8_0
		}
	case m.better != nil:
		var layer int
		var part string
		if _, err := fmt.Sscanf(strings.ReplaceAll(name, ".", " "), "blk %d %s weight", &layer, &part); err == nil {
			want = m.better(name, part, layer, in.Layers)
		}
	}
	if want = quant.Fit(want, row); !want.CanEncode() {
		want = quant.Fit(quant.Q8_0, row)
	}
	return want
}

// fileType is general.file_type, by which tools name a file: that of the mixture, or of the type that most of src has.
func (m Mixture) fileType(src Source) uint32 {
	if m.Name != "" {
		return m.code
	}
	bytes, most, code := map[quant.Type]int{}, 0, uint32(0)
	for _, name := range src.Names() {
		t, _ := Describe(src, name)
		bytes[t.Type] += t.size()
	}
	for _, known := range mixtures {
		if bytes[known.Main] > most {
			most, code = bytes[known.Main], known.code
		}
	}
	for _, known := range copied {
		if bytes[known.t] > most {
			most, code = bytes[known.t], known.code
		}
	}
	return code
}
