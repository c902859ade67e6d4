package model

import (
	"math"
	"slices"
	"testing"

	"retort/internal/compute/quant"
)

// TestRopeTensor holds the divisors to those of transformers 5.24: the frequencies without scaling divided by those of
// _compute_llama3_parameters, in torch.
func TestRopeTensor(t *testing.T) {
	for _, c := range []struct {
		dim    int
		factor float64
		first  int // pair with the first divisor that is neither 1 nor factor
		middle []float64
	}{
		{64, 32, 15, []float64{1.65133, 3.29226, 9.66673}},                            // Llama 3.2
		{128, 8, 29, []float64{1.20748, 1.55341, 2.02631, 2.69453, 3.68425, 5.25733}}, // Llama 3.1
	} {
		config := Config{Rope: RopeConfig{Dim: c.dim, Theta: 5e5, Scaling: "llama3", Factor: c.factor, Original: 8192, LowFreq: 1, HighFreq: 4}}
		got := config.RopeTensor()
		if got.Name != "rope_freqs.weight" || got.Type != quant.F32 || !slices.Equal(got.Dims, []int{c.dim / 2}) {
			t.Fatalf("tensor %s of type %v, shape %v", got.Name, got.Type, got.Dims)
		}
		for i, v := range got.Floats() {
			want := 1.0
			if k := i - c.first; k >= len(c.middle) {
				want = c.factor
			} else if k >= 0 {
				want = c.middle[k]
			}
			if math.Abs(float64(v)-want) > 1e-5*want {
				t.Errorf("%d values, divisor %d is %v, want %v", c.dim, i, v, want)
			}
		}
	}
	if plain := tinyLlama(); plain.RopeTensor() != nil {
		t.Error("a model that is not stretched has divisors")
	}
}
