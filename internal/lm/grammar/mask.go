package grammar

import "sort"

// maskOf returns the mask of a state, from memory or made now.
func (m *machine) maskOf(s *state) []uint64 {
	if s.mask != nil {
		m.touch(s)
		return s.mask
	}
	s.mask = make([]uint64, m.vocab.Words())
	if s.text != nil {
		m.textMask(s.mask, s.text)
	} else {
		m.walk(s.mask, 0, s)
	}
	if s.accept {
		for _, id := range m.vocab.eos {
			s.mask[id>>6] |= 1 << (id & 63)
		}
	}
	s.stuck = true
	for _, word := range s.mask {
		s.stuck = s.stuck && word == 0
	}
	m.remember(s)
	return s.mask
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
			to = m.step(from, t.last)
		}
		if to == m.dead {
			n = t.end
			continue
		}
		prefix[t.depth] = to
		n++
		for _, id := range v.ids[t.ids:v.nodes[n].ids] {
			mask[id>>6] |= 1 << (id & 63)
		}
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
	m.enter(n.next, f.parent)
	after := m.step(m.intern(), '"')
	for _, e := range inside.exits {
		if e.chars >= least && e.chars <= most {
			setBits(mask, m.vocab.at(e.node))
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
