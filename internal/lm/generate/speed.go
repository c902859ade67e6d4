package generate

import "time"

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
	switch {
	case s.prompt == 0 && mixed:
		return 2 * leastChunk
	case s.prompt == 0:
		return 8 * leastChunk
	}
	n := int(min(float32(budget.Seconds())/s.prompt, mostChunk)) / leastChunk * leastChunk
	return max(n, leastChunk)
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
	if answers > 0 && prompts > 0 {
		stats.LongestMixed = max(stats.LongestMixed, took)
	}
	seconds := float32(took.Seconds())
	switch {
	case prompts >= leastChunk:
		each := seconds / float32(answers+prompts)
		if s.prompt == 0 {
			s.prompt = each
		}
		s.prompt += (each - s.prompt) / 2
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
