// Package generate turns loaded models into token sequences, for many at once: an Engine is a model with its cache, a
// Request a prompt to be answered, a Job the request at work, a Worker the one goroutine that computes for all engines.
//
// Requests join and leave at any step. A prompt is computed a chunk at a time beside the tokens of others, and whatever
// begins like an earlier prompt uses the keys and values that are there. None of that changes an answer: a request's
// tokens are the same bits alone and in a crowd.
//
// The package knows token ids and never text. Open request.go first, then this file, schedule.go (a step), queue.go (who is at
// work), timeline.go, prefix.go, follow.go and draft.go.
package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/lm/model"
)

// Options of an Engine. The zero value is a usable one.
type Options struct {
	Cache      op.CacheType // how keys and values are kept; a model in float32 keeps them so in any case
	CacheBytes int64        // of the keys and values of all requests together; 0 is room for Requests of Context tokens, in at most 2 GiB
	Context    int          // positions of a request at most, see Engine.Context; 0 is the model's own
	Requests   int          // that have room at a time, where CacheBytes is 0; 0 is defaultRequests
	Slots      int          // requests that are computed at a time; 0 is defaultSlots
	ID         string       // names the weights, for Save and Restore
}

const (
	defaultSlots    = 16
	defaultRequests = 4
	defaultCache    = 2 << 30 // bytes; one request has room in any case
)

// MaxContext bounds Options.Context, whatever is asked for.
const MaxContext = 1 << 24

// Engine is a model ready to answer.
type Engine struct {
	Model *model.Model

	w     *Worker
	o     Options
	limit int // tokens of a timeline

	run   *tensor.Run
	batch op.Batch
	pass  op.Pass // over batch
	rows  []int   // whose logits are wanted
	pages *model.CachePool
	tree  tree
	speed speed
	keys  map[string]*queue
	// active are the requests at work, in the order in which they joined.
	active []*timeline
	clock  func() time.Time
	stats  Stats

	joins   int64       // so many
	came    int64       // so many keys
	level   int64       // served of the key whose turn it was last, of those that have prompts to read
	arrived []*Job      // not in a queue yet
	ended   []*timeline // not told yet
	at      []*timeline // of the step, in the order of the batch
	draft   []int32     // scratch: the last token and what is drafted behind it
	allowed []uint64    // scratch: a mask
	plain   []float32   // scratch: logits before a penalty

	// What others hand over and look at, under w.mu.
	inbox  []*Job
	poked  bool // a request came, or its context ended
	busy   bool // there is work left
	closed bool
	shown  Stats
}

// Stats is what an Engine is doing, and what it did since it was made. Whoever has an answer finds it counted.
type Stats struct {
	Running, Waiting   int           // requests
	Pages, FreePages   int           // of the cache, op.Page positions each; what is kept for later prompts counts as free
	PromptTokens       int64         // of requests that got a first token
	ReusedTokens       int64         // of PromptTokens, those that were not computed for the request
	Decoded            int64         // tokens behind the first of each answer
	Drafted, Taken     int64         // tokens that were computed before they were chosen, and those of them that were then chosen
	Preempted, Evicted int64         // times that a request made way, and pages that were kept and made way
	LongestMixed       time.Duration // the longest step that computed a prompt beside answers: the longest pause between two tokens
}

// New returns an Engine over m, which stays the caller's to close.
func New(w *Worker, m *model.Model, o Options) *Engine {
	if m.Float32 {
		o.Cache = op.CacheF32
	}
	if o.Context <= 0 {
		o.Context = m.Config.Context
	}
	o.Context = min(o.Context, MaxContext)
	if o.Slots <= 0 {
		o.Slots = defaultSlots
	}
	if o.Requests <= 0 {
		o.Requests = defaultRequests
	}
	if o.CacheBytes <= 0 {
		one := int64(m.CacheBytes(o.Context, o.Cache))
		o.CacheBytes = max(one, min(int64(o.Requests)*one, defaultCache))
	}
	e := &Engine{Model: m, w: w, o: o, run: tensor.NewRun(w.pool), keys: map[string]*queue{}, clock: time.Now}
	e.pages = m.NewCachePool(o.Cache, o.CacheBytes)
	e.limit = min(o.Context, e.pages.Capacity()*op.Page)
	e.pass.Run, e.pass.Batch = e.run, &e.batch
	e.allowed = make([]uint64, (m.Config.Vocab+63)/64)
	e.tree.init(e.pages)
	e.shown.Pages, e.shown.FreePages = e.pages.Capacity(), e.pages.Free()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.engines = append(w.engines[:len(w.engines):len(w.engines)], e)
	return e
}

// Context returns how many tokens of a request, prompt and answer together, may be computed. The last token of an answer is
// chosen and not computed: it comes on top.
func (e *Engine) Context() int { return e.limit }

// Stats returns what the engine did and does, as of the last step.
func (e *Engine) Stats() Stats {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return e.shown
}

// Submit hands a request over and returns at once. What is wrong with it, Wait tells: a *ContextError for a prompt that is too
// long, ErrClosed, the error of ctx, *PanicError.
func (e *Engine) Submit(ctx context.Context, req Request) *Job {
	j := &Job{ctx: ctx, req: req, done: make(chan struct{}), submitted: e.clock()}
	if j.err = e.check(&req); j.err != nil {
		j.end()
		return j
	}
	j.req.Prompt = slices.Clone(req.Prompt) // the caller may use the slice again
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if e.closed || e.w.closed {
		j.err = ErrClosed
		j.end()
		return j
	}
	j.stop = context.AfterFunc(ctx, func() {
		e.w.mu.Lock()
		defer e.w.mu.Unlock()
		e.poke()
	})
	e.inbox = append(e.inbox, j)
	e.poke()
	return j
}

// poke has the worker look at e; the lock is held.
func (e *Engine) poke() {
	e.poked = true
	e.w.work.Signal()
}

// Generate answers req: Submit and Wait.
func (e *Engine) Generate(ctx context.Context, req Request) (Result, error) {
	return e.Submit(ctx, req).Wait()
}

// check refuses requests that cannot be answered.
func (e *Engine) check(req *Request) error {
	if len(req.Prompt) == 0 {
		return errors.New("generate: an empty prompt has no next token")
	}
	if len(req.Prompt) > e.limit {
		return &ContextError{len(req.Prompt), e.limit}
	}
	if err := e.checkIDs(req.Prompt); err != nil {
		return err
	}
	return req.Sampler.Check()
}

// checkIDs refuses ids that the model has no row for.
func (e *Engine) checkIDs(tokens []int32) error {
	for _, id := range tokens {
		if id < 0 || int(id) >= e.Model.Config.Vocab {
			return fmt.Errorf("generate: token id %d, want 0 to %d", id, e.Model.Config.Vocab-1)
		}
	}
	return nil
}

// Close ends what is at work with ErrClosed and gives the cache back; when it returns, nothing of e uses the model.
func (e *Engine) Close() {
	e.w.mu.Lock()
	e.closed = true
	e.w.mu.Unlock()
	e.w.Do(func(*par.Pool) { e.shut() })
}

// shut is Close, on the goroutine that computes.
func (e *Engine) shut() {
	e.w.mu.Lock()
	e.closed = true
	e.receive()
	if i := slices.Index(e.w.engines, e); i >= 0 {
		e.w.engines = append(e.w.engines[:i:i], e.w.engines[i+1:]...)
	}
	e.w.mu.Unlock()
	e.queueUp()
	e.drop(func(*timeline) error { return ErrClosed })
	e.tree.clear()
	e.report(false)
}

// use runs f between two steps, unless e was closed.
func (e *Engine) use(f func()) error {
	err := ErrClosed
	e.w.Do(func(*par.Pool) {
		e.w.mu.Lock()
		closed := e.closed
		e.w.mu.Unlock()
		if !closed {
			err = nil
			f()
		}
	})
	return err
}

// forward runs the batch and returns the logits of e.rows, [len(rows), V], valid until release.
func (e *Engine) forward() *tensor.Tensor {
	x := e.Model.Hidden(&e.pass)
	if len(e.rows) == 0 {
		return nil
	}
	return op.Logits(&e.pass, x, e.Model.Head, e.rows)
}

// release gives back what forward returned.
func (e *Engine) release() { e.run.Release(0) }

// reset begins a batch.
func (e *Engine) reset() {
	e.batch.Tokens, e.batch.Pos, e.batch.Seqs, e.rows = e.batch.Tokens[:0], e.batch.Pos[:0], e.batch.Seqs[:0], e.rows[:0]
}

// add appends tokens to the batch, the first of them at position pos of the sequence that cache holds. The logits of the
// last wanted rows are asked for.
func (e *Engine) add(cache *model.KVCache, pos int, tokens []int32, wanted int) {
	lo := len(e.batch.Tokens)
	e.batch.Tokens = append(e.batch.Tokens, tokens...)
	for i := range tokens {
		e.batch.Pos = append(e.batch.Pos, int32(pos+i))
	}
	hi := lo + len(tokens)
	e.batch.Seqs = append(e.batch.Seqs, op.Seq{Lo: lo, Hi: hi, Cache: cache})
	for i := hi - wanted; i < hi; i++ {
		e.rows = append(e.rows, i)
	}
}
