package generate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
)

// TestPanicOfARequest: a request of which a function panics ends with that as its error; the others are answered.
func TestPanicOfARequest(t *testing.T) {
	e := load(t, stories(t), 2, op.CacheBF16)
	for n := range e.speed.rows {
		e.speed.rows[n] = 1e-6
	}
	prompt := slices.Concat(randomTokens(e, 1, 20), randomTokens(e, 1, 20))
	plain := Request{Prompt: prompt, Max: 20}
	want := alone(t, e, plain)
	for name, set := range map[string]func(*Request){
		"Mask":     func(r *Request) { r.Mask = &bomb{mask: true} },
		"Accept":   func(r *Request) { r.Mask = &bomb{accept: true} },
		"Foresee":  func(r *Request) { r.Mask = &bomb{foresee: true} },
		"Stop":     func(r *Request) { r.Stop = func(int32) bool { panic("boom") } },
		"Token":    func(r *Request) { r.Token = func(int32) bool { panic("boom") } },
		"Logits":   func(r *Request) { r.Logits = func(int32, []float32) { panic("boom") } },
		"Progress": func(r *Request) { r.Progress = func(int, int) { panic("boom") } },
	} {
		t.Run(name, func(t *testing.T) {
			bad := plain
			set(&bad)
			var jobs []*Job
			for _, r := range []Request{plain, bad, plain} {
				jobs = append(jobs, e.Submit(t.Context(), r))
			}
			_, err := jobs[1].Wait()
			var p *PanicError
			if !errors.As(err, &p) || p.Value != "boom" || !strings.Contains(string(p.Stack), "callbacks_test.go") || !strings.Contains(err.Error(), "boom") {
				t.Errorf("%v, want the panic and where it was", err)
			}
			for _, i := range []int{0, 2} {
				if res, err := jobs[i].Wait(); err != nil || !slices.Equal(res.Tokens, want.Tokens) {
					t.Errorf("request %d: %v (%v), want %v", i, res.Tokens, err, want.Tokens)
				}
			}
			idle(t, e)
		})
	}
}

// bomb is a Mask that allows all and panics.
type bomb struct{ mask, accept, foresee bool }

func (b *bomb) Mask(dst []uint64) error {
	if b.mask {
		panic("boom")
	}
	for i := range dst {
		dst[i] = ^uint64(0)
	}
	return nil
}

func (b *bomb) Accept(int) error {
	if b.accept {
		panic("boom")
	}
	return nil
}

func (b *bomb) Foresee(dst []int32, _ int) []int32 {
	if b.foresee {
		panic("boom")
	}
	return dst
}

// TestFunctionsMaySubmit: a request's functions may ask for more and look at what goes on.
func TestFunctionsMaySubmit(t *testing.T) {
	e := load(t, stories(t), 2, op.CacheBF16)
	var more []*Job
	if s := e.Stats(); s.Pages == 0 || s.FreePages != s.Pages {
		t.Errorf("before the first step: %+v", s)
	}
	res := answer(t, e, Request{Prompt: randomTokens(e, 1, 20), Max: 5, Token: func(id int32) bool {
		more = append(more, e.Submit(t.Context(), Request{Prompt: []int32{id, 3}, Max: 4}))
		return e.Stats().Pages > 0
	}})
	if len(more) != 5 {
		t.Fatalf("%d requests of %d tokens", len(more), len(res.Tokens))
	}
	for i, j := range more {
		want := alone(t, e, Request{Prompt: []int32{res.Tokens[i], 3}, Max: 4})
		if res, err := j.Wait(); err != nil || !slices.Equal(res.Tokens, want.Tokens) {
			t.Errorf("request %d: %v (%v), want %v", i, res.Tokens, err, want.Tokens)
		}
	}
}

// TestPromptMayBeUsedAgain: what becomes of the caller's slice after Submit is nobody's business.
func TestPromptMayBeUsedAgain(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	prompt := randomTokens(e, 1, 30)
	want := alone(t, e, Request{Prompt: prompt, Max: 5})
	var job *Job
	byHand(e, func(step func()) {
		job = e.Submit(t.Context(), Request{Prompt: prompt, Max: 5})
		for i := range prompt {
			prompt[i] = 1 << 30
		}
		step()
	})
	if res, err := job.Wait(); err != nil || !slices.Equal(res.Tokens, want.Tokens) {
		t.Errorf("%v (%v), want %v", res.Tokens, err, want.Tokens)
	}
}

// boundless is a Mask that allows all and foresees the ids of next without an end, whatever it is asked for.
type boundless struct {
	bomb
	next []int32
	mine []int32 // a slice of its own
}

func (b *boundless) Foresee(dst []int32, _ int) []int32 {
	if b.mine != nil {
		return b.mine
	}
	return append(dst, b.next...)
}

// TestForeseerWithoutBounds: one that foresees more than it is asked for leads neither past the context nor past Max, and what
// it hands out of its own stays as it is.
func TestForeseerWithoutBounds(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheBF16)
	for _, most := range []int{0, 20} {
		e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Context: 60})
		for n := range e.speed.rows {
			e.speed.rows[n] = 1e-6
		}
		req := Request{Prompt: randomTokens(e, 1, 30), Max: most}
		want := alone(t, e, req)
		long := slices.Concat(want.Tokens[1:], want.Tokens)
		kept := slices.Clone(long)
		for _, m := range []*boundless{{next: long}, {mine: long}} {
			req.Mask = m
			widest := 0
			var job *Job
			byHand(e, func(step func()) {
				job = e.Submit(t.Context(), req)
				for step(); len(e.active) > 0; step() {
					for _, x := range e.at {
						widest = max(widest, x.drafted)
					}
				}
			})
			if res, err := job.Wait(); err != nil || !slices.Equal(res.Tokens, want.Tokens) || res.Finish != FinishLength {
				t.Errorf("at most %d: %v %s (%v), want %v", most, res.Tokens, res.Finish, err, want.Tokens)
			}
			if widest > mostDraft || widest == 0 {
				t.Errorf("at most %d: a draft of %d tokens, want 1 to %d", most, widest, mostDraft)
			}
			if !slices.Equal(long, kept) {
				t.Error("a slice of the Foreseer's own was changed")
			}
		}
	}
}

// TestStopInADraft: a stop token in the middle of a draft ends the answer there, as it does without drafts; a mask that ends
// takes nothing behind its end.
func TestStopInADraft(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	for n := range e.speed.rows {
		e.speed.rows[n] = 1e-6
	}
	words := randomTokens(e, 8, 40)
	words[30] = 511 - words[30]%2
	for _, stop := range []int32{words[1], words[9], words[30]} {
		run := func(plain bool) Result {
			return answer(t, e, Request{Prompt: randomTokens(e, 1, 20), Mask: &script{ids: words}, Plain: plain, Stop: func(id int32) bool { return id == stop }})
		}
		want, got := run(true), run(false)
		if !slices.Equal(got.Tokens, want.Tokens) || got.Finish != FinishStop || got.Decoded != want.Decoded || got.Drafted == 0 && len(want.Tokens) > 1 {
			t.Errorf("stop %d: %+v, without drafts %+v", stop, got, want)
		}
		if n := slices.Index(words, stop); len(got.Tokens) != n {
			t.Errorf("stop %d: %d tokens, want %d", stop, len(got.Tokens), n)
		}
		idle(t, e)
	}
	res, err := e.Generate(t.Context(), Request{Prompt: randomTokens(e, 1, 20), Mask: &script{ids: words}})
	if !errors.Is(err, errNothing) || !slices.Equal(res.Tokens, words) {
		t.Errorf("a mask that ends after %d tokens: %d, %v", len(words), len(res.Tokens), err)
	}
	idle(t, e)
}

// TestEdges: prompts up to the last token of the context, bounds of any sign, and a cache of a single page.
func TestEdges(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	for _, o := range []Options{{Cache: op.CacheF32, CacheBytes: 1}, {Cache: op.CacheF32, Context: 64}, {Cache: op.CacheF32, Context: 63}} {
		e := newEngine(t, base.w, base.Model, o)
		n := e.Context()
		if o.Context == 0 && n != op.Page {
			t.Errorf("a context of %d in a cache of one page", n)
		}
		for _, c := range []struct{ prompt, max, want int }{{n, 0, 1}, {n, 9, 1}, {n - 1, 0, 2}, {n - 1, 1, 1}, {n - 20, -1, 21}, {1, 0, n}, {1, -7, n}, {1, n + 9, n}} {
			for range 2 { // the second time on what the first left
				res := answer(t, e, Request{Prompt: randomTokens(e, 3, c.prompt), Max: c.max})
				if len(res.Tokens) != c.want || res.Finish != FinishLength {
					t.Errorf("%d tokens of context, a prompt of %d, max %d: %d tokens (%s), want %d", n, c.prompt, c.max, len(res.Tokens), res.Finish, c.want)
				}
				idle(t, e)
			}
		}
		var full *ContextError
		if _, err := e.Generate(t.Context(), Request{Prompt: randomTokens(e, 3, n+1)}); !errors.As(err, &full) || full.Tokens != n+1 || full.Limit != n {
			t.Errorf("a prompt of %d tokens: %v", n+1, err)
		}
	}
	if _, err := base.Generate(t.Context(), Request{Prompt: []int32{1}, Sampler: SamplerOptions{Temperature: 1, MinP: 2}}); err == nil || err.Error() != "generate: min-p is 2, want 0 to 1" {
		t.Errorf("a sampler that is none: %v", err)
	}
}
