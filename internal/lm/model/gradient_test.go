package model

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
)

// tinyDeepSeek is DeepSeek-V3's shape in small: queries through a latent, a dense layer, a mixture in groups.
func tinyDeepSeek() Config {
	return Config{Arch: "deepseek2", Vocab: 37, Width: 18, Layers: 2, Heads: 3, KVHeads: 3, HeadDim: 10, FFN: 22, Context: 64, Eps: 1e-5,
		Rope: RopeConfig{Dim: 4, Theta: 100, Pairs: true}, MLA: &MLAConfig{QRank: 11, KVRank: 9, Nope: 6, Rope: 4, Value: 5},
		MoE: &MoEConfig{Experts: 6, TopK: 2, Shared: 2, FFN: 7, Dense: 1, Groups: 3, Keep: 2, Sigmoid: true, Normalize: true, Scale: 1.5}}
}

// tinyLlama is grouped-query attention in small.
func tinyLlama() Config {
	return Config{Arch: "llama", Vocab: 37, Width: 20, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 6, FFN: 26, Context: 64, Eps: 1e-5, Tied: true,
		Rope: RopeConfig{Dim: 6, Theta: 100, Pairs: true}}
}

// lively returns a model whose values are large enough for every part to matter.
func lively(t testing.TB, c Config, seed uint64) *Model {
	t.Helper()
	m, err := Fresh(c, seed, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, p := range m.Params() {
		std, mean := 1/math.Sqrt(float64(p.Dims[len(p.Dims)-1])), 0.0
		switch {
		case strings.HasSuffix(p.Name, "norm.weight"):
			std, mean = 0.2, 1
		case strings.HasSuffix(p.Name, ".bias"):
			std = 0.3
		case p.Name == "token_embd.weight":
			std = 0.7
		}
		p.Slices(func(v, _ []float32) {
			for i := range v {
				v[i] = float32(mean + std*rng.NormFloat64())
			}
		})
		p.Changed()
	}
	return m
}

func newRun(t testing.TB) *tensor.Run {
	t.Helper()
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return tensor.NewRun(pool)
}

// Differences of a float32 loss: of a value near 4, good to some 4e-7, over a step of 2e-2 they are good to 2e-5, and
// the curvature adds some 1e-4 of the gradient. Gradients here are of the order of 1e-2 and more.
const (
	gradStep   = 1e-2
	gradTol    = 5e-3 // of the largest gradient of the tensor
	gradSample = 16   // elements of each slice of a tensor
)

// TestGradients compares gradients with differences of the loss, element by element. The balancing bias is far larger
// than any score, so that no step changes which experts are chosen.
func TestGradients(t *testing.T) {
	b := &op.Batch{Tokens: []int32{3, 30, 7, 11, 3, 25, 9, 1, 36, 7, 2, 14}, Pos: []int32{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4}, Seqs: []op.Seq{{Lo: 0, Hi: 7}, {Lo: 7, Hi: 12}}}
	labels := []op.Label{{Row: 2, Token: 11, Weight: 1}, {Row: 5, Token: 9, Weight: 2}, {Row: 6, Token: 4, Weight: 1}, {Row: 7, Token: 36, Weight: 0.5}, {Row: 11, Token: 30, Weight: 1}}
	qwen := tinyLlama()
	qwen.Arch, qwen.Bias, qwen.QKNorm, qwen.Tied, qwen.Rope.Pairs = "qwen3", true, true, false, false
	lite := tinyDeepSeek()
	lite.MLA.QRank, lite.MoE.Sigmoid, lite.MoE.Normalize, lite.MoE.Groups, lite.MoE.Keep = 0, false, false, 1, 1
	for name, c := range map[string]Config{"llama": tinyLlama(), "qwen": qwen, "deepseek-v3": tinyDeepSeek(), "deepseek-v2-lite": lite} {
		t.Run(name, func(t *testing.T) {
			m, run := lively(t, c, 3), newRun(t)
			for _, p := range m.Params() {
				if strings.HasSuffix(p.Name, "exp_probs_b.bias") {
					copy(p.Vector.Data, []float32{0, 20, 5, 6, 25, 0}) // experts 1 and 4, in two groups
				}
			}
			loss := func() float64 {
				defer run.Release(0)
				return m.Loss(&op.Pass{Run: run, Batch: b}, labels, 5.5)
			}
			p := &op.Pass{Run: run, Batch: b, Tape: &op.Tape{}}
			m.Loss(p, labels, 5.5)
			p.Tape.Backward(p)
			run.Release(0)
			rng := rand.New(rand.NewPCG(8, 8))
			for _, p := range m.Params() {
				checkGradient(t, p, rng, loss)
			}
		})
	}
}

// checkGradient tries a sample of p's elements, among them the one with the largest gradient.
func checkGradient(t *testing.T, p Param, rng *rand.Rand, loss func() float64) {
	t.Helper()
	largest := 0.0
	p.Slices(func(_, grad []float32) {
		for _, g := range grad {
			largest = max(largest, math.Abs(float64(g)))
		}
	})
	if strings.HasSuffix(p.Name, "exp_probs_b.bias") {
		if largest != 0 {
			t.Errorf("%s: gradient %g, want none", p.Name, largest)
		}
		return
	}
	if largest < 1e-4 {
		t.Errorf("%s: largest gradient %g: the test sees nothing", p.Name, largest)
	}
	p.Slices(func(v, grad []float32) {
		at := []int{0}
		for i, g := range grad {
			if math.Abs(float64(g)) > math.Abs(float64(grad[at[0]])) {
				at[0] = i
			}
		}
		for range gradSample {
			at = append(at, rng.IntN(len(v)))
		}
		for _, i := range at {
			was := v[i]
			try := func(x float32) float64 {
				v[i] = x
				p.Changed()
				return loss()
			}
			up, down := try(was+gradStep), try(was-gradStep)
			want := (up - down) / float64((was+gradStep)-(was-gradStep))
			v[i] = was
			p.Changed()
			if d := math.Abs(float64(grad[i]) - want); !(d <= gradTol*largest) {
				t.Errorf("%s[%d]: gradient %g, difference quotient %g, error %.2g of the largest (%g)", p.Name, i, grad[i], want, d/largest, largest)
			}
		}
	})
}

// TestCacheIsNoCache: the logits of tokens that go through a cache, in pieces, are those of the whole sequence without
// one. For MLA the cache holds latents and the products are absorbed, without one keys are expanded: two ways to the same
// numbers, up to the order of sums.
func TestCacheIsNoCache(t *testing.T) {
	tokens := []int32{3, 30, 7, 11, 3, 25, 9, 1, 36, 7, 2, 14}
	for name, c := range map[string]Config{"llama": tinyLlama(), "deepseek": tinyDeepSeek()} {
		m, run := lively(t, c, 5), newRun(t)
		whole := batch(tokens, 0, nil)
		rows := make([]int, len(tokens))
		for i := range rows {
			rows[i] = i
		}
		want := slices.Clone(m.Logits(&op.Pass{Run: run, Batch: whole}, rows).Data)
		run.Release(0)
		cache := newCache(m, op.CacheF32, len(tokens))
		for lo := 0; lo < len(tokens); {
			hi := min(lo+1+lo%4, len(tokens))
			got := m.Logits(&op.Pass{Run: run, Batch: batch(tokens[lo:hi], lo, cache)}, rows[:hi-lo]).Data
			for i, v := range got {
				if w := want[lo*c.Vocab+i]; math.Abs(float64(v-w)) > 2e-5 { // logits of some units after forty sums
					t.Fatalf("%s: token %d, logit %d: %v with a cache, %v without", name, lo+i/c.Vocab, i%c.Vocab, v, w)
				}
			}
			run.Release(0)
			lo = hi
		}
	}
}

// batch is one sequence's tokens from position pos on.
func batch(tokens []int32, pos int, cache *KVCache) *op.Batch {
	b := &op.Batch{Tokens: tokens, Seqs: []op.Seq{{Lo: 0, Hi: len(tokens)}}}
	if cache != nil {
		b.Seqs[0].Cache = cache
	}
	for i := range tokens {
		b.Pos = append(b.Pos, int32(pos+i))
	}
	return b
}
