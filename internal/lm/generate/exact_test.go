package generate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/cpu"
	"retort/internal/compute/op"
	"retort/internal/numtest"
)

// exactModels are the models on which results must not depend on how they are asked for: grouped and latent attention,
// dense and mixture, float32 and quantized weights, float32 and bf16 caches. Prompts cross pages of the cache.
var exactModels = []struct {
	name   string
	path   func(t *testing.T) string
	prompt int // tokens
	cache  op.CacheType
	big    bool // too slow for every test and every kernel implementation
}{
	{"stories260k", func(t *testing.T) string { return stories(t) }, 75, op.CacheF32, false},
	{"stories260k-bf16", func(t *testing.T) string { return stories(t) }, 70, op.CacheBF16, false},
	{"deepseek-v3", func(t *testing.T) string { return writeTiny(t, 3, false) }, 70, op.CacheF32, false},
	{"deepseek-v3-bf16", func(t *testing.T) string { return writeTiny(t, 4, false) }, 70, op.CacheBF16, false},
	{"stories260k-q8", func(t *testing.T) string { return stories(t) }, 70, op.CacheQ8, false},
	{"deepseek-v3-q8", func(t *testing.T) string { return writeTiny(t, 4, false) }, 70, op.CacheQ8, false},
	{"smollm2-135m", func(t *testing.T) string { return numtest.Model(t, "smollm2-135m") }, 12, op.CacheBF16, true},
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
				e := load(t, m.path(t), 2, m.cache)
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

// rowsOf returns the logits behind each of tokens, computed as one prompt.
func rowsOf(t *testing.T, e *Engine, tokens []int32) [][]float32 {
	t.Helper()
	rows := make([][]float32, len(tokens))
	if err := e.Score(t.Context(), tokens, func(row int, z []float32) { rows[row] = slices.Clone(z) }); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestDecodeIsPrefill: a row computed as the next token of an answer, alone or beside others, has the bits that it has as a
// row of a prompt.
func TestDecodeIsPrefill(t *testing.T) {
	eachExact(t, true, func(t *testing.T, e *Engine, prompt []int32) {
		last := len(prompt) - 1
		rows := rowsOf(t, e, prompt)
		var jobs []*Job
		got := make([][][]float32, 5)
		// An answer is made to say the rest of the prompt. Others of other lengths stand before and behind it in the batch.
		for i, n := range []int{5, last - 3, 7, 3, 1} {
			forced := prompt[n:]
			jobs = append(jobs, e.Submit(t.Context(), Request{Prompt: prompt[:n], Max: min(len(forced), 40), Plain: i%2 == 0, Mask: &script{ids: forced},
				Logits: func(_ int32, z []float32) { got[i] = append(got[i], slices.Clone(z)) }}))
		}
		for i, j := range jobs {
			if _, err := j.Wait(); err != nil {
				t.Fatal(err)
			}
			n := []int{5, last - 3, 7, 3, 1}[i]
			for k, z := range got[i] {
				equalBits(t, fmt.Sprintf("answer %d, token %d, against its row of the prompt", i, k), z, rows[n-1+k])
			}
		}
	})
}

// script is a Mask that lets only ids be said, one after the other, and foresees them.
type script struct {
	ids []int32
	at  int
}

func (s *script) Mask(dst []uint64) error {
	if s.at < len(s.ids) {
		dst[s.ids[s.at]>>6] |= 1 << (s.ids[s.at] & 63)
	}
	return nil
}

func (s *script) Accept(id int) error {
	if s.at >= len(s.ids) || int(s.ids[s.at]) != id {
		return fmt.Errorf("%d is not what the script says", id)
	}
	s.at++
	return nil
}

func (s *script) Foresee(dst []int32, most int) []int32 {
	return append(dst, s.ids[s.at:min(s.at+most, len(s.ids))]...)
}

// TestPrefixReuse: what begins as an earlier prompt or answer did uses its pages, to the token, and gives the same bits;
// those who shared go on unharmed.
func TestPrefixReuse(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		long := append(slices.Clone(prompt), randomTokens(e, 2, 150)...)
		first, _ := next(t, e, long)
		for _, n := range []int{len(prompt), 64, 65, 130, len(prompt) / 2, 3, 1} {
			tokens := append(slices.Clone(long[:n]), randomTokens(e, uint64(n), 9)...)
			tokens[n] = (long[n] + 1) % int32(e.Model.Config.Vocab)
			got, reused := next(t, e, tokens)
			if reused != n {
				t.Errorf("%d tokens reused, want %d", reused, n)
			}
			want, _ := next(t, fresh(t, e), tokens)
			equalBits(t, fmt.Sprintf("%d tokens kept", n), got, want)
		}
		again, reused := next(t, e, long)
		if reused != len(long)-1 { // the last one's logits are wanted
			t.Errorf("%d of %d same tokens reused", reused, len(long))
		}
		equalBits(t, "the same again", again, first)

		res := answer(t, e, Request{Prompt: prompt, Max: 80})
		turn := append(append(slices.Clone(prompt), res.Tokens...), 5, 6, 7)
		got, reused := next(t, e, turn)
		if want := len(prompt) + len(res.Tokens) - 1; reused != want { // the last token was never computed
			t.Errorf("%d tokens of the turn before reused, want %d", reused, want)
		}
		want, _ := next(t, fresh(t, e), turn)
		equalBits(t, "the next turn", got, want)
	})
}

// TestWorkersDoNotMatter: the bits are the same on one, two and five workers.
func TestWorkersDoNotMatter(t *testing.T) {
	for _, path := range []string{stories(t), writeTiny(t, 5, false)} {
		var want []float32
		for _, threads := range []int{1, 2, 5} {
			e := load(t, path, threads, op.CacheF32)
			var got []float32
			answer(t, e, Request{Prompt: randomTokens(e, 1, 100), Max: 3, Plain: true, Logits: func(_ int32, z []float32) { got = slices.Clone(z) }})
			if want == nil {
				want = got
			}
			equalBits(t, fmt.Sprintf("%d workers", threads), got, want)
		}
	}
}
