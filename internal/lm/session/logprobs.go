package session

import (
	"cmp"
	"math"
	"slices"

	"retort/internal/compute/kernel"
)

// Choice is a token with the natural logarithm of its probability, before anything of the sampler or a schema.
type Choice struct {
	ID      int32
	Text    string // its bytes, which need not be whole characters
	Logprob float64
}

// Token is a token of an answer, and the likeliest ones in its place, the best first.
type Token struct {
	Choice
	Top []Choice
}

// judge returns token id with its probability by logits, [V], and the top likeliest.
func (f *Form) judge(id int32, logits []float32, top int) Token {
	sum := logSumExp(logits)
	choice := func(id int32) Choice {
		return Choice{id, string(f.text(nil, int(id))), float64(logits[id]) - sum}
	}
	t := Token{Choice: choice(id)}
	for _, best := range largest(logits, top) {
		t.Top = append(t.Top, choice(best))
	}
	return t
}

// logSumExp returns log Σ exp z. Tiles are summed in float32, their sums in float64.
func logSumExp(z []float32) float64 {
	var tile [1024]float32 // ExpSum writes over its input
	most, sum := kernel.Max(z), 0.0
	for lo := 0; lo < len(z); lo += len(tile) {
		n := copy(tile[:], z[lo:])
		sum += float64(kernel.ExpSum(tile[:n], most))
	}
	return math.Log(sum) + float64(most)
}

// largest returns the places of the n largest values, falling; of equals the first comes first.
func largest(z []float32, n int) []int32 {
	var best []int32
	falling := func(a, b int32) int { return cmp.Or(cmp.Compare(z[b], z[a]), cmp.Compare(a, b)) }
	for i := range z {
		if len(best) == n && (n == 0 || !(z[i] > z[best[n-1]])) {
			continue
		}
		at, _ := slices.BinarySearchFunc(best, int32(i), falling)
		best = slices.Insert(best, at, int32(i))[:min(len(best)+1, n)]
	}
	return best
}
