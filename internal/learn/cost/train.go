package cost

// A Mode is how much of a model is trained.
type Mode int

const (
	Full Mode = iota // all weights
	LoRA             // adapters beside frozen weights
)

// TrainFLOP is the arithmetic of training on tokens: 2N forward, 2N for the gradient of activations and, where all weights
// are trained, 2N for theirs. Recomputing activations adds another forward. Attention over the context is left out: at
// a few hundred tokens it is some per cent.
func TrainFLOP(params, tokens int64, mode Mode, recompute bool) float64 {
	perParam := 6.0
	if mode == LoRA {
		perParam = 4
	}
	if recompute {
		perParam += 2
	}
	return perParam * float64(params) * float64(tokens)
}

// GenerateFLOP is the arithmetic of reading or writing tokens: 2N each.
func GenerateFLOP(params, tokens int64) float64 { return 2 * float64(params) * float64(tokens) }

// StateBytes is what AdamW keeps for the trained parameters: a float32 master weight, gradient and two moments, 16 bytes each.
// Frozen weights, activations and the bf16 copy that the forward pass reads come on top.
func StateBytes(trained int64) int64 { return 16 * trained }

// A Stage is one part of a published training run.
type Stage struct {
	Name  string
	Hours float64 // GPU hours
}

// DeepSeekV3 is the published account of the official training of DeepSeek-V3 in H800 hours (technical report, table 1), at the two
// dollars an hour that the report assumes. Research and ablations are not in it.
func DeepSeekV3() (stages []Stage, hour float64) {
	return []Stage{{"pre-training", 2664e3}, {"context extension", 119e3}, {"post-training", 5e3}}, 2
}
