package grammar

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
)

// Bounds of what a grammar remembers for one vocabulary, in bytes. Masks beyond theirs go oldest first; states
// beyond theirs are all forgotten and found again as they are needed.
const (
	maxMaskBytes  = 64 << 20
	maxStateBytes = 64 << 20
)

// maxConfigs bounds the places in which one text may stand at the same time. Where there are more, the others are
// given up: what is still admitted is admitted by the schema and can end, but not all that the schema admits is. Only
// alternatives that stay ambiguous through recursion and objects of a thousand optional members get there.
const maxConfigs = 1 << 10

// A frame is one entry of a stack: a call or a loop that is under way. Equal stacks are one pointer.
type frame struct {
	parent *frame
	node   int32
	count  int32 // rounds of the loop that are complete
	depth  int32 // frames including this one
	id     int32 // from 1, in order of making
}

type frameKey struct{ parent, node, count int32 }

func (f *frame) number() int32 {
	if f == nil {
		return 0
	}
	return f.id
}

// A config is one place where a text may stand: a plain node, and the calls and loops around it.
type config struct {
	node  int32
	stack *frame
}

// A state is the set of all configs of a text. Equal sets are one pointer, and what follows from them is kept:
// the machine is a deterministic automaton that is built as it is walked.
type state struct {
	configs []config
	accept  bool     // the text may end here
	next    []*state // by class of byte; nil: not known yet
	text    *frame   // the loop, if the state is before a character of a free string and nowhere else

	mask         []uint64 // nil: not known
	stuck        bool     // mask is empty
	older, newer *state   // in the machine's list of states with masks
}

// A machine walks one grammar over one vocabulary. Its lock is held for a step or for making a mask.
type machine struct {
	program *program
	vocab   *Vocabulary

	mu     sync.Mutex
	epoch  int // how often all states were forgotten
	start  *state
	dead   *state
	frames map[frameKey]*frame
	states map[string]*state
	bytes  int // of states and frames, about

	maskBytes      int
	oldest, newest *state
	maxMask        int
	maxState       int

	// Scratch.
	set     []config
	accept  bool
	seen    map[config]struct{}
	work    []config
	key     []byte
	walking []*state
}

func newMachine(p *program, v *Vocabulary) *machine {
	m := &machine{program: p, vocab: v, dead: &state{}, seen: map[config]struct{}{}, walking: make([]*state, v.depth+1),
		maxMask: maxMaskBytes, maxState: maxStateBytes}
	m.forget()
	return m
}

// forget drops all states. Matchers notice by the epoch and find their state again from its configs.
func (m *machine) forget() {
	m.epoch++
	m.frames, m.states, m.bytes = map[frameKey]*frame{}, map[string]*state{}, 0
	m.oldest, m.newest, m.maskBytes = nil, nil, 0
	m.enter(m.program.start, nil)
	m.start = m.intern()
}

// adopt returns the state, in this epoch, with the configs of one of an earlier epoch.
func (m *machine) adopt(s *state) *state {
	if s == m.dead {
		return s
	}
	for _, c := range s.configs {
		m.set = append(m.set, config{c.node, m.adoptFrame(c.stack)})
	}
	m.accept = s.accept
	return m.intern()
}

func (m *machine) adoptFrame(f *frame) *frame {
	if f == nil {
		return nil
	}
	return m.push(f.node, f.count, m.adoptFrame(f.parent))
}

func (m *machine) push(node, count int32, parent *frame) *frame {
	key := frameKey{parent.number(), node, count}
	if f, ok := m.frames[key]; ok {
		return f
	}
	f := &frame{parent: parent, node: node, count: count, depth: 1, id: int32(len(m.frames) + 1)}
	if parent != nil {
		f.depth = parent.depth + 1
	}
	m.frames[key] = f
	m.bytes += 96
	return f
}

// step returns the state behind byte b, or dead.
func (m *machine) step(s *state, b byte) *state {
	class := m.program.class[b]
	if s.next != nil {
		if to := s.next[class]; to != nil {
			return to
		}
	} else {
		s.next = make([]*state, m.program.width)
		m.bytes += 8 * m.program.width
	}
	for _, c := range s.configs {
		for _, e := range m.program.nodes[c.node].edges {
			if e.lo <= b && b <= e.hi {
				m.enter(e.to, c.stack)
			}
		}
	}
	to := m.intern()
	s.next[class] = to
	return to
}

// enter adds to the set under construction all that a node reaches without a byte. A node is entered only if its
// rule can end within maxStack frames: the frames below it were pushed under the same condition, so every config
// can reach the end of the text.
func (m *machine) enter(n int32, stack *frame) {
	m.work = append(m.work, config{n, stack})
	for len(m.work) > 0 {
		c := m.work[len(m.work)-1]
		m.work = m.work[:len(m.work)-1]
		depth := int32(0)
		if c.stack != nil {
			depth = c.stack.depth
		}
		if m.program.need[c.node] > maxStack-depth {
			continue
		}
		if _, ok := m.seen[c]; ok || len(m.set) == maxConfigs {
			continue
		}
		m.seen[c] = struct{}{}
		m.visit(c)
	}
}

func (m *machine) visit(c config) {
	n := &m.program.nodes[c.node]
	switch n.kind {
	case plain:
		if len(n.edges) > 0 {
			m.set = append(m.set, c)
		}
		for _, to := range n.eps {
			m.work = append(m.work, config{to, c.stack})
		}
	case call:
		stack := c.stack
		if n.next != end { // nothing left to do behind the call: no frame, so that recursion on the right costs no stack
			stack = m.push(c.node, 0, stack)
		}
		m.work = append(m.work, config{m.program.rules[n.rule], stack})
	case loop:
		m.round(c.node, 0, c.stack)
	case final:
		f := c.stack
		if f == nil {
			m.accept = true
		} else if around := &m.program.nodes[f.node]; around.kind == loop {
			m.round(f.node, f.count+1, f.parent)
		} else {
			m.work = append(m.work, config{around.next, f.parent})
		}
	}
}

// round decides, count rounds of a loop being complete, on one more and on going on. Without an upper bound, rounds
// beyond the lower one are not counted.
func (m *machine) round(loop, count int32, stack *frame) {
	n := &m.program.nodes[loop]
	if n.max == unbounded {
		count = min(count, n.min)
	}
	if count >= n.min {
		m.work = append(m.work, config{n.next, stack})
	}
	if count < n.max {
		m.work = append(m.work, config{m.program.rules[n.rule], m.push(loop, count, stack)})
	}
}

// intern takes the set under construction and returns its state.
func (m *machine) intern() *state {
	if len(m.seen) > 0 {
		clear(m.seen)
	}
	set, accept := m.set, m.accept
	m.set, m.accept = m.set[:0], false
	if len(set) == 0 && !accept {
		return m.dead
	}
	slices.SortFunc(set, func(a, b config) int {
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.stack.number(), b.stack.number()))
	})
	m.key = m.key[:0]
	if accept {
		m.key = append(m.key, 1)
	}
	for _, c := range set {
		m.key = binary.LittleEndian.AppendUint32(m.key, uint32(c.node))
		m.key = binary.LittleEndian.AppendUint32(m.key, uint32(c.stack.number()))
	}
	if s, ok := m.states[string(m.key)]; ok {
		return s
	}
	s := &state{configs: slices.Clone(set), accept: accept}
	s.text = m.textLoop(s)
	m.states[string(m.key)] = s
	m.bytes += 192 + 24*len(set)
	return s
}

// textLoop recognises free text: the begin of a character within a loop of characters and, once the lower bound is
// reached, the closing quote.
func (m *machine) textLoop(s *state) *frame {
	p := m.program
	if p.chars < 0 || s.accept || len(s.configs) == 0 || len(s.configs) > 2 {
		return nil
	}
	for i, c := range s.configs {
		if c.node != p.rules[p.chars] || c.stack == nil {
			continue
		}
		n := &p.nodes[c.stack.node]
		if n.kind != loop || n.rule != p.chars || (c.stack.count >= n.min) != (len(s.configs) == 2) {
			return nil
		}
		if len(s.configs) == 2 && s.configs[1-i] != (config{n.next, c.stack.parent}) {
			return nil
		}
		return c.stack
	}
	return nil
}
