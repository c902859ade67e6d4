package generate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/cpu"
	"retort/internal/numtest"
)

// exactModels are the models on which results must not depend on how they are asked for: grouped and latent attention,
// dense and mixture, float32 and quantized weights, float32 and bf16 caches. Prompts cross pages of the cache.
var exactModels = []struct {
	name   string
	path   func(t *testing.T) string
	prompt int // tokens
	half   bool
	big    bool // too slow for every test and every kernel implementation
}{
	{"stories260k", func(t *testing.T) string { return stories(t) }, 75, false, false},
	{"stories260k-bf16", func(t *testing.T) string { return stories(t) }, 70, true, false},
	{"deepseek-v3", func(t *testing.T) string { return writeTiny(t, 3, false) }, 70, false, false},
	{"deepseek-v3-bf16", func(t *testing.T) string { return writeTiny(t, 4, false) }, 70, true, false},
	{"smollm2-135m", func(t *testing.T) string { return numtest.Model(t, "smollm2-135m") }, 12, true, true},
}

func writeTiny(t testing.TB, seed uint32, lite bool) string {
	md, tensors := tinyDeepSeek(seed, lite)
	return writeGGUF(t, md, tensors)
}

// eachExact runs f on each small model, or with all set also on the big one, and on every kernel implementation.
func eachExact(t *testing.T, all bool, f func(t *testing.T, e *Engine, prompt []int32)) {
	for _, m := range exactModels {
		if m.big && !all {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			if m.big && len(cpu.Implementations()) == 0 {
				t.Skip("plain Go takes too long")
			}
			run := func(t *testing.T) {
				e := load(t, m.path(t), 2, m.half)
				f(t, e, randomTokens(e, 1, m.prompt))
			}
			if all && !m.big {
				numtest.EachImpl(t, run)
			} else {
				run(t)
			}
		})
	}
}

func randomTokens(e *Engine, seed uint64, n int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(rng.IntN(e.Model.Config.Vocab))
	}
	return out
}

// sync makes s hold tokens and returns the logits after the last.
func sync(t *testing.T, s *Sequence, tokens []int32) (logits []float32, reused int) {
	t.Helper()
	logits = make([]float32, s.e.Model.Config.Vocab)
	reused, err := s.Sync(context.Background(), tokens, logits, nil)
	if err != nil {
		t.Fatal(err)
	}
	return logits, reused
}

// equalBits reports where two rows of logits are not the same bits.
func equalBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: logits[%d] is %v, want %v, bit for bit", what, i, got[i], want[i])
			return
		}
	}
}

// TestDecodeIsPrefill: a row computed alone, as one of a batch of timelines, or as one row of a prompt, has the same bits.
func TestDecodeIsPrefill(t *testing.T) {
	eachExact(t, true, func(t *testing.T, e *Engine, prompt []int32) {
		last := len(prompt) - 1
		fresh := func(tokens []int32) *Sequence {
			s := e.NewSequence(len(prompt) + 8)
			sync(t, s, tokens)
			return s
		}
		whole, _ := sync(t, e.NewSequence(len(prompt)), prompt)

		alone := make([]float32, len(whole))
		if err := e.Step([]*Sequence{fresh(prompt[:last])}, prompt[last:], [][]float32{alone}); err != nil {
			t.Fatal(err)
		}
		equalBits(t, "decoded alone, against the prompt as one", alone, whole)

		// Others of other lengths stand before and behind it in the batch.
		seqs := []*Sequence{fresh(prompt[:5]), fresh(prompt[:last]), fresh(prompt[:7]), fresh(prompt[:last-3]), fresh(prompt[:1])}
		logits := make([][]float32, len(seqs))
		for i := range logits {
			logits[i] = make([]float32, len(whole))
		}
		if err := e.Step(seqs, []int32{prompt[5], prompt[last], prompt[7], prompt[last-3], prompt[1]}, logits); err != nil {
			t.Fatal(err)
		}
		equalBits(t, "decoded in a batch of five", logits[1], whole)
		for i, n := range []int{5, last, 7, last - 3, 1} {
			row, _ := sync(t, e.NewSequence(len(prompt)), prompt[:n+1])
			equalBits(t, fmt.Sprintf("row %d of the batch", i), logits[i], row)
		}

		// Token by token from the beginning, and every row at once.
		rows := map[int][]float32{}
		if err := e.Score(context.Background(), prompt, func(row int, z []float32) { rows[row] = slices.Clone(z) }); err != nil {
			t.Fatal(err)
		}
		s := fresh(prompt[:1])
		for i := 1; i < min(len(prompt), 70); i++ {
			if err := e.Step([]*Sequence{s}, prompt[i:i+1], [][]float32{alone}); err != nil {
				t.Fatal(err)
			}
			equalBits(t, fmt.Sprintf("token %d, against its row of the prompt", i), alone, rows[i])
		}
	})
}

// TestPrefixReuse: a timeline that keeps a part of what it held answers as a fresh one does.
func TestPrefixReuse(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		s := e.NewSequence(2 * len(prompt))
		sync(t, s, append(slices.Clone(prompt), randomTokens(e, 2, 40)...))
		for _, n := range []int{len(prompt), len(prompt) / 2, 3, 1} {
			tokens := append(slices.Clone(prompt[:n]), randomTokens(e, uint64(n), 9)...)
			got, reused := sync(t, s, tokens)
			if reused != n {
				t.Errorf("%d tokens reused, want %d", reused, n)
			}
			want, _ := sync(t, e.NewSequence(2*len(prompt)), tokens)
			equalBits(t, fmt.Sprintf("%d tokens kept", n), got, want)
			if !slices.Equal(s.Tokens(), tokens) {
				t.Errorf("the timeline holds %v, want %v", s.Tokens(), tokens)
			}
		}
		// The very same tokens: the last one is computed again, since its logits are wanted.
		tokens := slices.Clone(s.Tokens())
		got, reused := sync(t, s, tokens)
		want, _ := sync(t, e.NewSequence(2*len(prompt)), tokens)
		if reused != len(tokens)-1 {
			t.Errorf("%d of %d same tokens reused", reused, len(tokens))
		}
		equalBits(t, "the same again", got, want)
	})
}

// TestBorrow: a timeline that copies another's beginning answers as a fresh one, and the two do not share memory.
func TestBorrow(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		a, b := e.NewSequence(2*len(prompt)), e.NewSequence(2*len(prompt))
		sync(t, a, prompt)
		other := append(slices.Clone(prompt[:len(prompt)-9]), randomTokens(e, 3, 20)...)
		sync(t, b, prompt[:2])
		b.borrow([]*Sequence{a, b}, other)
		if n := len(b.tokens); n != len(prompt)-9 {
			t.Fatalf("%d tokens borrowed, want %d", n, len(prompt)-9)
		}
		got, reused := sync(t, b, other)
		if reused != len(prompt)-9 {
			t.Errorf("%d tokens reused", reused)
		}
		want, _ := sync(t, e.NewSequence(2*len(prompt)), other)
		equalBits(t, "the borrower", got, want)
		long := append(slices.Clone(prompt), randomTokens(e, 4, 7)...)
		got, _ = sync(t, a, long)
		want, _ = sync(t, e.NewSequence(2*len(prompt)), long)
		equalBits(t, "the lender, later", got, want)

		c := e.NewSequence(2 * len(prompt))
		if c.borrow([]*Sequence{a, b}, prompt[:borrowMin]); len(c.tokens) != 0 {
			t.Errorf("borrowed %d tokens, not worth a copy", len(c.tokens))
		}
	})
}

// TestWorkersDoNotMatter: the bits are the same on one, two and five workers.
func TestWorkersDoNotMatter(t *testing.T) {
	for _, path := range []string{stories(t), writeTiny(t, 5, false)} {
		var want []float32
		for _, threads := range []int{1, 2, 5} {
			e := load(t, path, threads, false)
			s := e.NewSequence(200)
			sync(t, s, randomTokens(e, 1, 100))
			got := make([]float32, e.Model.Config.Vocab)
			if err := e.Step([]*Sequence{s}, []int32{7}, [][]float32{got}); err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			equalBits(t, fmt.Sprintf("%d workers", threads), got, want)
		}
	}
}

// TestGenerateAllIsOneByOne: answers do not depend on what else is in the batch, greedy or sampled.
func TestGenerateAllIsOneByOne(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		var requests []Request
		for i := range 7 {
			r := Request{Prompt: prompt[:1+(i*13)%len(prompt)], Max: 3 + 4*(i%3)}
			if i%2 == 1 {
				r.Sampler = SamplerOptions{Temperature: 0.8, TopP: 0.9, Seed: uint64(i)}
			}
			if i == 4 {
				r.Prompt = append(slices.Clone(prompt[:len(prompt)-2]), 5, 6) // something to borrow for
			}
			requests = append(requests, r)
		}
		var want []Result
		for _, r := range requests {
			res, err := e.NewSequence(len(prompt)+64).Generate(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Tokens) != r.Max || res.Finish != FinishLength {
				t.Errorf("%d tokens (%s), want %d", len(res.Tokens), res.Finish, r.Max)
			}
			want = append(want, res)
		}
		for _, n := range []int{1, 3} {
			var seqs []*Sequence
			for range n {
				seqs = append(seqs, e.NewSequence(len(prompt)+64))
			}
			at, got := 0, make([]Result, len(requests))
			err := e.GenerateAll(context.Background(), seqs, func() (Request, bool) {
				if at == len(requests) {
					return Request{}, false
				}
				at++
				return requests[at-1], true
			}, func(i int, r Result) { got[i] = r })
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i].Err != nil || !slices.Equal(got[i].Tokens, want[i].Tokens) {
					t.Errorf("%d timelines, request %d: %v (%v), alone %v", n, i, got[i].Tokens, got[i].Err, want[i].Tokens)
				}
			}
		}
	})
}
