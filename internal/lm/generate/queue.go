package generate

import (
	"slices"

	"retort/internal/compute/op"
)

// queue is what one key has waiting and at work.
type queue struct {
	key     string
	waiting []*timeline
	running int
	served  int64 // rows computed for it
	place   int64 // by when the key came
}

// receive takes over what came in; the worker's lock is held.
func (e *Engine) receive() {
	e.arrived = append(e.arrived, e.inbox...)
	clear(e.inbox)
	e.inbox, e.poked = e.inbox[:0], false
}

// queueUp puts what arrived into the queues of their keys. A key that had nothing to read begins level with the one whose turn
// it was last: it saves up nothing that it did not need.
func (e *Engine) queueUp() {
	for _, j := range e.arrived {
		q := e.keys[j.req.Key]
		if q == nil {
			q = &queue{key: j.req.Key, place: e.came}
			e.came++
			e.keys[j.req.Key] = q
		}
		if !e.wantsToRead(q) {
			q.served = max(q.served, e.level)
		}
		q.waiting = append(q.waiting, &timeline{job: j, key: q, tokens: j.req.Prompt, cache: e.pages.NewCache()})
	}
	clear(e.arrived)
	e.arrived = e.arrived[:0]
}

// wantsToRead says whether q has a prompt that is not read to its end.
func (e *Engine) wantsToRead(q *queue) bool {
	return len(q.waiting) > 0 || slices.ContainsFunc(e.active, func(t *timeline) bool { return t.key == q && t.reading() })
}

// drop ends the requests, at work or waiting, that why gives an error.
func (e *Engine) drop(why func(*timeline) error) {
	for i := len(e.active) - 1; i >= 0; i-- {
		if err := why(e.active[i]); err != nil {
			e.leave(e.active[i], err)
		}
	}
	for _, q := range e.keys {
		q.waiting = slices.DeleteFunc(q.waiting, func(t *timeline) bool {
			err := why(t)
			if err != nil {
				e.end(t, err)
			}
			return err != nil
		})
		e.forget(q)
	}
}

// contextErr says why a request has nobody who waits for it.
func contextErr(t *timeline) error { return t.job.ctx.Err() }

// forget takes out a queue that has nothing left.
func (e *Engine) forget(q *queue) {
	if q.running == 0 && len(q.waiting) == 0 {
		delete(e.keys, q.key)
	}
}

// admit lets requests join while there is room. Keys with the fewest requests at work come first; one that has two more
// than another that waits makes way.
func (e *Engine) admit() {
	for q := e.neediest(); q != nil; q = e.neediest() {
		t := q.waiting[0]
		for len(e.active) >= e.o.Slots || len(e.active) > 0 && !e.affords(t) {
			rich := e.richest()
			if rich.running <= q.running+1 {
				return
			}
			e.preempt(e.newestOf(rich))
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
		e.join(t)
	}
}

// neediest returns the queue that is next, nil where none waits: the one with the fewest requests at work, of equals the one
// that was served least, of those the one that has been there longest.
func (e *Engine) neediest() *queue {
	var best *queue
	for _, q := range e.keys {
		if len(q.waiting) > 0 && (best == nil || q.before(best)) {
			best = q
		}
	}
	return best
}

// richest returns the queue that neediest would take last of those at work.
func (e *Engine) richest() *queue {
	var best *queue
	for _, t := range e.active {
		if best == nil || best.before(t.key) {
			best = t.key
		}
	}
	return best
}

func (q *queue) before(o *queue) bool {
	switch {
	case q.running != o.running:
		return q.running < o.running
	case q.served != o.served:
		return q.served < o.served
	}
	return q.place < o.place
}

func (e *Engine) newestOf(q *queue) *timeline {
	for i := len(e.active) - 1; ; i-- {
		if e.active[i].key == q {
			return e.active[i]
		}
	}
}

// affords says whether the cache has room for what t has, for what those at work have, and for one page more for each.
func (e *Engine) affords(t *timeline) bool {
	path := e.tree.find(t.tokens[:len(t.tokens)-1])
	free := e.pages.Free() + e.tree.idle()
	for _, n := range path {
		if n.page.Refs() == 1 {
			free--
		}
	}
	for _, o := range e.active {
		free -= max(0, pagesOf(len(o.tokens))-o.given()) + 1
	}
	return free >= pagesOf(len(t.tokens)+1)-len(path)
}

// given returns how many pages t has or will have from the one that it follows.
func (t *timeline) given() int {
	if t.lead != nil {
		return max(len(t.cache.Pages()), t.common/op.Page)
	}
	return len(t.cache.Pages())
}

func pagesOf(n int) int { return (n + op.Page - 1) / op.Page }

// join puts t to work.
func (e *Engine) join(t *timeline) {
	t.key.running++
	if t.begun.IsZero() {
		e.begin(t)
	}
	e.joins++
	t.active, t.joined = true, e.joins
	e.adopt(t)
	e.follow(t)
	e.active = append(e.active, t)
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

// leave ends the work on t for good.
func (e *Engine) leave(t *timeline, err error) {
	e.takeOut(t)
	e.end(t, err)
	e.forget(t.key)
}

// end settles the answer of t, who has neither place nor pages any more. It is handed over by report.
func (e *Engine) end(t *timeline, err error) {
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
	t.job.err = err
	e.ended = append(e.ended, t)
}
