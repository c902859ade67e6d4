package grammar

import (
	"math/bits"
	"sort"
)

// maskOf returns the state, which may have been found anew, whose mask is that of s.
func (m *machine) maskOf(s *state) *state {
	if s.near == nil {
		s.near = m.nearest(s)
	}
	s = s.near
	if s.mask != nil {
		m.touch(s)
		return s
	}
	mask, epoch := make([]uint64, m.vocab.Words()), m.epoch
	if s.text != nil {
		m.textMask(mask, s.text)
	} else {
		m.walk(mask, 0, s)
	}
	if s.accept {
		setBits(mask, m.vocab.eos)
	}
	if m.epoch != epoch {
		s = m.adopt(s)
	}
	s.near, s.mask, s.allowed, s.single = s, mask, 0, 0
	for i, word := range mask {
		if word != 0 {
			s.allowed += bits.OnesCount64(word)
			s.single = 64*i + bits.TrailingZeros64(word)
		}
	}
	m.remember(s)
	return s
}

// nearest is the state that has the same mask as s and the least counts: a bound that no token comes near decides
// nothing, so that all characters of a long string, and all items of a long array, share masks.
func (m *machine) nearest(s *state) *state {
	if s == m.dead {
		return s
	}
	return m.rebuilt(s, m.nearCount)
}

// nearCount is the least count that is the same to all tokens. A token completes at most a round, or a character, for
// each of its bytes.
func (m *machine) nearCount(f *frame) int32 {
	n := &m.program.nodes[f.node]
	below, above := int64(0), int64(0)
	switch n.kind {
	case call:
		return f.count
	case counter:
		l := m.program.counted(f)
		below, above = int64(l.below), int64(l.above)
	}
	reach := int64(m.vocab.depth)
	switch {
	case f.count < n.min && int64(n.min-f.count) > reach+below:
		return 0
	case f.count >= n.min && (n.max == unbounded || int64(n.max-f.count) > reach+above):
		return n.min
	}
	return f.count
}

// walk sets the tokens below trie node top, whose prefix led to state s.
func (m *machine) walk(mask []uint64, top int32, s *state) {
	v, class, prefix := m.vocab, &m.program.class, m.walking // prefix[d]: the state behind the first d bytes
	last := v.nodes[top].end
	prefix[v.nodes[top].depth] = s
	for n := top + 1; n < last; {
		t := &v.nodes[n]
		from := prefix[t.depth-1]
		var to *state
		if from.next != nil {
			to = from.next[class[t.last]]
		}
		if to == nil {
			if m.full() { // in the middle of a mask too: what is still to be walked is all that is kept
				m.forget()
				for d := v.nodes[top].depth; d < t.depth; d++ {
					prefix[d] = m.adopt(prefix[d])
				}
				from = prefix[t.depth-1]
			}
			to = m.step(from, t.last)
		}
		if to == m.dead {
			n = t.end
			continue
		}
		prefix[t.depth] = to
		n++
		setBits(mask, v.ids[t.ids:v.nodes[n].ids])
	}
}

// textMask is the mask before a character of a free string. Tokens that stay inside were sorted beforehand by the
// characters they touch; only those that close the string are walked on, from the quote.
func (m *machine) textMask(mask []uint64, f *frame) {
	n := &m.program.nodes[f.node]
	least, most := n.min-f.count, int32(unbounded)
	if n.max != unbounded {
		most = n.max - f.count
	}
	inside := &m.vocab.content
	if i := sort.Search(len(inside.counts), func(i int) bool { return inside.counts[i] > most }); i > 0 {
		copy(mask, inside.inner[i-1])
	}
	for _, p := range f.parents.frames {
		m.enter(n.next, p)
	}
	after, epoch := m.step(m.intern(), '"'), m.epoch
	for _, e := range inside.exits {
		if e.chars >= least && e.chars <= most {
			setBits(mask, m.vocab.at(e.node))
			if m.epoch != epoch {
				after, epoch = m.adopt(after), m.epoch
			}
			m.walk(mask, e.node, after)
		}
	}
}

// remember puts a state with a new mask at the young end of the list and drops the oldest masks beyond the bound.
func (m *machine) remember(s *state) {
	m.maskBytes += 8 * len(s.mask)
	m.append(s)
	for m.maskBytes > m.maxMask && m.oldest != s {
		old := m.oldest
		m.unlink(old)
		m.maskBytes -= 8 * len(old.mask)
		old.mask = nil
	}
}

// touch makes a state the youngest.
func (m *machine) touch(s *state) {
	if m.newest != s {
		m.unlink(s)
		m.append(s)
	}
}

func (m *machine) append(s *state) {
	s.older, s.newer = m.newest, nil
	if m.newest != nil {
		m.newest.newer = s
	} else {
		m.oldest = s
	}
	m.newest = s
}

func (m *machine) unlink(s *state) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		m.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		m.newest = s.older
	}
	s.older, s.newer = nil, nil
}
