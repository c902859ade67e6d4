package generate

import (
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/lm/model"
)

// liar foresees anything, ids without a row too and more than it is asked for, and masks nothing.
type liar struct {
	rng *rand.Rand
	all []uint64
}

func (l *liar) Mask(dst []uint64) error { copy(dst, l.all); return nil }
func (l *liar) Accept(int) error        { return nil }
func (l *liar) Foresee(dst []int32, most int) []int32 {
	for range l.rng.IntN(most + 4) {
		dst = append(dst, int32(l.rng.IntN(700)-90))
	}
	return dst
}

// TestDraftsChangeNothing: with drafts from the text before, from a mask that knows, and from one that lies, greedy and
// sampled answers and what their tokens' logits were are the same bits as without.
func TestDraftsChangeNothing(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		prompt = slices.Concat(prompt[:40], prompt[:40], prompt[:20])
		all := make([]uint64, (e.Model.Config.Vocab+63)/64)
		for i := range all {
			all[i] = ^uint64(0)
		}
		for i, c := range []struct {
			name    string
			sampler SamplerOptions
			mask    func() Mask
		}{
			{"greedy", SamplerOptions{}, nil},
			{"sampled", SamplerOptions{Temperature: 0.7, TopK: 3, Seed: 5, RepeatPenalty: 1.1, RepeatLast: 20}, nil},
			{"forced", SamplerOptions{Temperature: 1, Seed: 1}, func() Mask { return &script{ids: randomTokens(e, 8, 100)} }},
			{"lies", SamplerOptions{Temperature: 0.9, Seed: 2}, func() Mask { return &liar{rand.New(rand.NewPCG(1, 1)), all} }},
		} {
			run := func(e *Engine, plain bool) (Result, [][]float32) {
				var rows [][]float32
				req := Request{Prompt: prompt, Max: 70, Sampler: c.sampler, Plain: plain, Logits: func(_ int32, z []float32) { rows = append(rows, slices.Clone(z)) }}
				if c.mask != nil {
					req.Mask = c.mask()
				}
				for n := range e.speed.rows { // a row more costs nothing
					e.speed.rows[n] = 1e-9 // what is measured brings that up only slowly
				}
				return answer(t, e, req), rows
			}
			want, wantRows := run(fresh(t, e), true)
			got, rows := run(fresh(t, e), false)
			if want.Drafted != 0 || want.Steps != want.Decoded {
				t.Errorf("%s: %d tokens drafted where none should be", c.name, want.Drafted)
			}
			if !slices.Equal(got.Tokens, want.Tokens) {
				t.Fatalf("%s: %v, want %v", c.name, got.Tokens, want.Tokens)
			}
			for k := range rows {
				equalBits(t, c.name, rows[k], wantRows[k])
			}
			if got.Drafted == 0 || got.Decoded != want.Decoded || got.Steps+got.Taken != got.Decoded {
				t.Errorf("%s: %d tokens in %d steps, %d of %d drafted ones taken", c.name, got.Decoded, got.Steps, got.Taken, got.Drafted)
			}
			if i == 2 && (got.Taken != got.Drafted || got.Steps > 10) {
				t.Errorf("forced text: %d of %d drafts taken, %d steps for %d tokens", got.Taken, got.Drafted, got.Steps, got.Decoded)
			}
		}
	})
}

// TestDrafter: a draft is what stood behind the longest stretch that the text ends with, of equal ones the newest.
func TestDrafter(t *testing.T) {
	for _, c := range []struct {
		tokens []int32
		most   int
		want   []int32
		class  int
	}{
		{[]int32{1, 2, 3}, 4, nil, 0},
		{[]int32{7, 1, 2, 3, 7}, 2, []int32{1, 2}, class1},
		{[]int32{7, 1, 9, 7, 2, 9, 7}, 1, []int32{2}, class2},
		{[]int32{5, 6, 7, 1, 6, 7, 2, 5, 6, 7}, 3, []int32{1, 6, 7}, class3},
		{[]int32{4, 4, 4}, 8, []int32{4}, class2},
		{[]int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 8, []int32{11, 1, 2, 3, 4, 5, 6, 7}, class9},
	} {
		for n := 1; n < len(c.tokens); n++ { // whether it saw the text at once or token by token
			var d drafter
			d.init(4)
			d.look(c.tokens[:n], nil, 3)
			d.look(c.tokens, nil, c.most)
			if !slices.Equal(d.ids, c.want) || len(c.want) > 0 && d.class != c.class {
				t.Errorf("%v: draft %v of class %d, want %v of class %d", c.tokens, d.ids, d.class, c.want, c.class)
			}
		}
	}
}

// TestDraftsMustPay: how many tokens of a draft are computed follows from how often such drafts were taken and from what a
// row more costs.
func TestDraftsMustPay(t *testing.T) {
	for _, c := range []struct {
		name   string
		row    float32 // what a row more costs, in steps
		class  int
		tried  int
		taken  int
		lo, hi int
	}{
		{"free", 0, class3, 0, 0, 12, 16},
		{"forced text, cheap rows", 0.1, classForced, 100, 100, 16, 16},
		{"a good match, cheap rows", 0.1, class9, 10, 9, 8, 16},
		{"a good match, dear rows", 0.8, class9, 10, 9, 1, 2},
		{"rows as dear as steps", 1, classForced, 100, 100, 0, 0},
		{"never taken", 0.1, class1, 10, 0, 0, 0},
	} {
		var s speed
		for n := range s.rows {
			s.rows[n] = 1 + c.row*float32(n-1)
		}
		d := drafter{class: c.class, ids: make([]int32, 16)}
		for range 40 {
			s.learn(&d, c.tried, c.taken)
		}
		if got := s.worth(&d, 1, 1); got < c.lo || got > c.hi {
			t.Errorf("%s: %d tokens, want %d to %d", c.name, got, c.lo, c.hi)
		}
	}
	// What did not pay is tried again after a while: texts change.
	s, d := speed{}, drafter{class: class3, ids: make([]int32, 16)}
	for n := range s.rows {
		s.rows[n] = 1 + 0.5*float32(n-1)
	}
	for range 5 {
		s.learn(&d, 10, 0)
	}
	tries := 0
	for range 300 {
		if s.worth(&d, 1, 1) > 0 {
			tries++
		}
	}
	if tries < 1 || tries > 3 {
		t.Errorf("%d tries in 300 steps, want 1 to 3", tries)
	}
}

// TestSpeedLearns: times of steps by their rows are taken over, a slow outlier weighs little, and what is not known is
// between what is.
func TestSpeedLearns(t *testing.T) {
	var s speed
	var stats Stats
	at := func(rows int) []*timeline {
		return []*timeline{{tokens: []int32{1, 2}, cache: &model.KVCache{Len: 1}, chosen: true, rows: rows}}
	}
	one, five := at(1), at(5)
	for range 30 {
		s.measure(one, 10e6, &stats)
		s.measure(five, 14e6, &stats)
	}
	s.measure(one, 1e9, &stats)
	if got := s.time(1); got < 0.0099 || got > 0.0106 {
		t.Errorf("a step of one row takes %g s, want about 0.01", got)
	}
	if got := s.time(3); got < s.time(1) || got > s.time(5) {
		t.Errorf("three rows take %g s, between %g and %g", got, s.time(1), s.time(5))
	}
	if stats.LongestMixed != 0 {
		t.Error("no step had a prompt")
	}
}
