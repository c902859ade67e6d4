package generate

import (
	"time"

	"retort/internal/compute/tensor"
)

// A step of an Engine: those who are gone make room, those who wait join, one pass of the model computes the next token of
// every answer and a chunk of the prompts, and each answer gets its token.
//
// While answers wait for their next token a step reads no more of a prompt than takes about mixedTime, but leastChunk
// tokens at least: that bounds the pause between two tokens of an answer. Alone, prompts are read in larger chunks.
const (
	mostChunk  = 512 // tokens of prompts a step: full tiles, and activations stay small
	leastChunk = 16
	mixedTime  = 100 * time.Millisecond
	aloneTime  = time.Second // bounds how long a request that was cancelled holds its place
)

// step does what there is to do now.
func (e *Engine) step() {
	e.queueUp()
	e.drop(contextErr)
	e.admit()
	if len(e.ended) > 0 { // they need not wait for the others' tokens
		e.report(true)
	}
	computes := e.assemble()
	if computes {
		start := e.clock()
		z := e.forward()
		e.speed.measure(e.at, e.clock().Sub(start), &e.stats)
		e.settle(z)
		e.release()
	}
	e.report(computes)
}

// report tells others what is going on, then hands over the answers that have ended. Where a step without progress leaves
// nobody at work, those who wait need pages that are held for Save or Restore: the worker sleeps until they are given back.
func (e *Engine) report(progress bool) {
	s := e.stats
	s.Running, s.Waiting = len(e.active), 0
	for _, q := range e.keys {
		s.Waiting += len(q.waiting)
	}
	s.Pages, s.FreePages = e.pages.Capacity(), e.pages.Free()+e.tree.idle()
	e.w.mu.Lock()
	e.busy = s.Running > 0 || progress && s.Waiting > 0
	e.shown = s
	e.w.mu.Unlock()
	for _, t := range e.ended {
		t.job.end()
	}
	clear(e.ended)
	e.ended = e.ended[:0]
}

// assemble decides what the step computes, lays out the batch and says whether there is anything.
func (e *Engine) assemble() bool {
	for _, t := range e.active {
		t.rows, t.drafted, t.skipped = 0, 0, false
	}
	answers := e.planAnswers()
	readers := e.planPrompts(answers)
	if readers == 0 {
		e.planDrafts(answers)
	}
	e.reset()
	e.at = e.at[:0]
	for _, t := range e.active {
		if t.rows == 0 {
			continue
		}
		known := t.rows - t.drafted
		t.logits = len(e.rows)
		wanted := 0
		if known == t.pending() {
			wanted = 1 + t.drafted
		}
		if t.drafted > 0 {
			e.draft = append(append(e.draft[:0], t.tokens[t.cache.Len:]...), t.drafts.ids[:t.drafted]...)
			e.add(t.cache, t.cache.Len, e.draft, wanted)
		} else {
			e.add(t.cache, t.cache.Len, t.tokens[t.cache.Len:t.cache.Len+known], wanted)
		}
		t.key.served += int64(t.rows)
		e.at = append(e.at, t)
	}
	return len(e.at) > 0
}

// planAnswers gives every answer at work the row of its last token, and returns how many there are.
func (e *Engine) planAnswers() int {
	count := 0
	for i := 0; i < len(e.active); i++ {
		t := e.active[i]
		if !t.reading() && e.fit(t, t.cache.Len+1) {
			t.rows = 1
			count++
		}
	}
	return count
}

// fit makes room for n positions of t, if need be by preempting whoever joined last, which may be t.
func (e *Engine) fit(t *timeline, n int) bool {
	for !e.room(t, n) {
		last := e.active[len(e.active)-1]
		e.preempt(last)
		if last == t {
			return false
		}
	}
	return true
}

// planPrompts gives rows to prompts, those of keys that were served least first, and returns how many prompts.
func (e *Engine) planPrompts(answers int) int {
	budget := e.speed.chunk(answers > 0)
	count := 0
	for budget > 0 {
		t := e.nextPrompt()
		if t == nil {
			break
		}
		n := piece(t.pending(), budget)
		if e.fit(t, t.cache.Len+n) {
			t.rows = n
			budget -= n
			count++
		}
	}
	return count
}

// piece returns how many of n tokens to read, at most `most`: pieces of one length rather than a short one at the end.
func piece(n, most int) int {
	if n <= most {
		return n
	}
	pieces := (n + most - 1) / most
	even := (n + pieces - 1) / pieces
	return min((even+leastChunk-1)/leastChunk*leastChunk, most)
}

// nextPrompt returns whose prompt is read next, nil where all have their rows or wait for another's.
func (e *Engine) nextPrompt() *timeline {
	for {
		var best *timeline
		for _, t := range e.active {
			if t.reading() && t.rows == 0 && !t.skipped && (best == nil || t.key.served < best.key.served) {
				best = t
			}
		}
		if best == nil {
			return nil
		}
		e.level = max(e.level, best.key.served)
		lead := e.leader(best)
		if lead == best {
			return best
		}
		best.skipped = true
		if lead.rows == 0 {
			return lead
		}
	}
}

// settle takes over what was computed and chooses the next tokens from the logits z.
func (e *Engine) settle(z *tensor.Tensor) {
	for _, t := range e.at {
		known := t.rows - t.drafted
		wanted := known == t.pending()
		t.cache.Len += known
		if !t.chosen {
			t.read += known
			if err := t.progress(); err != nil {
				e.leave(t, err)
				continue
			}
		}
		if wanted {
			e.answer(t, z)
		} else {
			e.share(t)
		}
	}
}
