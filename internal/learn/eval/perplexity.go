// Package eval examines a model: how well it foresees a text, and how it does in exams. It knows the engine and token
// ids; what a task's answer is worth is package task's affair.
package eval

import (
	"context"
	"fmt"
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/lm/generate"
)

// Perplexity is how well a model foresees a text.
type Perplexity struct {
	PPL    float64 `json:"ppl"`    // exp(NLL)
	NLL    float64 `json:"nll"`    // mean negative log-likelihood of a scored token, natural logarithm
	Tokens int     `json:"tokens"` // scored
}

// MeasurePerplexity returns the perplexity of e's model on tokens, a whole text without BOS. It is cut into chunks of
// at most chunk tokens without overlap; each stands alone and is scored from its second token, the short last one
// too. progress, if not nil, is told how many tokens have been read.
//
// A text of fewer than two tokens and a chunk of fewer than two score nothing and are errors.
func MeasurePerplexity(ctx context.Context, e *generate.Engine, tokens []int32, chunk int, progress func(done, total int)) (Perplexity, error) {
	if len(tokens) < 2 || chunk < 2 {
		return Perplexity{}, fmt.Errorf("eval: perplexity of %d tokens in chunks of %d, want 2 at least", len(tokens), chunk)
	}
	var out Perplexity
	sum := 0.0
	for at := 0; at < len(tokens); at += chunk {
		part := tokens[at:min(at+chunk, len(tokens))]
		err := e.Score(ctx, part, func(row int, logits []float32) {
			if row+1 < len(part) {
				sum += surprise(logits, int(part[row+1]))
				out.Tokens++
			}
			if progress != nil {
				progress(at+row+1, len(tokens))
			}
		})
		if err != nil {
			return Perplexity{}, err
		}
	}
	out.NLL = sum / float64(out.Tokens)
	out.PPL = math.Exp(out.NLL)
	return out, nil
}

// surprise returns -log softmax(logits)[id] and overwrites logits. Tiles are summed in float32, their sums in float64:
// the relative error is some 1e-6 whatever the vocabulary.
func surprise(logits []float32, id int) float64 {
	const tile = 1024
	most, want := kernel.Max(logits), logits[id]
	sum := 0.0
	for lo := 0; lo < len(logits); lo += tile {
		sum += float64(kernel.ExpSum(logits[lo:min(lo+tile, len(logits))], most))
	}
	return math.Log(sum) - float64(want-most)
}
