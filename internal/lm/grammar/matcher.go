package grammar

import (
	"errors"
	"fmt"
	"slices"
)

// ErrStuck is returned by Mask where the text may neither end nor go on: the vocabulary lacks the bytes that
// the grammar wants. It cannot happen with a vocabulary that has every single byte as a token.
var ErrStuck = errors.New("grammar: no token of the vocabulary continues the text")

// maxForced bounds what Forced returns at a time.
const maxForced = 1 << 16

// A Matcher follows one text. It is for one goroutine; matchers of one grammar share what they find out.
type Matcher struct {
	machine *machine
	state   *state
	epoch   int
	ended   bool // eos was accepted
}

// Start returns a matcher at the begin of a text.
func (g *Grammar) Start(v *Vocabulary) *Matcher {
	g.mu.Lock()
	machine := g.machines[v]
	if machine == nil {
		machine = newMachine(g.program, v)
		g.machines[v] = machine
	}
	g.mu.Unlock()
	m := &Matcher{machine: machine}
	m.Reset()
	return m
}

// Reset goes back to the begin.
func (m *Matcher) Reset() {
	m.machine.mu.Lock()
	defer m.machine.mu.Unlock()
	m.state, m.epoch, m.ended = m.machine.start, m.machine.epoch, false
}

// Clone returns a matcher at the same place that goes its own way. It copies a few words: to try a draft, let a clone
// accept its tokens; where it refuses one, that is where the draft ends. What the clone found out, m finds known.
func (m *Matcher) Clone() *Matcher {
	clone := *m
	return &clone
}

// Set goes to the place of another matcher of the same grammar and vocabulary, as Clone without the allocation: back
// from a draft, or forward to where it was accepted.
func (m *Matcher) Set(to *Matcher) {
	if m.machine != to.machine {
		panic("grammar: Set: matchers of different grammars or vocabularies")
	}
	*m = *to
}

// lock takes the machine for one operation. States beyond their bound are forgotten here, between operations.
func (m *Matcher) lock() *machine {
	x := m.machine
	x.mu.Lock()
	if x.full() {
		x.forget()
	}
	if m.epoch != x.epoch {
		m.state, m.epoch = x.adopt(m.state), x.epoch
	}
	return x
}

// Mask sets dst, of Vocabulary.Words words, to the tokens that may come next: token id is bit id%64 of word id/64.
// The eos tokens are set exactly where the text is complete. It returns ErrStuck, with dst empty, where there is
// none; behind eos that is so too.
func (m *Matcher) Mask(dst []uint64) error {
	x := m.lock()
	defer x.mu.Unlock()
	if len(dst) != x.vocab.Words() {
		panic(fmt.Sprintf("grammar: Mask: %d words, want %d", len(dst), x.vocab.Words()))
	}
	if m.ended {
		clear(dst)
		return ErrStuck
	}
	s := x.maskOf(m.state)
	copy(dst, s.mask)
	if s.allowed == 0 {
		return ErrStuck
	}
	return nil
}

// Single returns the one token that may come next, if Mask would allow exactly one. It costs what Mask costs, a copy
// less.
func (m *Matcher) Single() (id int, ok bool) {
	x := m.lock()
	defer x.mu.Unlock()
	if m.ended {
		return 0, false
	}
	s := x.maskOf(m.state)
	return s.single, s.allowed == 1
}

// Accept appends a token to the text. A token that Mask does not allow is an error and changes nothing.
func (m *Matcher) Accept(id int) error {
	v := m.machine.vocab
	if id < 0 || id >= len(v.tokens) {
		return fmt.Errorf("grammar: token %d of %d", id, len(v.tokens))
	}
	if m.ended {
		return fmt.Errorf("grammar: token %d behind the end of the text", id)
	}
	if slices.Contains(v.eos, int32(id)) {
		if !m.state.accept {
			return fmt.Errorf("grammar: end of text, token %d, before the text is complete", id)
		}
		m.ended = true
		return nil
	}
	if len(v.tokens[id]) == 0 {
		return fmt.Errorf("grammar: token %d is a control token", id)
	}
	if err := m.AcceptBytes(v.tokens[id]); err != nil {
		return fmt.Errorf("%w, token %d", err, id)
	}
	return nil
}

// AcceptBytes appends bytes to the text, all or, with an error, none.
func (m *Matcher) AcceptBytes(text []byte) error {
	x := m.lock()
	defer x.mu.Unlock()
	s := m.state
	for i, b := range text {
		to := x.step(s, b)
		if m.ended || to == x.dead {
			return fmt.Errorf("grammar: %q does not fit at byte %d", text, i)
		}
		s = to
	}
	m.state = s
	return nil
}

// Complete tells whether the text may end here.
func (m *Matcher) Complete() bool { return m.state.accept }

// Done tells whether the text is complete and nothing but eos may follow.
func (m *Matcher) Done() bool {
	return m.ended || m.state.accept && len(m.state.configs) == 0
}

// Forced returns the bytes that come next whatever the model says, up to the first choice or place where the text may
// end, at most maxForced at a time; nil where there is a choice at once. It may begin and end inside of a character. The
// caller tokenizes them, and may have to step back a token so that the split is the one the model knows: a token that
// goes beyond the forced bytes is allowed too. Where nothing is forced it costs a look at the edges of the state and no
// allocation; else a step for each byte, which is remembered, and the answer.
func (m *Matcher) Forced() []byte {
	x := m.lock()
	defer x.mu.Unlock()
	var out []byte
	for s := m.state; len(out) < maxForced && !m.ended && !s.accept; {
		b, only := x.only(s)
		if !only {
			break
		}
		out = append(out, b)
		s = x.step(s, b)
	}
	return out
}

// only returns the byte that alone may follow, if there is one.
func (m *machine) only(s *state) (b byte, only bool) {
	for _, c := range s.configs {
		for _, e := range m.program.nodes[c.node].edges {
			if !m.program.fits(config{e.to, c.stack}) {
				continue
			}
			if e.lo != e.hi || only && e.lo != b {
				return 0, false
			}
			b, only = e.lo, true
		}
	}
	return b, only
}
