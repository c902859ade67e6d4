// Package generate turns a loaded model into token sequences: Engine is the model with its workers, Sequence one
// timeline that can be extended, cut back and begun anew, Generate the loop that samples.
//
// Callers hand over whole token prefixes; a Sequence computes only what it does not hold already. The package knows
// token ids and never text. Open this file first, then loop.go and sampler.go.
package generate

import (
	"context"
	"fmt"
	"math"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/lm/model"
)

// prefillChunk is how many prompt tokens go through the model at a time: enough for full GEMM tiles, few enough
// that a cancelled request ends soon and activations stay small.
const prefillChunk = 512

// Engine is a model ready to answer. One goroutine at a time computes with it.
type Engine struct {
	Model *model.Model

	run   *tensor.Run
	cache *model.CachePool
	batch op.Batch
	pass  op.Pass // over batch
	rows  []int   // whose logits are wanted
}

// New returns an Engine over m with the workers of pool; halfCache keeps keys and values in bf16.
func New(m *model.Model, pool *par.Pool, halfCache bool) *Engine {
	cache := op.CacheF32
	if halfCache {
		cache = op.CacheBF16
	}
	e := &Engine{Model: m, run: tensor.NewRun(pool), cache: m.NewCachePool(cache, math.MaxInt64)}
	e.pass.Run, e.pass.Batch = e.run, &e.batch
	return e
}

// Threads returns the number of workers.
func (e *Engine) Threads() int { return e.run.Pool.Threads() }

// Sequence is one timeline: tokens whose keys and values are computed. Its methods belong to one goroutine.
type Sequence struct {
	e      *Engine
	cache  *model.KVCache
	tokens []int32
	limit  int
}

// NewSequence returns an empty timeline of at most limit tokens.
func (e *Engine) NewSequence(limit int) *Sequence {
	return &Sequence{e: e, cache: e.cache.NewCache(), limit: limit}
}

// Tokens returns what the timeline holds.
func (s *Sequence) Tokens() []int32 { return s.tokens }

// ContextError says that a timeline would grow beyond its limit.
type ContextError struct{ Tokens, Limit int }

func (e *ContextError) Error() string {
	return fmt.Sprintf("generate: %d tokens do not fit a context of %d", e.Tokens, e.Limit)
}

// Sync makes the timeline equal to tokens, computing only what follows their common prefix, and sets logits to
// those of the last token, [V]. progress, if not nil, is told how many of the tokens are computed. It returns
// how many were reused.
func (s *Sequence) Sync(ctx context.Context, tokens []int32, logits []float32, progress func(done, total int)) (reused int, err error) {
	if len(tokens) == 0 {
		return 0, fmt.Errorf("generate: an empty prompt has no next token")
	}
	if len(tokens) > s.limit {
		return 0, &ContextError{len(tokens), s.limit}
	}
	if err := s.e.check(tokens); err != nil {
		return 0, err
	}
	n := min(commonPrefix(s.tokens, tokens), len(tokens)-1)
	s.truncate(n)
	for at := n; at < len(tokens); {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		end := min(at+prefillChunk, len(tokens))
		last := end == len(tokens)
		s.e.begin()
		s.e.add(s, tokens[at:end])
		s.e.forward(last, logits)
		at = end
		if progress != nil {
			progress(at, len(tokens))
		}
	}
	return n, nil
}

func (s *Sequence) truncate(n int) {
	s.tokens = s.tokens[:n]
	s.cache.Truncate(n)
}

// borrowMin is how many tokens longer another timeline's common prefix must be to be worth a copy of its cache.
const borrowMin = 32

// borrow copies the beginning of another timeline that has more in common with prompt than s itself.
func (s *Sequence) borrow(others []*Sequence, prompt []int32) {
	best, most := s, commonPrefix(s.tokens, prompt)+borrowMin
	for _, o := range others {
		if n := commonPrefix(o.tokens, prompt); n > most {
			best, most = o, n
		}
	}
	if best == s {
		return
	}
	s.cache.Truncate(0)
	for _, pg := range best.cache.Pages()[:(most+op.Page-1)/op.Page] {
		s.cache.Append(s.e.cache.Copy(pg))
	}
	s.cache.Len = most
	s.tokens = append(s.tokens[:0], best.tokens[:most]...)
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// check refuses ids that the model has no row for.
func (e *Engine) check(tokens []int32) error {
	for _, id := range tokens {
		if id < 0 || int(id) >= e.Model.Config.Vocab {
			return fmt.Errorf("generate: token id %d, want 0 to %d", id, e.Model.Config.Vocab-1)
		}
	}
	return nil
}

// Step extends each timeline by one token as one batch and sets logits[i], [V], to those after it. A row's result
// does not depend on the other timelines.
func (e *Engine) Step(seqs []*Sequence, tokens []int32, logits [][]float32) error {
	e.begin()
	for i, s := range seqs {
		if len(s.tokens) >= s.limit {
			return &ContextError{len(s.tokens) + 1, s.limit}
		}
		e.add(s, tokens[i:i+1])
	}
	e.forward(true, logits...)
	return nil
}

func (e *Engine) begin() {
	e.batch.Tokens, e.batch.Pos, e.batch.Seqs = e.batch.Tokens[:0], e.batch.Pos[:0], e.batch.Seqs[:0]
}

// add appends tokens to the batch as the continuation of s.
func (e *Engine) add(s *Sequence, tokens []int32) {
	lo := len(e.batch.Tokens)
	for i, id := range tokens {
		e.batch.Tokens = append(e.batch.Tokens, id)
		e.batch.Pos = append(e.batch.Pos, int32(len(s.tokens)+i))
	}
	e.batch.Seqs = append(e.batch.Seqs, op.Seq{Lo: lo, Hi: lo + len(tokens), Cache: s.cache})
	s.tokens = append(s.tokens, tokens...)
	s.cache.Len = len(s.tokens)
	for len(s.cache.Pages())*op.Page < s.cache.Len {
		s.cache.Append(e.cache.Take())
	}
}

// forward runs the batch; if wanted, the logits of each sequence's last row are copied out.
func (e *Engine) forward(wanted bool, logits ...[]float32) {
	x := e.Model.Hidden(&e.pass)
	if wanted {
		e.rows = e.rows[:0]
		for _, s := range e.batch.Seqs {
			e.rows = append(e.rows, s.Hi-1)
		}
		z := op.Logits(&e.pass, x, e.Model.Head, e.rows)
		for i := range e.rows {
			copy(logits[i], z.Row(i))
		}
	}
	e.run.Release(0)
}

// Score returns the logits of every row of tokens computed as one fresh sequence, handed to each in order:
// perplexity, exams by likelihood. The slice is valid during the call.
func (e *Engine) Score(ctx context.Context, tokens []int32, each func(row int, logits []float32)) error {
	if err := e.check(tokens); err != nil {
		return err
	}
	s := e.NewSequence(len(tokens))
	for at := 0; at < len(tokens); at += prefillChunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+prefillChunk, len(tokens))
		e.begin()
		e.add(s, tokens[at:end])
		x := e.Model.Hidden(&e.pass)
		const slice = 128 // rows whose logits exist at once
		for lo := 0; lo < end-at; lo += slice {
			rows := make([]int, min(slice, end-at-lo))
			for i := range rows {
				rows[i] = lo + i
			}
			mark := e.run.Mark()
			z := op.Logits(&e.pass, x, e.Model.Head, rows)
			for i := range rows {
				each(at+lo+i, z.Row(i))
			}
			e.run.Release(mark)
		}
		e.run.Release(0)
	}
	return nil
}
