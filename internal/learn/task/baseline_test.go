package task

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAveragedPerceptron: the weights are the mean of those before the first lesson and after each, by the definition.
func TestAveragedPerceptron(t *testing.T) {
	texts := []string{"a b", "b c", "c a", "a c b", "b b a"}
	values := []string{"x", "y", "x", "z", "y"}
	var examples []Example
	for i, text := range texts {
		examples = append(examples, Example{Text: text, Fields: Fields{"f": values[i]}})
	}
	options := func(text string) []option { return knownOptions(text, []string{"x", "y", "z"}) }
	f := linearField{name: "f", options: options, weights: make([]float32, 1<<hashBits)}
	f.train(examples, rand.New(rand.NewPCG(3, 4)))

	now := linearField{name: "f", options: options, weights: make([]float32, 1<<hashBits)}
	sum, n := map[uint32]float64{}, 1
	rng := rand.New(rand.NewPCG(3, 4))
	touched := map[uint32]bool{}
	for range epochs {
		for _, i := range rng.Perm(len(texts)) {
			list := options(texts[i])
			chosen, right := list[now.best(list)], list[int(values[i][0]-'x')]
			if chosen.value != right.value {
				for _, k := range right.features {
					now.weights[k]++
					touched[k] = true
				}
				for _, k := range chosen.features {
					now.weights[k]--
					touched[k] = true
				}
			}
			n++
			for k := range touched {
				sum[k] += float64(now.weights[k])
			}
		}
	}
	if len(touched) == 0 {
		t.Fatal("nothing is learned: the test sees nothing")
	}
	for k, w := range f.weights {
		if want := sum[uint32(k)] / float64(n); math.Abs(float64(w)-want) > 1e-5 {
			t.Fatalf("weight %d is %g, want %g", k, w, want)
		}
	}
}
