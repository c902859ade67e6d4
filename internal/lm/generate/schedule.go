package generate

import (
	"slices"
	"time"

	"retort/internal/compute/op"
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
	aloneTime  = 400 * time.Millisecond // bounds how long a request that was cancelled holds its place
	leadLeast  = 32                     // tokens that another must be about to compute to be worth waiting for
)

// queue is what one key has waiting and at work.
type queue struct {
	key     string
	waiting []*timeline
	running int
	served  int64 // tokens computed for it; who comes anew begins with the least of those who are there
}

// receive takes over what came in; the worker's lock is held.
func (e *Engine) receive() {
	e.arrived = append(e.arrived, e.inbox...)
	clear(e.inbox)
	e.inbox, e.poked = e.inbox[:0], false
}

// step does what there is to do now.
func (e *Engine) step() {
	e.queueUp()
	e.dropEnded()
	e.admit()
	if e.assemble() {
		start := e.clock()
		z := e.forward()
		e.speed.measure(e.at, e.clock().Sub(start), &e.stats)
		e.settle(z)
		e.release()
	}
	e.report()
}

// report tells the worker whether there is more to do, and others what is going on.
func (e *Engine) report() {
	s := e.stats
	s.Running, s.Waiting = len(e.active), 0
	for _, q := range e.keys {
		s.Waiting += len(q.waiting)
	}
	s.Pages, s.FreePages = e.pages.Capacity(), e.pages.Free()+e.tree.idle()
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	e.busy = s.Running+s.Waiting > 0
	e.shown = s
}

// queueUp puts what arrived into the queues of their keys.
func (e *Engine) queueUp() {
	for _, j := range e.arrived {
		q := e.keys[j.req.Key]
		if q == nil {
			q = &queue{key: j.req.Key}
			for i, o := range e.keysInOrder() {
				if i == 0 || o.served < q.served {
					q.served = o.served
				}
			}
			e.keys[j.req.Key] = q
		}
		t := e.newTimeline(j)
		t.key = q
		q.waiting = append(q.waiting, t)
	}
	clear(e.arrived)
	e.arrived = e.arrived[:0]
}

// keysInOrder returns the queues in an order that does not depend on the map's.
func (e *Engine) keysInOrder() []*queue {
	e.order = e.order[:0]
	for _, q := range e.keys {
		e.order = append(e.order, q)
	}
	slices.SortFunc(e.order, func(a, b *queue) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	return e.order
}

// all returns every request, at work or waiting.
func (e *Engine) all() []*timeline {
	list := slices.Clone(e.active)
	for _, q := range e.keysInOrder() {
		list = append(list, q.waiting...)
	}
	return list
}

// dropEnded ends the requests whose contexts have ended.
func (e *Engine) dropEnded() {
	for i := len(e.active) - 1; i >= 0; i-- {
		if err := e.active[i].job.ctx.Err(); err != nil {
			e.leave(e.active[i], err)
		}
	}
	for _, q := range e.keys {
		for i := len(q.waiting) - 1; i >= 0; i-- {
			if err := q.waiting[i].job.ctx.Err(); err != nil {
				e.leave(q.waiting[i], err)
			}
		}
	}
}

// admit lets requests join while there is room. Keys with the fewest requests at work come first; one that has two more
// than another that waits makes way.
func (e *Engine) admit() {
	for {
		q := e.neediest()
		if q == nil {
			return
		}
		if len(e.active) >= e.o.Slots {
			rich := e.richest()
			if rich.running <= q.running+1 {
				return
			}
			e.preempt(e.newestOf(rich))
		}
		t := q.waiting[0]
		if len(e.active) > 0 && !e.affords(t) {
			return
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
		e.join(t)
	}
}

// neediest returns the queue that is next, nil where none waits.
func (e *Engine) neediest() *queue {
	var best *queue
	for _, q := range e.keysInOrder() {
		if len(q.waiting) > 0 && (best == nil || q.running < best.running || q.running == best.running && q.served < best.served) {
			best = q
		}
	}
	return best
}

func (e *Engine) richest() *queue {
	var best *queue
	for _, q := range e.keysInOrder() {
		if best == nil || q.running > best.running {
			best = q
		}
	}
	return best
}

func (e *Engine) newestOf(q *queue) *timeline {
	for i := len(e.active) - 1; ; i-- {
		if e.active[i].key == q {
			return e.active[i]
		}
	}
}

// affords says whether the cache has room for what t has and one page more for each request at work.
func (e *Engine) affords(t *timeline) bool {
	path := e.tree.find(t.tokens[:len(t.tokens)-1])
	free := e.pages.Free() + e.tree.idle()
	for _, n := range path {
		if n.page.Refs() == 1 {
			free--
		}
	}
	return free >= pagesOf(len(t.tokens)+1)-len(path)+len(e.active)
}

func pagesOf(n int) int { return (n + op.Page - 1) / op.Page }

// join puts t to work.
func (e *Engine) join(t *timeline) {
	t.key.running++
	if t.begun.IsZero() {
		t.begun = e.clock()
		t.job.res.Queued = t.begun.Sub(t.job.submitted)
	}
	e.adopt(t)
	e.follow(t)
	e.active = append(e.active, t)
	t.active = true
}

// follow finds who is about to compute what t begins with: one that joined before it.
func (e *Engine) follow(t *timeline) {
	t.lead, t.common = nil, t.cache.Len+leadLeast-1
	for _, o := range e.active {
		if o == t {
			return
		}
		if o.reading() {
			if n := commonPrefix(o.tokens, t.tokens[:len(t.tokens)-1]); n > t.common && n > o.cache.Len {
				t.lead, t.common = o, n
			}
		}
	}
}

// preempt makes t wait again. What it computed stays in the tree for as long as nobody needs the room.
func (e *Engine) preempt(t *timeline) {
	e.takeOut(t)
	t.job.res.Preempted++
	e.stats.Preempted++
	t.key.waiting = slices.Insert(t.key.waiting, 0, t)
}

// takeOut ends the work on t.
func (e *Engine) takeOut(t *timeline) {
	i := slices.Index(e.active, t)
	e.active = slices.Delete(e.active, i, i+1)
	t.key.running--
	t.active, t.rows = false, 0
	e.free(t)
}

// leave ends t, at work or waiting, and hands its answer over.
func (e *Engine) leave(t *timeline, err error) {
	if t.active {
		e.takeOut(t)
	} else {
		i := slices.Index(t.key.waiting, t)
		t.key.waiting = slices.Delete(t.key.waiting, i, i+1)
	}
	if q := t.key; q.running == 0 && len(q.waiting) == 0 {
		delete(e.keys, q.key)
	}
	r := &t.job.res
	r.Tokens, r.Finish = t.tokens[len(t.job.req.Prompt):], t.finish
	switch now := e.clock(); {
	case t.chosen:
		r.Decode = now.Sub(t.first)
	case !t.begun.IsZero():
		r.Prefill = now.Sub(t.begun)
	default:
		r.Queued = now.Sub(t.job.submitted)
	}
	t.job.end(err)
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
	e.begin()
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
		n := min(budget, t.pending())
		if e.fit(t, t.cache.Len+n) {
			t.rows = n
			budget -= n
			count++
		}
	}
	return count
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
		lead := e.leader(best)
		if lead == best {
			return best
		}
		best.skipped = true
		if lead.rows == 0 && !lead.skipped {
			return lead
		}
	}
}

// leader returns whose prompt must be read before t can go on: t itself, or the one it waits for.
func (e *Engine) leader(t *timeline) *timeline {
	for t.lead != nil {
		l := t.lead
		if l.active && l.reading() && l.cache.Len < t.common {
			return e.leader(l)
		}
		e.adopt(t)
		e.follow(t)
	}
	return t
}

// settle takes over what was computed and chooses the next tokens from the logits z.
func (e *Engine) settle(z *tensor.Tensor) {
	for _, t := range e.at {
		known := t.rows - t.drafted
		wanted := known == t.pending()
		t.cache.Len += known
		if p := t.job.req.Progress; p != nil && !t.chosen {
			p(t.cache.Len, len(t.job.req.Prompt))
		}
		if wanted {
			e.answer(t, z)
		} else {
			e.share(t)
		}
	}
}
