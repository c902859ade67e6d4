package generate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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

// SetTopP sets TopP as people mean it who say a number, and as llama.cpp does: 0 keeps the best token alone.
func (o *SamplerOptions) SetTopP(p float64) {
	if o.TopP = p; p == 0 {
		o.TopP = math.SmallestNonzeroFloat64 // any probability reaches it
	}
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
	seen map[int32]bool // by the penalty
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
	return s.draw(c), nil
}

var errNothing = fmt.Errorf("generate: no token is allowed here")

func permits(allowed []uint64, id int) bool {
	return allowed == nil || id>>6 < len(allowed) && allowed[id>>6]>>(id&63)&1 == 1
}

// greedy returns the first of the largest logits that are allowed; a NaN is none.
func greedy(logits []float32, allowed []uint64) (int32, error) {
	best, most := -1, float32(math.Inf(-1))
	if allowed == nil {
		for i, z := range logits {
			if z > most {
				best, most = i, z
			}
		}
	}
	if best >= 0 {
		return int32(best), nil
	}
	for i, z := range logits { // with a mask, or where nothing is above -Inf
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
	if s.seen == nil {
		s.seen = map[int32]bool{}
	}
	clear(s.seen)
	for _, id := range recent {
		if s.seen[id] {
			continue
		}
		s.seen[id] = true
		if logits[id] > 0 {
			logits[id] /= f
		} else {
			logits[id] *= f
		}
	}
}

// best returns the candidates that top-k, top-p and min-p leave. Sources: Holtzman et al. 2019, arXiv 1904.09751
// (top-p); Nguyen et al. 2024, arXiv 2407.01082 (min-p).
//
// A vocabulary has a hundred thousand tokens and the limits leave a handful: no more are sorted than it takes.
func (s *Sampler) best() []candidate {
	c := s.cand
	if k := s.o.TopK; k > 0 && k < len(c) {
		sortFirst(c, k)
		c = c[:k]
	}
	most, sum := maxLogit(c), 0.0
	for i := range c {
		c[i].p = math.Exp(float64(c[i].logit - most))
		sum += c[i].p
	}
	if s.o.TopP > 0 && s.o.TopP < 1 {
		c = reach(c, s.o.TopP*sum)
	}
	if s.o.MinP > 0 {
		kept := c[:0]
		for _, x := range c {
			if x.p >= s.o.MinP { // p is relative to the best's
				kept = append(kept, x)
			}
		}
		c = kept
	}
	return c
}

func maxLogit(c []candidate) float32 {
	most := c[0].logit
	for _, x := range c {
		most = max(most, x.logit)
	}
	return most
}

// reach returns the most likely candidates that together have at least mass.
func reach(c []candidate, mass float64) []candidate {
	for n := 64; ; n *= 8 {
		n = min(n, len(c))
		sortFirst(c, n)
		sum := 0.0
		for i := range n {
			if sum += c[i].p; sum >= mass {
				return c[:i+1]
			}
		}
		if n == len(c) {
			return c
		}
	}
}

// before orders candidates by falling logit; of equals the lower id is first.
func before(a, b candidate) int {
	if a.logit != b.logit {
		return cmp.Compare(b.logit, a.logit)
	}
	return cmp.Compare(a.id, b.id)
}

// sortFirst brings the first n of c in order to its front: quickselect, and what is left to sort is little more than n.
// Source: Hoare 1961, Algorithm 65 (find).
func sortFirst(c []candidate, n int) {
	lo, hi := 0, len(c) // what is before lo comes before all of c[lo:hi], and that before what is behind hi
	for rounds := 0; hi-lo > 64 && n < hi && rounds < 64; rounds++ {
		if at := lo + split(c[lo:hi]); at < n {
			lo = at + 1
		} else {
			hi = at
		}
	}
	slices.SortFunc(c[:hi], before)
}

// split chooses one of c, puts what comes before it to its left and the others to its right, and returns its place.
func split(c []candidate) int {
	last := len(c) - 1
	mid := last / 2
	for _, pair := range [][2]int{{0, mid}, {mid, last}, {0, mid}} { // the middle one of three
		if i, j := pair[0], pair[1]; before(c[j], c[i]) < 0 {
			c[i], c[j] = c[j], c[i]
		}
	}
	c[mid], c[last] = c[last], c[mid]
	at := 0
	for i := range last {
		if before(c[i], c[last]) < 0 {
			c[i], c[at] = c[at], c[i]
			at++
		}
	}
	c[at], c[last] = c[last], c[at]
	return at
}

// draw chooses one candidate by its probability at the temperature.
func (s *Sampler) draw(c []candidate) int32 {
	most, sum := maxLogit(c), 0.0
	for i := range c {
		c[i].p = math.Exp(float64(c[i].logit-most) / s.o.Temperature)
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
