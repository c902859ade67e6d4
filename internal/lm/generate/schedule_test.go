package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
)

// byHand runs f on the goroutine that computes, where f takes the steps itself: step takes over what was submitted and
// does one.
func byHand(e *Engine, f func(step func())) {
	e.w.Do(func(*par.Pool) {
		f(func() {
			e.w.mu.Lock()
			e.receive()
			e.w.mu.Unlock()
			e.step()
		})
	})
}

// alone answers req on an engine that knows nothing else and drafts nothing.
func alone(t testing.TB, e *Engine, req Request) Result {
	t.Helper()
	other := newEngine(t, e.w, e.Model, Options{Cache: e.o.Cache, Context: e.o.Context})
	defer other.Close()
	req.Plain = true
	return answer(t, other, req)
}

// tight is room for so many pages.
func tight(e *Engine, pages int) Options {
	return Options{Cache: e.o.Cache, CacheBytes: int64(pages) * e.pages.PageBytes()}
}

// TestCancelFreesWithinAStep: a request whose context ends has no place and no pages of its own after the next step,
// whether it waits, reads its prompt or answers; the others do not notice.
func TestCancelFreesWithinAStep(t *testing.T) {
	base := load(t, stories(t), 2, op.CacheBF16)
	for _, after := range []int{0, 1, 2, 6, 50} { // steps
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Slots: 2})
			e.speed.prompt = 1 // a second a token: the least that a step reads
			ctx, cancel := context.WithCancel(t.Context())
			var jobs []*Job
			requests := []Request{
				{Prompt: randomTokens(e, 1, 20), Max: 60}, {Prompt: randomTokens(e, 2, 90), Max: 100}, {Prompt: randomTokens(e, 3, 30), Max: 10},
			}
			byHand(e, func(step func()) {
				for i, r := range requests {
					c := t.Context()
					if i == 1 {
						c = ctx
					}
					jobs = append(jobs, e.Submit(c, r))
				}
				for range after {
					step()
				}
				cancel()
				step()
				select {
				case <-jobs[1].Done():
				default:
					t.Error("it is still at work one step later")
				}
				for _, x := range e.active {
					if x.job == jobs[1] {
						t.Error("it holds its place one step later")
					}
				}
			})
			for i, j := range jobs {
				res, err := j.Wait()
				want := alone(t, e, requests[i])
				if i == 1 {
					if !errors.Is(err, context.Canceled) || len(res.Tokens) >= len(want.Tokens) || !slices.Equal(res.Tokens, want.Tokens[:len(res.Tokens)]) {
						t.Errorf("cancelled: %v, %v, want the beginning of %v", res.Tokens, err, want.Tokens)
					}
				} else if err != nil || !slices.Equal(res.Tokens, want.Tokens) {
					t.Errorf("request %d: %v, %v, want %v", i, res.Tokens, err, want.Tokens)
				}
			}
			idle(t, e)
		})
	}
}

// idle checks that e holds nothing but what its tree keeps.
func idle(t *testing.T, e *Engine) {
	t.Helper()
	e.w.Do(func(*par.Pool) {
		if len(e.active) > 0 || len(e.keys) > 0 {
			t.Errorf("%d requests at work and %d keys are left", len(e.active), len(e.keys))
		}
		if used := e.pages.Capacity() - e.pages.Free(); used != len(e.tree.all) || e.tree.idle() != used {
			t.Errorf("%d pages are used, the tree has %d, %d of them idle", used, len(e.tree.all), e.tree.idle())
		}
	})
}

// TestFollowers: of requests that begin alike and come at once the beginning is computed once, also where the first goes
// away in the middle of it.
func TestFollowers(t *testing.T) {
	for _, leave := range []bool{false, true} {
		e := load(t, stories(t), 2, op.CacheBF16)
		e.speed.prompt = 0.1 / 32 // 32 tokens a step beside answers, 128 alone
		common := randomTokens(e, 1, 300)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var jobs []*Job
		var requests []Request
		for i := range 4 {
			requests = append(requests, Request{Prompt: append(slices.Clone(common[:300-10*i]), randomTokens(e, uint64(i+2), 20)...), Max: 5, Key: fmt.Sprint(i)})
		}
		rows := 0
		byHand(e, func(step func()) {
			for i, r := range requests {
				c := t.Context()
				if i == 0 {
					c = ctx
				}
				jobs = append(jobs, e.Submit(c, r))
			}
			for range 2 {
				step()
				for _, x := range e.at {
					rows += x.rows
				}
			}
			if leave {
				cancel()
			}
			for len(e.active) > 0 {
				step()
				for _, x := range e.at {
					if x.reading() || len(x.tokens) == x.cache.Len+1 {
						rows += x.rows
					}
				}
			}
		})
		for i, j := range jobs {
			res, err := j.Wait()
			if i == 0 && leave {
				continue
			}
			want := alone(t, e, requests[i])
			if err != nil || !slices.Equal(res.Tokens, want.Tokens) {
				t.Errorf("leave %v, request %d: %v (%v), alone %v", leave, i, res.Tokens, err, want.Tokens)
			}
			if first := i == 0 || leave && i == 1; !first && res.Reused < 260 {
				t.Errorf("leave %v, request %d: %d tokens reused, want 260 at least", leave, i, res.Reused)
			}
		}
		if rows > 500 {
			t.Errorf("leave %v: %d rows were computed for prompts that have 300 tokens in common", leave, rows)
		}
		idle(t, e)
	}
}

// TestPreemption: where the cache is too small for all, requests make way and come back, and none fails or changes.
func TestPreemption(t *testing.T) {
	base := load(t, stories(t), 2, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 5))
	var requests []Request
	var jobs []*Job
	for i := range 6 {
		r := Request{Prompt: randomTokens(e, uint64(i), 30+5*i), Max: 150, Sampler: SamplerOptions{Temperature: 1, Seed: uint64(i)}}
		if i%2 == 1 { // a mask has a state too
			r.Mask = &script{ids: randomTokens(e, 99, 400)}
		}
		requests = append(requests, r)
		jobs = append(jobs, e.Submit(t.Context(), r))
	}
	for i, j := range jobs {
		res, err := j.Wait()
		r := requests[i]
		if r.Mask != nil {
			r.Mask = &script{ids: randomTokens(e, 99, 400)}
		}
		want := alone(t, e, r)
		if err != nil || !slices.Equal(res.Tokens, want.Tokens) {
			t.Errorf("request %d: %v (%v), alone %v", i, res.Tokens, err, want.Tokens)
		}
	}
	if e.Stats().Preempted == 0 {
		t.Error("nobody made way: the test shows nothing")
	}
	idle(t, e)
}

// TestCacheBoundsTheContext: what one request may have is what the cache has room for, and that much can be used.
func TestCacheBoundsTheContext(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 2))
	if e.Context() != 2*op.Page {
		t.Fatalf("a context of %d, want %d", e.Context(), 2*op.Page)
	}
	answer(t, e, Request{Prompt: randomTokens(e, 1, 100), Max: 3})
	res := answer(t, e, Request{Prompt: randomTokens(e, 2, 10)})
	if n := 10 + len(res.Tokens) - 1; res.Finish != FinishLength || n != e.Context() {
		t.Errorf("finish %q after %d tokens, want length after %d", res.Finish, n, e.Context())
	}
	var full *ContextError
	if _, err := e.Generate(t.Context(), Request{Prompt: randomTokens(e, 1, 129)}); !errors.As(err, &full) || full.Tokens != 129 || full.Limit != 128 {
		t.Errorf("a prompt of 129 tokens: %v", err)
	}
}

// TestKeysTakeTurns: a key with many requests does not keep another waiting.
func TestKeysTakeTurns(t *testing.T) {
	base := load(t, stories(t), 2, op.CacheBF16)
	e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Slots: 3})
	var many []*Job
	var one *Job
	byHand(e, func(step func()) {
		for i := range 9 {
			many = append(many, e.Submit(t.Context(), Request{Prompt: randomTokens(e, uint64(i), 20), Max: 60, Key: "many", Plain: true}))
		}
		for range 4 {
			step()
		}
		one = e.Submit(t.Context(), Request{Prompt: randomTokens(e, 50, 20), Max: 5, Key: "one", Plain: true})
		for range 6 {
			step()
		}
		select {
		case <-one.Done():
		default:
			t.Error("5 tokens take more than 6 steps for a key that had nothing, beside one with nine requests")
		}
		if e.stats.Preempted != 1 {
			t.Errorf("%d requests made way, want 1", e.stats.Preempted)
		}
	})
	for i, j := range many {
		res, err := j.Wait()
		if want := alone(t, e, Request{Prompt: randomTokens(e, uint64(i), 20), Max: 60}); err != nil || !slices.Equal(res.Tokens, want.Tokens) {
			t.Errorf("request %d: %v (%v), want %v", i, res.Tokens, err, want.Tokens)
		}
	}
}

// TestPromptsOfKeysTakeTurns: the prompt of a key that was served less is read first.
func TestPromptsOfKeysTakeTurns(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	e.speed.prompt = 1
	byHand(e, func(step func()) {
		for i := range 4 {
			e.Submit(t.Context(), Request{Prompt: randomTokens(e, uint64(i), 200), Max: 1, Key: "many"})
		}
		for range 3 {
			step()
		}
		one := e.Submit(t.Context(), Request{Prompt: randomTokens(e, 9, 30), Max: 1, Key: "one"})
		for range 4 {
			step()
		}
		select {
		case <-one.Done():
		default:
			t.Error("30 tokens of a key that had nothing wait for 800 of another")
		}
	})
}

// TestAnswersDoNotWaitForPrompts: beside a prompt of any length an answer gets a token each step, and a step reads no more
// of the prompt than takes mixedTime.
func TestAnswersDoNotWaitForPrompts(t *testing.T) {
	e := load(t, stories(t), 2, op.CacheBF16)
	byHand(e, func(step func()) {
		e.Submit(t.Context(), Request{Prompt: randomTokens(e, 1, 5), Max: 400, Plain: true})
		for range 3 {
			step()
		}
		x := e.active[0]
		e.Submit(t.Context(), Request{Prompt: randomTokens(e, 2, 450), Max: 1})
		for _, c := range []struct {
			prompt float32 // seconds a token
			want   int     // tokens a step
		}{{0.002, 48}, {0.001, 96}, {0.02, leastChunk}, {1e-6, mostChunk}} {
			e.speed.prompt = c.prompt
			if got := e.speed.chunk(true); got != c.want {
				t.Errorf("%g s a token: %d tokens a step, want %d", c.prompt, got, c.want)
			}
		}
		e.speed.prompt = 0.002
		before := len(x.tokens)
		step()
		if len(x.tokens) != before+1 || len(e.at) != 2 || e.at[1].rows != 48 {
			t.Errorf("the answer went on by %d tokens beside %d rows of a prompt, want 1 and 48", len(x.tokens)-before, e.at[len(e.at)-1].rows)
		}
	})
}

// TestEviction: the page that was used longest ago goes first, and none that is in use or has others behind it.
func TestEviction(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 6))
	a, b, c := randomTokens(e, 1, 120), randomTokens(e, 2, 120), randomTokens(e, 3, 120)
	for _, p := range [][]int32{a, b, c, a} { // six pages, a used last
		next(t, e, p)
	}
	next(t, e, randomTokens(e, 4, 60)) // one page: the newer of b, a leaf, goes
	byHand(e, func(func()) {
		for _, x := range []struct {
			name   string
			tokens []int32
			kept   int
		}{{"a", a, 120}, {"b", b, 64}, {"c", c, 120}} {
			path := e.tree.find(x.tokens)
			part, _ := e.tree.partial(path, x.tokens)
			if got := len(path)*op.Page + part; got != x.kept {
				t.Errorf("%s: %d tokens are kept, want %d", x.name, got, x.kept)
			}
		}
	})
	idle(t, e)
}

// TestTwoEngines: two models share a worker, and each answers as alone.
func TestTwoEngines(t *testing.T) {
	a := load(t, stories(t), 2, op.CacheBF16)
	other := load(t, writeTiny(t, 3, false), 1, op.CacheF32)
	b := newEngine(t, a.w, other.Model, Options{Cache: op.CacheF32})
	var jobs []*Job
	var want []Result
	for i := range 6 {
		e := []*Engine{a, b}[i%2]
		r := Request{Prompt: randomTokens(e, uint64(i), 70), Max: 30}
		want = append(want, alone(t, e, r))
		jobs = append(jobs, e.Submit(t.Context(), r))
	}
	for i, j := range jobs {
		if res, err := j.Wait(); err != nil || !slices.Equal(res.Tokens, want[i].Tokens) {
			t.Errorf("request %d: %v (%v), want %v", i, res.Tokens, err, want[i].Tokens)
		}
	}
}

// TestRefusals: what cannot be answered says why, and nothing waits for a model that was closed.
func TestRefusals(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheF32)
	for _, c := range []struct {
		prompt []int32
		want   string
	}{
		{nil, "generate: an empty prompt has no next token"},
		{[]int32{1, 512}, "generate: token id 512, want 0 to 511"},
		{[]int32{-1}, "generate: token id -1, want 0 to 511"},
	} {
		if _, err := e.Generate(t.Context(), Request{Prompt: c.prompt}); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.prompt, err, c.want)
		}
	}
	if err := e.Score(t.Context(), []int32{512}, nil); err == nil {
		t.Error("Score took a token that is none")
	}
	j := e.Submit(t.Context(), Request{Prompt: []int32{1}, Token: func(int32) bool { return true }})
	e.Close()
	if _, err := j.Wait(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed while it answered: %v", err)
	}
	if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}}); !errors.Is(err, ErrClosed) {
		t.Errorf("submitted later: %v", err)
	}
	e.w.Close()
	if _, err := New(e.w, e.Model, Options{}).Generate(t.Context(), Request{Prompt: []int32{1}}); !errors.Is(err, ErrClosed) {
		t.Errorf("of a worker that is closed: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := load(t, stories(t), 1, op.CacheF32).Generate(ctx, Request{Prompt: []int32{1}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that had ended: %v", err)
	}
}

// TestScoreInPieces: rows of a text longer than what is computed at a time, and than the logits that exist at a time, are
// those of the whole, and a context that ends stops it.
func TestScoreInPieces(t *testing.T) {
	e := load(t, writeTiny(t, 2, false), 2, op.CacheF32)
	tokens := randomTokens(e, 1, 700)
	rows := rowsOf(t, e, tokens)
	for _, n := range []int{1, 127, 128, 129, 256, 512, 513, 640, 700} {
		got, _ := next(t, newEngine(t, e.w, e.Model, Options{Context: 1024}), tokens[:n])
		equalBits(t, fmt.Sprintf("row %d", n-1), got, rows[n-1])
	}
	ctx, cancel := context.WithCancel(t.Context())
	count := 0
	if err := e.Score(ctx, tokens, func(int, []float32) { count++; cancel() }); !errors.Is(err, context.Canceled) || count != 512 {
		t.Errorf("cancelled: %d rows, %v", count, err)
	}
}

// TestPiece: a prompt is read in pieces of about one length, none longer than may be.
func TestPiece(t *testing.T) {
	for _, c := range []struct{ n, most, want int }{{5, 16, 5}, {512, 512, 512}, {513, 512, 272}, {100, 48, 48}, {90, 48, 48}, {65, 48, 48}, {33, 32, 32}, {600, 500, 304}} {
		if got := piece(c.n, c.most); got != c.want {
			t.Errorf("of %d tokens, at most %d: %d, want %d", c.n, c.most, got, c.want)
		}
	}
}
