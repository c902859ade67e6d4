// Package data turns examples into batches: which tokens a model sees and which it must predict, in an order that a
// seed decides and a position resumes. It knows no models. Open this file first.
package data

import (
	"math/rand/v2"
	"sort"

	"retort/internal/compute/op"
)

// Example is one training sequence. The model is asked to predict Tokens[i] for every i >= From, from the tokens
// before it: the answer, and not the prompt.
type Example struct {
	Tokens []int32
	From   int     // first token that carries a label; at least 1
	Weight float32 // of each label; 0 means 1
}

// Batch is one pass of a model: whole examples side by side, which do not see one another.
type Batch struct {
	op.Batch
	Labels []op.Label
	Weight float32 // sum of the labels' weights
}

// Pack lays examples out as one batch. The last token of an example is not an input: nothing comes after it.
func Pack(examples []Example) *Batch {
	b := &Batch{}
	for _, e := range examples {
		lo := len(b.Tokens)
		n := len(e.Tokens) - 1
		if n < 1 {
			continue
		}
		w := e.Weight
		if w == 0 {
			w = 1
		}
		for i := range n {
			b.Tokens = append(b.Tokens, e.Tokens[i])
			b.Pos = append(b.Pos, int32(i))
			if i+1 >= e.From {
				b.Labels = append(b.Labels, op.Label{Row: lo + i, Token: e.Tokens[i+1], Weight: w})
				b.Weight += w
			}
		}
		b.Seqs = append(b.Seqs, op.Seq{Lo: lo, Hi: lo + n})
	}
	return b
}

// Loader walks through examples again and again, each epoch in another order. Step i of a Loader depends on its seed
// and i alone, so a run resumes at any step.
type Loader struct {
	Examples []Example
	Batch    int // examples a step
	Tokens   int // tokens a pass at most; a step of more is split into passes whose gradients add up
	Seed     uint64
	Ordered  bool // keep the order of Examples in every epoch: lessons that build on one another
}

// StepsPerEpoch returns how many steps see every example once.
func (l *Loader) StepsPerEpoch() int { return max(1, len(l.Examples)/max(l.Batch, 1)) }

// MaxTokens bounds the tokens of a pass: an example longer than Tokens is a pass of its own.
func (l *Loader) MaxTokens() int {
	longest := 0
	for _, e := range l.Examples {
		longest = max(longest, len(e.Tokens))
	}
	return max(longest, min(l.Tokens, l.Batch*longest))
}

// Step returns the passes of step i. The examples that do not fill a last step of an epoch are left out of it: others in
// each epoch, but with Ordered always the last.
func (l *Loader) Step(i int) []*Batch {
	per := l.StepsPerEpoch()
	epoch, at := i/per, i%per
	order := l.order(epoch)
	chosen := make([]Example, 0, l.Batch)
	for _, k := range order[at*l.Batch : min((at+1)*l.Batch, len(order))] {
		chosen = append(chosen, l.Examples[k])
	}
	// By length, so that passes are even; the order inside a step does not matter to its sum but must be fixed.
	sort.SliceStable(chosen, func(a, b int) bool { return len(chosen[a].Tokens) > len(chosen[b].Tokens) })
	var passes []*Batch
	for len(chosen) > 0 {
		n, tokens := 0, 0
		for n < len(chosen) && (n == 0 || tokens+len(chosen[n].Tokens) <= l.Tokens) {
			tokens += len(chosen[n].Tokens)
			n++
		}
		passes = append(passes, Pack(chosen[:n]))
		chosen = chosen[n:]
	}
	return passes
}

// order returns the places of the examples in an epoch.
func (l *Loader) order(epoch int) []int {
	if !l.Ordered {
		return rand.New(rand.NewPCG(l.Seed, uint64(epoch))).Perm(len(l.Examples))
	}
	order := make([]int, len(l.Examples))
	for i := range order {
		order[i] = i
	}
	return order
}

// Chunks cuts a token stream into examples of n tokens in which every token carries a label: training on plain text.
// Each begins with the last token of the one before, so that no label is lost.
func Chunks(tokens []int32, n int) []Example {
	if n < 1 {
		panic("data: chunks of no tokens")
	}
	var out []Example
	for at := 0; at+1 < len(tokens); at += n {
		out = append(out, Example{Tokens: tokens[at:min(at+n+1, len(tokens))], From: 1})
	}
	return out
}
