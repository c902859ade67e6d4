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

// A config is one place where a text may stand: a plain node, and the calls and loops around it. A state has no two
// with the same node and the same node and count of the stack's top.
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

	near         *state   // what has the same mask and stands for it; nil: not known yet
	mask         []uint64 // nil: not known
	allowed      int      // tokens in mask
	single       int      // the token, if allowed is 1
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
	states map[string]*state
	bytes  int // of states, about
	stacks

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
	m.stacks, m.states, m.bytes = newStacks(), map[string]*state{}, 0
	m.oldest, m.newest, m.maskBytes = nil, nil, 0
	m.enter(m.program.start, m.bottom)
	m.start = m.intern()
}

// full tells whether states have outgrown their bound.
func (m *machine) full() bool { return m.bytes+m.stacks.bytes > m.maxState }

// adopt returns the state, in this epoch, with the configs of one of an earlier epoch.
func (m *machine) adopt(s *state) *state {
	if s == m.dead {
		return s
	}
	return m.rebuilt(s, func(f *frame) int32 { return f.count })
}

// rebuilt is the state with the configs of another, their frames' counts changed by a rule.
func (m *machine) rebuilt(s *state, count func(*frame) int32) *state {
	done := map[*frame]*frame{}
	for _, c := range s.configs {
		m.set = append(m.set, config{c.node, m.rebuild(c.stack, done, count)})
	}
	m.accept = s.accept
	return m.intern()
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
		if !m.program.fits(c) {
			continue
		}
		if _, ok := m.seen[c]; ok {
			continue
		}
		m.seen[c] = struct{}{}
		m.visit(c)
	}
}

// fits tells whether the text can end once it stands at c.
func (p *program) fits(c config) bool {
	if p.need[c.node] > maxStack-c.stack.depth {
		return false
	}
	n := &p.nodes[c.node]
	return n.kind != tick || p.counted(c.stack).reaches(n.state, c.stack.count+1)
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
			stack = m.push(c.node, 0, m.alone(stack))
		}
		m.work = append(m.work, config{m.program.rules[n.rule], stack})
	case loop:
		m.round(c.node, 0, m.alone(c.stack))
	case counter:
		m.work = append(m.work, config{m.program.rules[n.rule], m.push(c.node, 0, m.alone(c.stack))})
	case tick:
		f := c.stack
		m.work = append(m.work, config{n.next, m.push(f.node, m.program.counted(f).after(f.count), f.parents)})
	case final:
		m.leave(c.stack)
	}
}

// leave returns from a rule to the frame that called it.
func (m *machine) leave(f *frame) {
	if f == m.bottom {
		m.accept = true
		return
	}
	n := &m.program.nodes[f.node]
	switch {
	case n.kind == loop:
		m.round(f.node, f.count+1, f.parents)
	case n.kind == call || f.count >= n.min:
		m.goOn(n.next, f.parents)
	}
}

func (m *machine) goOn(node int32, parents *links) {
	for _, p := range parents.frames {
		m.work = append(m.work, config{node, p})
	}
}

// round decides, count rounds of a loop being complete, on one more and on going on. Without an upper bound, rounds
// beyond the lower one are not counted.
func (m *machine) round(loop, count int32, parents *links) {
	n := &m.program.nodes[loop]
	if n.max == unbounded {
		count = min(count, n.min)
	}
	if count >= n.min {
		m.goOn(n.next, parents)
	}
	if count < n.max {
		m.work = append(m.work, config{m.program.rules[n.rule], m.push(loop, count, parents)})
	}
}

// intern takes the set under construction and returns its state.
func (m *machine) intern() *state {
	if len(m.seen) > 0 {
		clear(m.seen)
	}
	set, accept := m.merged(m.set), m.accept
	m.set, m.accept = m.set[:0], false
	if len(set) == 0 && !accept {
		return m.dead
	}
	m.key = appendKey(m.key[:0], set, accept)
	if s, ok := m.states[string(m.key)]; ok {
		return s
	}
	s := &state{configs: slices.Clone(set), accept: accept}
	s.text = m.textLoop(s)
	m.states[string(m.key)] = s
	m.bytes += 192 + 24*len(set)
	return s
}

func appendKey(key []byte, set []config, accept bool) []byte {
	if accept {
		key = append(key, 1)
	}
	for _, c := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(c.node))
		key = binary.LittleEndian.AppendUint32(key, uint32(c.stack.id))
	}
	return key
}

// merged sorts configs and joins those that differ only in what lies below the top of the stack.
func (m *machine) merged(set []config) []config {
	order := func(a, b config) int {
		return cmp.Or(cmp.Compare(a.node, b.node), compareFrames(a.stack, b.stack))
	}
	slices.SortFunc(set, order)
	out := set[:0]
	for _, c := range set {
		if n := len(out); n > 0 && order(out[n-1], c) == 0 {
			out[n-1].stack = m.merge(out[n-1].stack, c.stack)
		} else {
			out = append(out, c)
		}
	}
	return out
}

// textLoop recognises free text: the begin of a character within a loop of characters and, once the lower bound is
// reached, the closing quote.
func (m *machine) textLoop(s *state) *frame {
	p := m.program
	if p.chars < 0 || s.accept {
		return nil
	}
	i := slices.IndexFunc(s.configs, func(c config) bool { return c.node == p.rules[p.chars] })
	if i < 0 || s.configs[i].stack == m.bottom {
		return nil
	}
	f := s.configs[i].stack
	n := &p.nodes[f.node]
	if n.kind != loop || n.rule != p.chars {
		return nil
	}
	var behind []*frame // configs at the closing quote, in the order of frames
	if f.count >= n.min {
		behind = f.parents.frames
	}
	if len(s.configs) != 1+len(behind) {
		return nil
	}
	for at, parent := range behind {
		if at >= i {
			at++
		}
		if s.configs[at] != (config{n.next, parent}) {
			return nil
		}
	}
	return f
}
