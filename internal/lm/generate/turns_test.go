package generate

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"retort/internal/compute/op"
)

// ended says whether j is answered.
func ended(j *Job) bool {
	select {
	case <-j.Done():
		return true
	default:
		return false
	}
}

// TestLeaderComesBack: who made way while another waited for its prompt, and comes back before the other goes on, stands
// behind it: they do not wait for each other.
func TestLeaderComesBack(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheBF16)
	e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Slots: 5})
	e.speed.prompt = 1 // 16 tokens a step
	common := randomTokens(e, 1, 300)
	requests := []Request{
		{Prompt: randomTokens(e, 4, 16), Max: 100, Key: "b", Plain: true},
		{Prompt: randomTokens(e, 2, 400), Max: 1, Key: "a"},
		{Prompt: randomTokens(e, 5, 400), Max: 1, Key: "a"},
		{Prompt: common, Max: 2, Key: "a"},
		{Prompt: append(slices.Clone(common[:250]), 7), Max: 2, Key: "b"}, // waits for the one before
		{Prompt: randomTokens(e, 3, 16), Max: 1, Key: "c"},                // the one before that makes way for it, and it is read first
	}
	var jobs []*Job
	byHand(e, func(step func()) {
		for i, r := range requests {
			jobs = append(jobs, e.Submit(t.Context(), r))
			if i != 1 && i != 2 {
				step()
			}
			if i == 4 && e.active[4].lead != e.active[3] {
				t.Error("nobody waits for another: the test shows nothing")
			}
			if i == 4 {
				e.keys["b"].served += 1000 // the follower's turn does not come meanwhile
			}
		}
		for !ended(jobs[5]) {
			step()
		}
		if e.stats.Preempted != 1 || jobs[3].res.Preempted != 1 || e.active[3].cache.Len > 0 {
			t.Errorf("%d made way, the leader %d times: the test shows nothing", e.stats.Preempted, jobs[3].res.Preempted)
		}
		step()
		if n := len(e.active); n != 5 || e.active[3].job != jobs[4] || e.active[4].job != jobs[3] {
			t.Error("the leader is not back behind its follower: the test shows nothing")
		}
	})
	for i, j := range jobs {
		res, err := j.Wait()
		if want := alone(t, e, requests[i]); err != nil || !slices.Equal(res.Tokens, want.Tokens) {
			t.Errorf("request %d: %v (%v), want %v", i, res.Tokens, err, want.Tokens)
		}
	}
	idle(t, e)
}

// TestOlderKeysFirst: keys that come all the time, each with one request, keep none waiting that was there before them.
func TestOlderKeysFirst(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheBF16)
	e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Slots: 1})
	byHand(e, func(step func()) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		e.Submit(ctx, Request{Prompt: randomTokens(e, 1, 20), Max: 3, Key: "first"})
		step()
		old := e.Submit(ctx, Request{Prompt: randomTokens(e, 2, 20), Max: 3, Key: "z"})
		step()
		for i := range 20 {
			e.Submit(ctx, Request{Prompt: randomTokens(e, uint64(10+i), 20), Max: 3, Key: fmt.Sprint("a", i)})
			step()
		}
		if !ended(old) {
			t.Error("3 tokens take more than 20 steps for a key that was there before others of the same size")
		}
		cancel()
		step()
	})
}

// TestNobodySavesUp: a key that only answered does not keep the prompts of another waiting later, by what it did not use, and
// neither does one that comes anew.
func TestNobodySavesUp(t *testing.T) {
	for _, late := range []string{"answers", "new"} {
		t.Run(late, func(t *testing.T) {
			e := load(t, stories(t), 1, op.CacheBF16)
			ctx, cancel := context.WithCancel(t.Context())
			byHand(e, func(one func()) {
				step := func() {
					e.speed.prompt = 1 // 16 tokens
					one()
				}
				e.Submit(ctx, Request{Prompt: randomTokens(e, 1, 5), Key: "answers", Plain: true})
				e.Submit(ctx, Request{Prompt: randomTokens(e, 2, 400), Max: 1, Key: "reads"})
				for range 20 {
					step()
				}
				again := e.Submit(ctx, Request{Prompt: randomTokens(e, 3, 100), Max: 1, Key: "reads"})
				e.Submit(ctx, Request{Prompt: randomTokens(e, 4, 400), Max: 1, Key: late})
				for range 26 { // 80 tokens and 100 in 12 steps, and as many of the other key
					step()
				}
				if !ended(again) {
					t.Error("a prompt of 100 tokens waits for all 400 of a key that read nothing before")
				}
				cancel()
				step()
			})
		})
	}
}

// TestTurnIsOfWhoWants: where the prompt of a key that was served much is read since another waits for it, it is the other's
// turn, and who comes then begins level with that one.
func TestTurnIsOfWhoWants(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	e.speed.prompt = 1
	ctx, cancel := context.WithCancel(t.Context())
	common := randomTokens(e, 1, 300)
	byHand(e, func(step func()) {
		e.Submit(ctx, Request{Prompt: common, Max: 1, Key: "much"})
		step()
		e.keys["much"].served = 1e6
		e.Submit(ctx, Request{Prompt: append(slices.Clone(common), 5), Max: 1, Key: "little"})
		step()
		step()
		if e.active[1].lead != e.active[0] || e.active[0].cache.Len < 3*leastChunk {
			t.Error("nobody waits for another: the test shows nothing")
		}
		e.Submit(ctx, Request{Prompt: randomTokens(e, 2, 300), Max: 1, Key: "new"})
		step()
		if n := e.keys["new"].served; n > 1000 {
			t.Errorf("a new key begins with %d rows, beside one with %d", n, e.keys["little"].served)
		}
		cancel()
		step()
	})
}

// TestRoomIsShared: a key whose requests fill the cache makes way for another, as it does where they fill the places.
func TestRoomIsShared(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 6))
	byHand(e, func(step func()) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range 4 {
			e.Submit(ctx, Request{Prompt: randomTokens(e, uint64(i), 70), Max: 200, Key: "many", Plain: true})
		}
		for range 8 {
			step()
		}
		one := e.Submit(ctx, Request{Prompt: randomTokens(e, 9, 70), Max: 3, Key: "one", Plain: true})
		for range 6 {
			step()
		}
		if !ended(one) {
			t.Error("3 tokens take more than 6 steps for a key that had nothing, beside one that fills the cache")
		}
		cancel()
		step()
	})
	idle(t, e)
}

// TestNoMoreThanFit: those join for whose prompts there is room, and nobody is sent away at once.
func TestNoMoreThanFit(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 8))
	e.speed.prompt = 1
	var jobs []*Job
	byHand(e, func(step func()) {
		for i := range 8 {
			jobs = append(jobs, e.Submit(t.Context(), Request{Prompt: randomTokens(e, uint64(i), 110), Max: 5}))
		}
		step()
		if n := len(e.active); n != 3 { // with two pages and room for one more
			t.Errorf("%d requests of two pages join in a cache of 8, want 3", n)
		}
	})
	for i, j := range jobs {
		if res, err := j.Wait(); err != nil || res.Preempted > 0 {
			t.Errorf("request %d: %v, it made way %d times", i, err, res.Preempted)
		}
	}
	idle(t, e)
}

// TestFollowersCountOnce: what a request will have from the one that it follows needs no room of its own.
func TestFollowersCountOnce(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 14))
	e.speed.prompt = 1
	common := randomTokens(e, 1, 256)
	var jobs []*Job
	byHand(e, func(step func()) {
		for i := range 3 {
			jobs = append(jobs, e.Submit(t.Context(), Request{Prompt: append(slices.Clone(common), int32(i), 5), Max: 5}))
		}
		step()
		if n := len(e.active); n != 3 { // 5 pages, one more, and 5 for the last
			t.Errorf("%d of 3 requests with four pages in common join in a cache of 14", n)
		}
	})
	for i, j := range jobs {
		if res, err := j.Wait(); err != nil || res.Preempted > 0 {
			t.Errorf("request %d: %v, it made way %d times", i, err, res.Preempted)
		}
	}
}

// TestReusedIsOfOthers: what a request computed itself before it made way counts as computed, not as reused.
func TestReusedIsOfOthers(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	e.speed.prompt = 1
	var job *Job
	byHand(e, func(step func()) {
		job = e.Submit(t.Context(), Request{Prompt: randomTokens(e, 1, 100), Max: 2})
		for range 5 {
			step()
		}
		e.preempt(e.active[0])
	})
	if res, err := job.Wait(); err != nil || res.Reused != 0 || res.Preempted != 1 {
		t.Errorf("%d tokens reused (%v) of a prompt that nobody had computed", res.Reused, err)
	}
}

// TestWhoWaitsIsSmall: a request has tables and slices of its own from when it joins.
func TestWhoWaitsIsSmall(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheBF16)
	e := newEngine(t, base.w, base.Model, Options{Cache: op.CacheBF16, Slots: 1})
	ctx, cancel := context.WithCancel(t.Context())
	byHand(e, func(step func()) {
		for i := range 2 {
			e.Submit(ctx, Request{Prompt: randomTokens(e, uint64(i), 20)})
		}
		step()
		x := e.keys[""].waiting[0]
		if cap(x.tokens) > 32 || x.sampler != nil || x.drafts.one.head != nil {
			t.Errorf("one that waits has room for %d tokens, a sampler or tables for drafts", cap(x.tokens))
		}
		cancel()
		step()
	})
}
