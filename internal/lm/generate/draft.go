package generate

import "slices"

// Drafting: what stood behind the same tokens before (Saxena 2023, prompt lookup decoding), or what a grammar forces, is
// computed together with the token before it. A draft is taken only where it is what is chosen anyway, from the logits
// that it would have had alone, so it changes no answer, greedy or sampled. It is tried where it saves time: drafter
// finds, speed decides.
const (
	mostDraft    = 16 // tokens a time
	mostDrafting = 4  // answers at work; with more of them a pass is no longer bound by reading the weights
	longestMatch = 16
)

// Classes of drafts, by how many tokens before them were met before. Each has its own share of tokens that are taken.
const (
	classForced = iota // foreseen by the mask
	class1
	class2
	class3 // 3 or 4
	class5 // 5 to 8
	class9
	classes
)

// prior is the share of each class before there is experience.
var prior = [classes]float32{0.95, 0.3, 0.45, 0.6, 0.75, 0.85}

func classOf(match int) int {
	switch {
	case match >= 9:
		return class9
	case match >= 5:
		return class5
	case match >= 3:
		return class3
	}
	return match
}

// drafter finds drafts for one timeline: for one and for two tokens, chains of the places where they stood before.
type drafter struct {
	ids   []int32 // the draft
	class int

	one, two chains
	known    int // tokens in the chains
	taste    taste
}

// chains lists positions by hash, the newest first: head by hash, next by position, 0 for none, else a position plus one.
type chains struct{ head, next []int32 }

func (d *drafter) init(tokens int) {
	size := 1024
	for size < tokens {
		size *= 2
	}
	d.ids = make([]int32, 0, mostDraft)
	for _, c := range []*chains{&d.one, &d.two} {
		c.head, c.next = make([]int32, size), make([]int32, 0, tokens)
	}
}

func (c *chains) hash(a, b int32) uint32 {
	return (uint32(a)*2654435761 ^ uint32(b)*2246822519) >> 7 & uint32(len(c.head)-1)
}

func (c *chains) add(a, b int32) {
	h := c.hash(a, b)
	c.next = append(c.next, c.head[h])
	c.head[h] = int32(len(c.next))
}

// look makes the draft of at most most tokens behind tokens: those foreseen, if there are any.
func (d *drafter) look(tokens, foreseen []int32, most int) {
	last := len(tokens) - 1
	for ; d.known < last; d.known++ { // the last token is what is looked for
		d.one.add(tokens[d.known], 0)
		if d.known > 0 {
			d.two.add(tokens[d.known-1], tokens[d.known])
		} else {
			d.two.add(-1, -1)
		}
	}
	d.ids = append(d.ids[:0], foreseen...)
	if len(d.ids) > 0 {
		d.class = classForced
		return
	}
	at, match := 0, 0
	if last > 0 {
		at, match = d.two.longest(tokens, tokens[last-1], tokens[last], 2)
	}
	if match == 0 {
		at, match = d.one.longest(tokens, tokens[last], 0, 1)
	}
	if match > 0 {
		d.class = classOf(match)
		d.ids = append(d.ids, tokens[at+1:min(at+1+most, len(tokens))]...)
	}
}

// longest returns the place before the end of tokens that has most in common with the end, least at least; of equals the
// newest.
func (c *chains) longest(tokens []int32, a, b int32, least int) (at, match int) {
	const tries = 24
	last := len(tokens) - 1
	p := c.head[c.hash(a, b)]
	for range tries {
		if p == 0 {
			break
		}
		i := int(p - 1)
		n := 0
		for n < longestMatch && n <= i && tokens[i-n] == tokens[last-n] {
			n++
		}
		if n >= least && n > match {
			at, match = i, n
		}
		p = c.next[i]
	}
	return at, match
}

// planDrafts adds to the rows of answers what will probably be chosen behind their last tokens, where the time that this
// takes is less than what it saves.
func (e *Engine) planDrafts(answers int) {
	if answers > mostDrafting {
		return
	}
	rows := answers
	for _, t := range e.active {
		if t.rows != 1 || t.job.req.Plain {
			continue
		}
		most := min(mostDraft, e.limit-len(t.tokens))
		if m := t.job.req.Max; m > 0 {
			most = min(most, m-(len(t.tokens)-len(t.job.req.Prompt))-1) // one more is chosen behind them
		}
		if most < 1 {
			continue
		}
		t.drafts.look(t.tokens, e.foresee(t, most), most)
		n := e.speed.worth(&t.drafts, rows, answers)
		if n > 0 && e.roomAtHand(t, len(t.tokens)+n) {
			t.drafted, t.rows = n, 1+n
			rows += n
		}
	}
}

// roomAtHand is room that takes free pages alone: a draft is not worth what the tree keeps.
func (e *Engine) roomAtHand(t *timeline, n int) bool {
	if pagesOf(n)-len(t.cache.Pages()) > e.pages.Free() {
		return false
	}
	return e.room(t, n)
}

// foresee returns what the mask of t says will come, most ids at most: up to the first that has no row, whatever it says. What
// it panics with, t fails with.
func (e *Engine) foresee(t *timeline, most int) (ids []int32) {
	f, ok := t.job.req.Mask.(Foreseer)
	if !ok {
		return nil
	}
	defer guard(&t.failed)
	ids = f.Foresee(t.drafts.ids[:0], most)
	ids = ids[:min(len(ids), most)]
	if i := slices.IndexFunc(ids, func(id int32) bool { return id < 0 || int(id) >= e.Model.Config.Vocab }); i >= 0 {
		ids = ids[:i]
	}
	return ids
}
