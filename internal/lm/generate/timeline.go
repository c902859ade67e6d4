package generate

import (
	"time"

	"retort/internal/compute/op"
	"retort/internal/lm/model"
)

// timeline is a request at work: its tokens, of which the cache holds the keys and values of the first cache.Len.
type timeline struct {
	job     *Job
	key     *queue
	tokens  []int32 // the prompt, and behind it what was chosen
	cache   *model.KVCache
	nodes   []*node // of the tree, for each page that the timeline shares with it: the first pages of the cache
	sampler *Sampler
	drafts  drafter
	active  bool  // it is at work, not waiting
	joined  int64 // when it joined last: active is in this order
	read    int   // rows that were computed for its prompt
	chosen  bool  // its first token was chosen
	finish  Finish
	begun   time.Time // it joined first; until then it has neither sampler nor drafts
	first   time.Time // its first token came

	// lead computes what this one's tokens begin with too, common of them: it is waited for. nil for none.
	lead   *timeline
	common int

	// Of the step at hand.
	rows    int   // tokens that are computed
	drafted int   // of rows, those not chosen yet
	logits  int   // place of its first row among those whose logits are wanted
	skipped bool  // its prompt waits for another's
	failed  error // of a function that foresees
}

// pending returns how many tokens are to be computed before the next can be chosen.
func (t *timeline) pending() int { return len(t.tokens) - t.cache.Len }

// reading says whether more is to be computed than the token that was chosen last.
func (t *timeline) reading() bool { return t.pending() > 1 || !t.chosen }

// begin makes what t needs to be at work. Those who wait have their prompt alone.
func (e *Engine) begin(t *timeline) {
	const ahead = 4096 // tokens that an answer without a bound has room for before its slices grow
	j := t.job
	t.begun = e.clock()
	j.res.Queued = t.begun.Sub(j.submitted)
	more := min(e.limit+1-len(j.req.Prompt), ahead)
	if j.req.Max > 0 {
		more = min(more, j.req.Max)
	}
	t.tokens = append(make([]int32, 0, len(j.req.Prompt)+more), j.req.Prompt...)
	t.sampler = NewSampler(j.req.Sampler)
	if !j.req.Plain {
		t.drafts.init(cap(t.tokens))
	}
}

// progress tells how far the prompt is.
func (t *timeline) progress() (err error) {
	if p := t.job.req.Progress; p != nil {
		defer guard(&err)
		p(t.cache.Len, len(t.job.req.Prompt))
	}
	return nil
}

// adopt gives t what the tree and those at work have computed of its tokens, where that is more than it has.
func (e *Engine) adopt(t *timeline) {
	known := len(t.tokens) - 1 // the last one's logits are wanted
	path := e.tree.find(t.tokens[:known])
	part, from := e.tree.partial(path, t.tokens[:known])
	for _, o := range e.active { // the page that another is filling now
		if at := len(path) * op.Page; o != t && len(o.nodes) == len(path) && o.cache.Len > at && (len(path) == 0 || o.nodes[len(path)-1] == path[len(path)-1]) {
			if n := commonPrefix(o.tokens[at:o.cache.Len], t.tokens[at:known]); n > part {
				part, from = n, o.cache.Pages()[len(path)]
			}
		}
	}
	if len(path)*op.Page+part <= t.cache.Len {
		return
	}
	t.cache.Truncate(0)
	t.nodes = t.nodes[:0]
	for _, n := range path {
		e.pages.Retain(n.page)
		t.cache.Append(n.page)
		t.nodes = append(t.nodes, n)
	}
	t.cache.Len = len(path) * op.Page
	if part > 0 {
		e.pages.Retain(from) // it may lie in the tree, which makes room for the copy
		if pg := e.copyPage(from); pg != nil {
			t.cache.Append(pg)
			t.cache.Len += part
		}
		e.pages.Release(from)
	}
	if !t.chosen {
		t.job.res.Reused = max(t.job.res.Reused, t.cache.Len-t.read)
	}
}

// share puts the pages that t has filled into the tree. Where the tree has a page of the same tokens already, t uses
// that one: their bits are the same.
func (e *Engine) share(t *timeline) {
	for i := len(t.nodes); (i+1)*op.Page <= t.cache.Len; i++ {
		n := e.tree.insert(t.last(), t.tokens[i*op.Page:(i+1)*op.Page], t.cache.Pages()[i])
		if pg := t.cache.Pages()[i]; n.page != pg {
			e.pages.Retain(n.page)
			t.cache.Replace(i, n.page)
		}
		t.nodes = append(t.nodes, n)
	}
}

// last returns the node of the last page that t shares, nil for none.
func (t *timeline) last() *node {
	if len(t.nodes) == 0 {
		return nil
	}
	return t.nodes[len(t.nodes)-1]
}

// free leaves what t computed to the tree and gives its pages back.
func (e *Engine) free(t *timeline) {
	e.share(t)
	if at := len(t.nodes) * op.Page; t.cache.Len > at {
		e.tree.insert(t.last(), t.tokens[at:t.cache.Len], t.cache.Pages()[len(t.nodes)])
	}
	e.tree.touch(t.nodes)
	t.cache.Truncate(0)
	t.nodes, t.lead = t.nodes[:0], nil
}

// room makes sure that the cache of t has pages for n positions, and says whether it has.
func (e *Engine) room(t *timeline, n int) bool {
	for len(t.cache.Pages())*op.Page < n {
		pg := e.takePage()
		if pg == nil {
			return false
		}
		t.cache.Append(pg)
	}
	return true
}

// takePage returns a free page, if need be the one that was used longest ago.
func (e *Engine) takePage() *model.CachePage {
	for {
		if pg := e.pages.Take(); pg != nil {
			return pg
		}
		if !e.tree.evict() {
			return nil
		}
		e.stats.Evicted++
	}
}

func (e *Engine) copyPage(from *model.CachePage) *model.CachePage {
	for {
		if pg := e.pages.Copy(from); pg != nil {
			return pg
		}
		if !e.tree.evict() {
			return nil
		}
		e.stats.Evicted++
	}
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
