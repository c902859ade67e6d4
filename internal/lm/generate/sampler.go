package generate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
)

// SamplerOptions say how the next token is chosen from the logits. The zero value of a limit switches it off;
// temperature 0 takes the most likely token.
type SamplerOptions struct {
	Temperature   float64
	TopK          int
	TopP, MinP    float64
	RepeatPenalty float64 // 1 or 0 is off; above 1 makes recent tokens less likely
	RepeatLast    int     // how many tokens back the penalty looks
	Seed          uint64
}

// Check reports an option that is out of its range.
func (o SamplerOptions) Check() error {
	switch {
	case !(o.Temperature >= 0 && o.Temperature <= 100):
		return fmt.Errorf("generate: temperature is %g, want 0 to 100", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("generate: top-k is %d, want 0 or more", o.TopK)
	case !(o.TopP >= 0 && o.TopP <= 1):
		return fmt.Errorf("generate: top-p is %g, want 0 to 1", o.TopP)
	case !(o.MinP >= 0 && o.MinP <= 1):
		return fmt.Errorf("generate: min-p is %g, want 0 to 1", o.MinP)
	case !(o.RepeatPenalty >= 0 && o.RepeatPenalty <= 10):
		return fmt.Errorf("generate: repeat-penalty is %g, want 0 to 10", o.RepeatPenalty)
	}
	return nil
}

// Sampler chooses tokens. The same seed and logits give the same choices.
type Sampler struct {
	o    SamplerOptions
	rng  *rand.Rand
	cand []candidate
}

type candidate struct {
	id    int32
	logit float32
	p     float64
}

// NewSampler returns a Sampler; the options were checked.
func NewSampler(o SamplerOptions) *Sampler {
	return &Sampler{o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x5265746f7274))}
}

// Sample returns the next token after recent. allowed, if not nil, is a bit set of token ids. It changes logits. The
// order is llama.cpp's: mask, penalty, top-k, top-p, min-p, temperature.
func (s *Sampler) Sample(logits []float32, allowed []uint64, recent []int32) (int32, error) {
	s.penalize(logits, recent)
	if s.o.Temperature == 0 {
		return greedy(logits, allowed)
	}
	s.cand = s.cand[:0]
	for i, z := range logits {
		if permits(allowed, i) && z == z { // a NaN is never chosen
			s.cand = append(s.cand, candidate{id: int32(i), logit: z})
		}
	}
	if len(s.cand) == 0 {
		return 0, errNothing
	}
	c := s.best()
	c = cutTail(c, s.o.TopP, s.o.MinP)
	return s.draw(c), nil
}

var errNothing = fmt.Errorf("generate: no token is allowed here")

func permits(allowed []uint64, id int) bool {
	return allowed == nil || id>>6 < len(allowed) && allowed[id>>6]>>(id&63)&1 == 1
}

func greedy(logits []float32, allowed []uint64) (int32, error) {
	best := -1
	for i, z := range logits {
		if (best < 0 || z > logits[best]) && z == z && permits(allowed, i) {
			best = i
		}
	}
	if best < 0 {
		return 0, errNothing
	}
	return int32(best), nil
}

// penalize divides positive and multiplies negative logits of recent tokens. Source: Keskar et al. 2019, arXiv 1909.05858.
func (s *Sampler) penalize(logits []float32, recent []int32) {
	f := float32(s.o.RepeatPenalty)
	if f == 0 || f == 1 {
		return
	}
	if n := s.o.RepeatLast; n > 0 && len(recent) > n {
		recent = recent[len(recent)-n:]
	}
	seen := map[int32]bool{}
	for _, id := range recent {
		if seen[id] {
			continue
		}
		seen[id] = true
		if logits[id] > 0 {
			logits[id] /= f
		} else {
			logits[id] *= f
		}
	}
}

// best returns the candidates in falling order, the top-k of them, with their probabilities at temperature 1.
func (s *Sampler) best() []candidate {
	c := s.cand
	sort.Slice(c, func(i, j int) bool {
		if c[i].logit != c[j].logit {
			return c[i].logit > c[j].logit
		}
		return c[i].id < c[j].id
	})
	if k := s.o.TopK; k > 0 && len(c) > k {
		c = c[:k]
	}
	sum := 0.0
	for i := range c {
		c[i].p = math.Exp(float64(c[i].logit - c[0].logit))
		sum += c[i].p
	}
	for i := range c {
		c[i].p /= sum
	}
	return c
}

// cutTail keeps the most likely candidates that together reach topP, and of these the ones with at least minP of
// the best's probability. Sources: Holtzman et al. 2019, arXiv 1904.09751; Nguyen et al. 2024, arXiv 2407.01082.
func cutTail(c []candidate, topP, minP float64) []candidate {
	if topP > 0 && topP < 1 {
		sum := 0.0
		for i := range c {
			if sum += c[i].p; sum >= topP {
				c = c[:i+1]
				break
			}
		}
	}
	if minP > 0 {
		for i := range c {
			if c[i].p < minP*c[0].p {
				return c[:i]
			}
		}
	}
	return c
}

// draw chooses one candidate by its probability at the temperature.
func (s *Sampler) draw(c []candidate) int32 {
	sum := 0.0
	for i := range c {
		c[i].p = math.Exp(float64(c[i].logit-c[0].logit) / s.o.Temperature)
		sum += c[i].p
	}
	x := s.rng.Float64() * sum
	for i := range c {
		if x -= c[i].p; x < 0 {
			return c[i].id
		}
	}
	return c[len(c)-1].id
}
