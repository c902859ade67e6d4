package grammar

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// A bounded is a dfa together with bounds on the number of code points. The bounds are not multiplied into its
// states: a matcher counts, and lengths tells it which states can still keep them.
type bounded struct {
	*dfa
	low, high int32 // high may be unbounded
}

func (b bounded) match(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= int(b.low) && n <= int(b.high) && b.dfa.match(s)
}

func (b bounded) intersect(other bounded, left *budget) (bounded, error) {
	d, err := intersect(b.dfa, other.dfa, left)
	return bounded{d, max(b.low, other.low), min(b.high, other.high)}, err
}

// none tells whether nothing is accepted.
func (b bounded) none(left *budget) (bool, error) {
	if b.empty() || b.low > b.high {
		return true, nil
	}
	l, err := newLengths(b, left)
	return err == nil && !l.reaches(0, 0), err
}

// implied tells whether the dfa alone keeps the bounds.
func (b bounded) implied() bool {
	return b.empty() || b.low == 0 && b.high == unbounded ||
		b.shortest()[0] >= b.low && (b.high == unbounded || b.longest()[0] <= b.high)
}

// lengths knows, for each state of a bounded automaton, how many code points may follow until it accepts. Mostly
// that is all numbers from the shortest to the longest; where it is not, sets has for each number the states.
type lengths struct {
	low, high         int32
	shortest, longest []int32
	sets              [][]uint64 // sets[k]: states that accept behind k code points, as bits; nil where there are no gaps
	cycle             int        // where sets begins to repeat; len(sets): it ends at high

	// With this much room below low, or up to high, the count decides nothing; unbounded: it always may.
	below, above int32
}

func newLengths(b bounded, left *budget) (*lengths, error) {
	l := &lengths{low: b.low, high: b.high, shortest: b.shortest(), longest: b.longest()}
	if err := left.spend(len(b.edges)); err != nil {
		return nil, err
	}
	if l.gapless(b.dfa) {
		for s := range l.shortest {
			if l.shortest[s] == unbounded {
				continue // a state that accepts nothing
			}
			l.above = max(l.above, l.shortest[s])
			if l.longest[s] < unbounded {
				l.below = max(l.below, l.longest[s]+1)
			}
		}
		l.below = max(l.below, l.above)
		return l, nil
	}
	return l, l.enumerate(b.dfa, left)
}

// gapless tells whether every state accepts behind any number of code points from its shortest to its longest. That is
// so if each number is 0 at an accepting state, or one more than a number of a state behind an edge: by induction on
// the number.
func (l *lengths) gapless(d *dfa) bool {
	for s, es := range d.edges {
		next := l.shortest[s] // the least number not shown yet
		if next == unbounded {
			continue
		}
		if d.accept[s] {
			next = 1
		}
		es := slices.Clone(es)
		slices.SortFunc(es, func(a, b dfaEdge) int { return int(l.shortest[a.to]) - int(l.shortest[b.to]) })
		for _, e := range es {
			switch {
			case next == unbounded:
			case l.shortest[e.to]+1 > next:
				return false
			case l.longest[e.to] == unbounded:
				next = unbounded
			default:
				next = max(next, l.longest[e.to]+2)
			}
		}
	}
	return true
}

// enumerate fills sets until they repeat or reach the upper bound.
func (l *lengths) enumerate(d *dfa, left *budget) error {
	words, edges := (len(d.edges)+63)/64, 0
	for _, es := range d.edges {
		edges += 1 + len(es)
	}
	set := make([]uint64, words)
	for s, ok := range d.accept {
		if ok {
			set[s>>6] |= 1 << (s & 63)
		}
	}
	seen := map[string]int{}
	var key []byte
	for {
		key = key[:0]
		for _, word := range set {
			key = binary.LittleEndian.AppendUint64(key, word)
		}
		if at, ok := seen[string(key)]; ok {
			l.cycle = at
			break
		}
		seen[string(key)] = len(l.sets)
		l.sets = append(l.sets, set)
		l.cycle = len(l.sets)
		if len(l.sets) > int(l.high) {
			break
		}
		if err := left.spend(edges); err != nil {
			return err
		}
		before := set
		set = make([]uint64, words)
		for s, es := range d.edges {
			if slices.ContainsFunc(es, func(e dfaEdge) bool { return before[e.to>>6]>>(e.to&63)&1 != 0 }) {
				set[s>>6] |= 1 << (s & 63)
			}
		}
	}
	l.below, l.above = unbounded, unbounded
	if len(l.sets)-l.cycle == 1 {
		l.below, l.above = int32(l.cycle), int32(l.cycle)
	}
	return nil
}

// reaches tells whether a state, count code points behind the begin, can still accept within the bounds.
func (l *lengths) reaches(state, count int32) bool {
	if count > l.high {
		return false
	}
	least, most := max(l.low-count, l.shortest[state], 0), l.longest[state]
	if l.high < unbounded {
		most = min(most, l.high-count)
	}
	if l.sets == nil {
		return least <= most
	}
	last := max(int(least), l.cycle) + len(l.sets) - l.cycle // by then sets has been gone through once
	for k := int(least); k <= int(most) && k < last; k++ {
		at := k
		if at >= len(l.sets) {
			at = l.cycle + (k-l.cycle)%(len(l.sets)-l.cycle)
		}
		if l.sets[at][state>>6]>>(state&63)&1 != 0 {
			return true
		}
	}
	return false
}

// after is the count behind one more code point. Beyond the lower bound, and without an upper one, it stays.
func (l *lengths) after(count int32) int32 {
	if l.high == unbounded {
		return min(count+1, l.low)
	}
	return count + 1
}

// maxExpanded is the largest range of a quantifier that is always expanded into states.
const maxExpanded = 32

// countLong turns a{m,n} of many into a* and bounds on the length of the whole text, where everything in the pattern
// is of one length: then the length tells how often a occurs.
func countLong(e *expr) (star *expr, low, high int32) {
	if e.op != opCat {
		return e, 0, unbounded
	}
	total, size, many := 0, 0, -1
	flat := flatten(e, nil)
	for i, sub := range flat {
		if sub.op == opRep && sub.max-sub.min > maxExpanded {
			if many >= 0 {
				return e, 0, unbounded
			}
			many, sub = i, sub.subs[0]
			n, fixed := fixedLength(sub)
			if !fixed || n == 0 {
				return e, 0, unbounded
			}
			size = n
			continue
		}
		n, fixed := fixedLength(sub)
		if !fixed {
			return e, 0, unbounded
		}
		total += n
	}
	if many < 0 || flat[many].max == unbounded && flat[many].min <= maxExpanded {
		return e, 0, unbounded
	}
	loop := flat[many]
	flat[many] = rep(loop.subs[0], 0, unbounded)
	// What is of one length has a node for each code point, so that no sum that matters exceeds an int32.
	low, high = int32(total+size*loop.min), unbounded
	if loop.max < unbounded {
		high = int32(total + size*loop.max)
	}
	return cat(flat...), low, high
}

// flatten lists the parts of nested sequences.
func flatten(e *expr, out []*expr) []*expr {
	if e.op != opCat {
		return append(out, e)
	}
	for _, sub := range e.subs {
		out = flatten(sub, out)
	}
	return out
}

// fixedLength is the number of code points of all texts of an expr, if it is the same.
func fixedLength(e *expr) (n int, fixed bool) {
	switch e.op {
	case opSet:
		return 1, true
	case opCat, opAlt:
		for i, sub := range e.subs {
			k, ok := fixedLength(sub)
			if !ok || e.op == opAlt && i > 0 && k != n {
				return 0, false
			}
			if e.op == opCat {
				k += n
			}
			n = k
		}
		return n, e.op == opCat || len(e.subs) > 0
	case opRep:
		k, ok := fixedLength(e.subs[0])
		return k * e.min, ok && e.min == e.max && k*e.min <= maxCount
	}
	return 0, true // opEmpty
}
