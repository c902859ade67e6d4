package generate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// limitsPlain is what top-k, top-p and min-p leave of the logits, by the definition: everything sorted, one limit after
// the other, each on the probabilities at temperature 1 of what the one before left.
func limitsPlain(logits []float32, o SamplerOptions) []int32 {
	ids := make([]int32, len(logits))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortFunc(ids, func(a, b int32) int {
		if c := cmp.Compare(logits[b], logits[a]); c != 0 {
			return c
		}
		return cmp.Compare(a, b)
	})
	if o.TopK > 0 && o.TopK < len(ids) {
		ids = ids[:o.TopK]
	}
	p := func(i int) float64 { return math.Exp(float64(logits[ids[i]] - logits[ids[0]])) }
	if o.TopP > 0 && o.TopP < 1 {
		total, sum := 0.0, 0.0
		for i := range ids {
			total += p(i)
		}
		for i := range ids {
			if sum += p(i); sum >= o.TopP*total {
				ids = ids[:i+1]
				break
			}
		}
	}
	n := len(ids)
	for o.MinP > 0 && n > 1 && p(n-1) < o.MinP {
		n--
	}
	return ids[:n]
}

func sampleLogits(rng *rand.Rand, n int, spread float64) []float32 {
	z := make([]float32, n)
	for i := range z {
		z[i] = float32(math.Round(rng.NormFloat64()*spread*8) / 8) // many are equal
	}
	return z
}

// TestLimits: every token that the limits leave is drawn, and no other; the likely ones as often as they should.
func TestLimits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, o := range []SamplerOptions{
		{}, {TopK: 1}, {TopK: 7}, {TopK: 5000}, {TopP: 0.5}, {TopP: 0.9}, {TopP: 1e-9}, {TopP: 1}, {MinP: 0.2}, {MinP: 1}, {TopK: 40, TopP: 0.95, MinP: 0.05}, {TopK: 9, MinP: 0.3},
	} {
		o.Temperature = 1
		for _, n := range []int{1, 5, 300, 3000} {
			for _, spread := range []float64{0.01, 1, 6} {
				logits := sampleLogits(rng, n, spread)
				s := NewSampler(o)
				s.cand = s.cand[:0]
				for i, z := range logits {
					s.cand = append(s.cand, candidate{id: int32(i), logit: z})
				}
				var got []int32
				for _, c := range s.best() {
					got = append(got, c.id)
				}
				want := limitsPlain(logits, o)
				if sorted := o.TopK > 0 && o.TopK < n || o.TopP > 0 && o.TopP < 1; !sorted {
					slices.Sort(got)
					slices.Sort(want)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%+v of %d logits: %d candidates, want %d", o, n, len(got), len(want))
				}
			}
		}
	}
}

// TestDistribution: tokens are drawn as often as softmax(logits/temperature) says, within five deviations.
func TestDistribution(t *testing.T) {
	logits := []float32{1, 0, 2.5, -1, 2, float32(math.Inf(-1)), float32(math.NaN())}
	const draws = 20000
	for _, temperature := range []float64{0.5, 1, 2} {
		s := NewSampler(SamplerOptions{Temperature: temperature, Seed: 3})
		count, sum := make([]int, len(logits)), 0.0
		for _, z := range logits[:5] {
			sum += math.Exp(float64(z) / temperature)
		}
		for range draws {
			id, err := s.Sample(slices.Clone(logits), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			count[id]++
		}
		for i, z := range logits[:5] {
			p := math.Exp(float64(z)/temperature) / sum
			if d := math.Abs(float64(count[i]) - p*draws); d > 5*math.Sqrt(p*(1-p)*draws) {
				t.Errorf("temperature %g: token %d was drawn %d times of %d, want %.0f", temperature, i, count[i], draws, p*draws)
			}
		}
		if count[5]+count[6] != 0 {
			t.Errorf("a token without probability was drawn")
		}
	}
}

func TestSeedDecides(t *testing.T) {
	logits := sampleLogits(rand.New(rand.NewPCG(2, 2)), 500, 1)
	draw := func(seed uint64) (ids []int32) {
		s := NewSampler(SamplerOptions{Temperature: 1, TopP: 0.95, Seed: seed})
		for range 20 {
			id, err := s.Sample(slices.Clone(logits), nil, ids)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		return ids
	}
	if !slices.Equal(draw(1), draw(1)) || slices.Equal(draw(1), draw(2)) {
		t.Error("the same seed gives another text, or another seed the same")
	}
}

func TestMaskAndPenalty(t *testing.T) {
	for _, temperature := range []float64{0, 0.7} {
		s := NewSampler(SamplerOptions{Temperature: temperature, TopK: 1, RepeatPenalty: 2, RepeatLast: 3})
		sample := func(logits []float32, allowed []uint64, recent ...int32) int32 {
			id, err := s.Sample(slices.Clone(logits), allowed, recent)
			if err != nil {
				return -1
			}
			return id
		}
		for _, c := range []struct {
			want   int32
			logits []float32
			mask   []uint64
			recent []int32
		}{
			{1, []float32{1, 3, 2}, nil, nil},
			{0, []float32{3, 3, 2}, nil, nil}, // of equals the first
			{2, []float32{1, 3, 2}, []uint64{0b101}, nil},
			{-1, []float32{1, 3, 2}, []uint64{0}, nil},
			{-1, []float32{1, 3, 2}, []uint64{}, nil},                              // ids beyond the mask are not allowed
			{2, []float32{1, 3, 2}, nil, []int32{1}},                               // 3 becomes 1.5
			{0, []float32{-1.5, -1, -3}, nil, []int32{1}},                          // -1 becomes -2
			{2, []float32{1, 3, 2}, nil, []int32{1, 1, 1}},                         // once, not three times
			{1, []float32{1, 3, 2}, nil, []int32{1, 0, 0, 0}},                      // too long ago
			{1, []float32{float32(math.NaN()), -5, float32(math.NaN())}, nil, nil}, // a NaN is never chosen
			{-1, []float32{float32(math.NaN())}, nil, nil},
		} {
			if got := sample(c.logits, c.mask, c.recent...); got != c.want {
				t.Errorf("temperature %g: %v, mask %b, after %v: token %d, want %d", temperature, c.logits, c.mask, c.recent, got, c.want)
			}
		}
	}
}

func TestSamplerOptions(t *testing.T) {
	if err := (SamplerOptions{Temperature: 0.7, TopK: 40, TopP: 0.9, MinP: 0.05, RepeatPenalty: 1.1, RepeatLast: 64}).Check(); err != nil {
		t.Error(err)
	}
	for _, o := range []SamplerOptions{{Temperature: -1}, {Temperature: math.NaN()}, {Temperature: 101}, {TopK: -1}, {TopP: 1.1}, {TopP: -0.1}, {MinP: 2}, {MinP: math.NaN()}, {RepeatPenalty: -1}, {RepeatPenalty: 11}} {
		if o.Check() == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestSamplingDoesNotAllocate: a token costs no allocation once the sampler has worked.
func TestSamplingDoesNotAllocate(t *testing.T) {
	logits, work := sampleLogits(rand.New(rand.NewPCG(5, 5)), 5000, 2), make([]float32, 5000)
	recent := make([]int32, 64)
	for i := range recent {
		recent[i] = int32(i % 40)
	}
	for _, o := range []SamplerOptions{{}, {Temperature: 1, TopK: 40, TopP: 0.95, MinP: 0.05, RepeatPenalty: 1.1}, {Temperature: 1, TopP: 0.9}} {
		s := NewSampler(o)
		step := func() {
			copy(work, logits)
			if _, err := s.Sample(work, nil, recent); err != nil {
				t.Fatal(err)
			}
		}
		step()
		if n := testing.AllocsPerRun(20, step); n > 0 {
			t.Errorf("%+v: %.1f allocations a token", o, n)
		}
	}
}

// BenchmarkSample draws from a vocabulary of Qwen's size.
func BenchmarkSample(b *testing.B) {
	logits := sampleLogits(rand.New(rand.NewPCG(6, 6)), 151936, 3)
	work := make([]float32, len(logits))
	for name, o := range map[string]SamplerOptions{"greedy": {}, "top-k": {TopK: 40, TopP: 0.95, Temperature: 0.7}, "top-p": {TopP: 0.95, Temperature: 0.7}, "free": {Temperature: 0.7}} {
		b.Run(name, func(b *testing.B) {
			s := NewSampler(o)
			for b.Loop() {
				copy(work, logits)
				s.Sample(work, nil, nil)
			}
		})
	}
}

// Who says 0 of top-p means the best token alone, as in llama.cpp; who says nothing means no limit.
func TestSetTopP(t *testing.T) {
	for _, c := range []struct {
		p    float64
		best bool
	}{{0, true}, {1, false}, {0.999, false}} {
		o := SamplerOptions{Temperature: 100, Seed: 1}
		o.SetTopP(c.p)
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		s, best := NewSampler(o), true
		for range 50 {
			id, err := s.Sample([]float32{1, 1.5, 1.2, 1.1}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			best = best && id == 1
		}
		if best != c.best {
			t.Errorf("top-p %g keeps the best alone: %v, want %v", c.p, best, c.best)
		}
	}
}

// TestGreedyIsTheFirstLargest: with and without a mask, among NaN, infinities and equals.
func TestGreedyIsTheFirstLargest(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		logits []float32
		want   int32 // -1 is none
	}{
		{[]float32{1, 3, 2, 3}, 1}, {[]float32{nan, 1, nan, 2}, 3}, {[]float32{-inf, -inf}, 0}, {[]float32{nan, -inf, -inf}, 1}, {[]float32{nan, nan}, -1},
		{[]float32{inf, 1, inf}, 0}, {nil, -1}, {[]float32{-5, -4}, 1},
	} {
		for _, allowed := range [][]uint64{nil, {^uint64(0)}} {
			got, err := greedy(c.logits, allowed)
			if (err != nil) != (c.want < 0) || err == nil && got != c.want {
				t.Errorf("%v, mask %v: %d (%v), want %d", c.logits, allowed != nil, got, err, c.want)
			}
		}
	}
	if got, _ := greedy([]float32{9, 1, 2, 8}, []uint64{0b0110}); got != 2 {
		t.Errorf("masked: %d, want 2", got)
	}
}
