package kernel

// The rotary embedding turns pairs of one head by the angles whose cosines and sines are given; negated sines turn
// back, which is the gradient. Source: Su et al. 2021, RoFormer.

// RopeHalf turns the pairs (x[i], x[i+n/2]) of one head of n = len(x) = 2·len(cos) values: the layout of Hugging Face's
// Llama and Qwen.
func RopeHalf(x, cos, sin []float32) {
	same(len(x), 2*len(cos), "RopeHalf")
	same(len(sin), len(cos), "RopeHalf")
	ropeHalf(x, cos, sin)
}

// RopePairs turns the pairs (x[2i], x[2i+1]) of one head of n = len(x) = 2·len(cos) values: the layout of DeepSeek and
// of Llama's own weights.
func RopePairs(x, cos, sin []float32) {
	same(len(x), 2*len(cos), "RopePairs")
	same(len(sin), len(cos), "RopePairs")
	ropePairs(x, cos, sin)
}

func ropeHalfGeneric(x, cos, sin []float32) {
	lo, hi := x[:len(cos)], x[len(cos):]
	for i, c := range cos {
		a, b, s := lo[i], hi[i], sin[i]
		lo[i] = a*c - b*s
		hi[i] = b*c + a*s
	}
}

func ropePairsGeneric(x, cos, sin []float32) {
	for i, c := range cos {
		a, b, s := x[2*i], x[2*i+1], sin[i]
		x[2*i] = a*c - b*s
		x[2*i+1] = b*c + a*s
	}
}
