package generate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
)

// propertyTime is how long TestAnyCrowd throws; RETORT_PROPERTY=30m makes it longer.
func propertyTime(t *testing.T) time.Duration {
	if s := os.Getenv("RETORT_PROPERTY"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 3 * time.Second
}

// TestAnyCrowd: whatever runs beside a request, whatever was computed before it, however many workers there are, however
// small the cache is, whoever is sent away for a while, it gets the tokens and the logits that it gets alone: a crowd of random requests that come at random
// times, begin alike or not, are bound by masks or not, go away at any moment. Afterwards nothing is left of them.
func TestAnyCrowd(t *testing.T) {
	models := []*Engine{
		load(t, stories(t), 2, op.CacheF32), load(t, stories(t), 1, op.CacheBF16), load(t, stories(t), 3, op.CacheQ8),
		load(t, writeTiny(t, 3, false), 2, op.CacheF32), load(t, writeTiny(t, 4, false), 3, op.CacheBF16),
	}
	seed := uint64(time.Now().UnixNano())
	end := time.Now().Add(propertyTime(t))
	var sum Stats
	crowds, requests := 0, 0
	for ; !t.Failed() && (crowds < len(models) || time.Now().Before(end)); crowds++ {
		c := newCrowd(models[crowds%len(models)], seed+uint64(crowds))
		c.run(t)
		requests += len(c.members)
		s := c.e.Stats()
		sum.Preempted, sum.Evicted, sum.Drafted, sum.Taken = sum.Preempted+s.Preempted, sum.Evicted+s.Evicted, sum.Drafted+s.Drafted, sum.Taken+s.Taken
		sum.PromptTokens, sum.ReusedTokens, sum.Decoded = sum.PromptTokens+s.PromptTokens, sum.ReusedTokens+s.ReusedTokens, sum.Decoded+s.Decoded
		c.e.Close()
	}
	t.Logf("%d crowds, %d requests, %d tokens, %d of %d prompt tokens reused, %d preemptions, %d pages evicted, %d of %d drafts taken",
		crowds, requests, sum.Decoded, sum.ReusedTokens, sum.PromptTokens, sum.Preempted, sum.Evicted, sum.Taken, sum.Drafted)
	if sum.Preempted == 0 || sum.Evicted == 0 || sum.Taken == 0 || sum.Taken == sum.Drafted || sum.ReusedTokens == 0 {
		t.Error("something never happened: the test shows less than it says")
	}
}

// crowd is an engine and those who want something of it.
type crowd struct {
	base, e *Engine
	seed    uint64
	rng     *rand.Rand
	texts   [][]int32 // what prompts begin with
	members []*member
}

// member is a request, when it comes, and when it goes away: after so many of its tokens, or after a time.
type member struct {
	req    Request
	words  []int32 // of a mask, or nil
	lies   bool
	wait   time.Duration
	leaves int // tokens; -1 stays
	gone   time.Duration
}

func newCrowd(base *Engine, seed uint64) *crowd {
	c := &crowd{base: base, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	r := c.rng
	c.e = newEngineOf(base, Options{Cache: base.o.Cache, Slots: 1 + r.IntN(6), Context: 256, CacheBytes: int64(4+r.IntN(12)) * base.pages.PageBytes()})
	for n := range c.e.speed.rows { // drafts look cheap at first
		c.e.speed.rows[n] = 1e-6
	}
	for range 1 + r.IntN(3) {
		c.texts = append(c.texts, c.words(250))
	}
	for range 3 + r.IntN(12) {
		c.members = append(c.members, c.member())
	}
	return c
}

// words are random tokens that come again and again, as those of texts do.
func (c *crowd) words(n int) []int32 {
	few := 4 + c.rng.IntN(60)
	out := make([]int32, n)
	for i := range out {
		if i > 20 && c.rng.IntN(8) == 0 {
			i += copy(out[i:], out[c.rng.IntN(10):][:c.rng.IntN(10)])
			continue
		}
		out[i] = int32(c.rng.IntN(few) * 7)
	}
	return out
}

func (c *crowd) member() *member {
	r := c.rng
	text := c.texts[r.IntN(len(c.texts))]
	shared := r.IntN(min(len(text), c.e.limit-20))
	m := &member{leaves: -1, wait: time.Duration(r.IntN(20)) * time.Millisecond}
	m.req = Request{Prompt: slices.Concat(text[:shared], c.words(1+r.IntN(15))), Max: r.IntN(60), Plain: r.IntN(5) == 0, Key: []string{"", "a", "b", "c"}[r.IntN(4)]}
	if r.IntN(2) == 0 {
		m.req.Sampler = SamplerOptions{Temperature: 0.2 + r.Float64(), TopK: r.IntN(50), TopP: 0.5 + r.Float64()/2, RepeatPenalty: 1 + r.Float64()/5, RepeatLast: 30, Seed: r.Uint64()}
	}
	switch r.IntN(4) {
	case 0:
		m.words = c.words(300)
	case 1:
		m.lies = true
	}
	switch r.IntN(4) {
	case 0:
		m.leaves = r.IntN(20)
	case 1:
		m.gone = time.Duration(1+r.IntN(30)) * time.Millisecond
	}
	return m
}

// request returns the request anew, with a mask that begins at the beginning and note for what came.
func (m *member) request(vocab int, note func(id int32, z []float32)) Request {
	req := m.req
	req.Logits = note
	if m.words != nil {
		req.Mask = &script{ids: m.words}
	}
	if m.lies {
		all := make([]uint64, (vocab+63)/64)
		for id := range vocab {
			all[id>>6] |= 1 << (id & 63)
		}
		req.Mask = &liar{rand.New(rand.NewPCG(3, 3)), all}
	}
	return req
}

// fingerprint is a hash of logits, bit for bit.
func fingerprint(z []float32) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range z {
		h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
	}
	return h
}

// disturb sends away who is at work and saves what is kept, now and then, until ctx ends.
func (c *crowd) disturb(ctx context.Context) {
	r := rand.New(rand.NewPCG(c.seed, 2))
	for ctx.Err() == nil {
		time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		c.e.w.Do(func(*par.Pool) {
			if n := len(c.e.active); n > 0 && r.IntN(2) == 0 {
				c.e.preempt(c.e.active[r.IntN(n)])
			}
		})
		c.e.Save(ctx, c.texts[r.IntN(len(c.texts))], io.Discard)
	}
}

func (c *crowd) run(t *testing.T) {
	ctx, calm := context.WithCancel(context.Background())
	var others, group sync.WaitGroup
	others.Go(func() { c.disturb(ctx) })
	for i, m := range c.members {
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(m.wait)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if m.gone > 0 {
				time.AfterFunc(m.gone, cancel)
			}
			var prints []uint64
			req := m.request(c.e.Model.Config.Vocab, func(_ int32, z []float32) { prints = append(prints, fingerprint(z)) })
			count := 0
			req.Token = func(int32) bool {
				if count++; count > m.leaves && m.leaves >= 0 {
					cancel()
				}
				return true
			}
			res, err := c.e.Generate(ctx, req)
			if err != nil && !(errors.Is(err, context.Canceled) && (m.leaves >= 0 || m.gone > 0)) {
				t.Errorf("seed %d, request %d: %v", c.seed, i, err)
				return
			}
			c.compare(t, i, m, res, prints, err != nil)
		}()
	}
	group.Wait()
	calm()
	others.Wait()
	c.e.w.Do(func(*par.Pool) {
		used := c.e.pages.Capacity() - c.e.pages.Free()
		if len(c.e.active) > 0 || len(c.e.keys) > 0 || used != len(c.e.tree.all) || c.e.tree.idle() != used {
			t.Errorf("seed %d: %d requests, %d keys, %d pages of which the tree has %d are left", c.seed, len(c.e.active), len(c.e.keys), used, len(c.e.tree.all))
		}
	})
}

// compare holds what came against the same request alone; of one that went away the beginning.
func (c *crowd) compare(t *testing.T, i int, m *member, res Result, prints []uint64, part bool) {
	var want []uint64
	req := m.request(c.e.Model.Config.Vocab, func(_ int32, z []float32) { want = append(want, fingerprint(z)) })
	req.Plain = true
	if part {
		req.Max = max(1, len(res.Tokens))
	}
	e := newEngineOf(c.base, Options{Cache: c.base.o.Cache, Context: c.e.limit})
	defer e.Close()
	lone, err := e.Generate(context.Background(), req)
	if err != nil {
		t.Errorf("seed %d, request %d, alone: %v", c.seed, i, err)
		return
	}
	tokens := lone.Tokens
	if part && len(res.Tokens) <= len(tokens) {
		tokens, want = tokens[:len(res.Tokens)], want[:min(len(want), len(prints))]
	}
	if !slices.Equal(res.Tokens, tokens) || !slices.Equal(prints, want) || !part && res.Finish != lone.Finish {
		t.Errorf("seed %d, request %d (%s): %v %s, alone %v %s", c.seed, i, fmt.Sprintf("%+v", m.req.Sampler), res.Tokens, res.Finish, tokens, lone.Finish)
	}
}
