package generate

import "time"

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

// look makes the draft of at most most tokens behind tokens.
func (d *drafter) look(tokens []int32, foreseer Foreseer, most int) {
	last := len(tokens) - 1
	for ; d.known < last; d.known++ { // the last token is what is looked for
		d.one.add(tokens[d.known], 0)
		if d.known > 0 {
			d.two.add(tokens[d.known-1], tokens[d.known])
		} else {
			d.two.add(-1, -1)
		}
	}
	d.ids = d.ids[:0]
	if foreseer != nil {
		if d.ids = foreseer.Foresee(d.ids, most); len(d.ids) > 0 {
			d.class = classForced
			return
		}
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

// taste counts, with less weight for what is long ago, how many drafted tokens were tried and taken.
type taste struct{ tried, taken [classes]float32 }

func (s *taste) learn(class, tried, taken int, keep float32) {
	s.tried[class] = s.tried[class]*keep + float32(tried)
	s.taken[class] = s.taken[class]*keep + float32(taken)
}

// share returns the share taken, where before weighs as much as so many tries.
func (s *taste) share(class int, before, tries float32) float32 {
	return (s.taken[class] + before*tries) / (s.tried[class] + tries)
}

// speed is what an Engine knows of how long its steps take.
type speed struct {
	rows   [mostDrafting*(1+mostDraft) + 1]float32 // seconds of a step with so many rows of answers; 0 is not known
	prompt float32                                 // seconds a row of prompts
	taste  taste
	since  int // steps of answers since the last draft
}

// chunk returns how many tokens of prompts a step may read.
func (s *speed) chunk(mixed bool) int {
	budget := aloneTime
	if mixed {
		budget = mixedTime
	}
	if s.prompt == 0 && mixed {
		return 2 * leastChunk
	} else if s.prompt == 0 {
		return 8 * leastChunk
	}
	n := int(float32(budget.Seconds())/s.prompt) / leastChunk * leastChunk
	return min(max(n, leastChunk), mostChunk)
}

// measure takes note of a step's time.
func (s *speed) measure(at []*timeline, took time.Duration, stats *Stats) {
	answers, prompts := 0, 0
	for _, t := range at {
		if t.reading() {
			prompts += t.rows
		} else {
			answers += t.rows
		}
	}
	seconds := float32(took.Seconds())
	switch {
	case prompts >= leastChunk:
		each := seconds / float32(answers+prompts)
		if s.prompt == 0 {
			s.prompt = each
		}
		s.prompt += (each - s.prompt) / 4
		if answers > 0 {
			stats.LongestMixed = max(stats.LongestMixed, took)
		}
	case prompts == 0 && answers < len(s.rows):
		known := &s.rows[answers]
		switch {
		case *known == 0:
			*known = seconds
		case seconds < *known: // what makes a step slower than it must be is the machine's other work
			*known += (seconds - *known) * 0.3
		default:
			*known += (min(seconds, 2**known) - *known) * 0.05
		}
	}
}

// growth is what a row more is thought to cost, as a share of a step, before it is known.
const growth = 0.06

// time returns how long a step of n rows takes, in seconds or, where nothing is known, in steps.
func (s *speed) time(n int) float32 {
	if s.rows[n] > 0 {
		return s.rows[n]
	}
	least, from := float32(1), 1
	for i := n - 1; i >= 1; i-- {
		if s.rows[i] > 0 {
			least, from = s.rows[i], i
			break
		}
	}
	return least * (1 + growth*float32(n-from))
}

// worth returns how many tokens of a draft are worth their time, in a step that has rows rows for answers answers.
func (s *speed) worth(d *drafter, rows, answers int) int {
	s.since++
	if len(d.ids) == 0 {
		return 0
	}
	const (
		least = 0.03 // tokens that must be gained
		probe = 100  // steps after which a draft is tried although it did not pay before
	)
	p := d.taste.share(d.class, s.taste.share(d.class, prior[d.class], 8), 4)
	token := s.time(answers) / float32(answers) // seconds a token, without drafts
	best, most := 0, float32(least)
	chance, expected := float32(1), float32(0)
	for n := 1; n <= len(d.ids) && rows+n < len(s.rows); n++ {
		chance *= p
		expected += chance
		if gain := expected - (s.time(rows+n)-s.time(rows))/token; gain > most {
			best, most = n, gain
		}
	}
	if best == 0 && s.since > probe && p > 0.1 {
		best = min(len(d.ids), 3)
	}
	if best > 0 {
		s.since = 0
	}
	return best
}

// learn takes note of how many of the drafted tokens were taken.
func (s *speed) learn(d *drafter, drafted, taken int) {
	tried := min(taken+1, drafted)
	s.taste.learn(d.class, tried, taken, 0.98)
	d.taste.learn(d.class, tried, taken, 0.9)
}
