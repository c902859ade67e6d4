package grammar

import (
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxCount is the largest bound on characters or items that is counted; an upper bound above it is no bound, since
// no text comes near.
const maxCount = 1 << 30

// counts reads a pair of keywords such as minLength and maxLength.
func counts(v *value, at, minKey, maxKey string) (low, high int32, err error) {
	low, high = 0, unbounded
	for _, key := range []string{minKey, maxKey} {
		arg := v.member(key)
		if arg == nil {
			continue
		}
		if arg.kind != isInteger || arg.text[0] == '-' && arg.text != "-0" {
			return 0, 0, fault(at+"/"+key, "want a count, not %s", arg.json())
		}
		n, parseErr := strconv.ParseInt(arg.text, 10, 64)
		if parseErr != nil {
			n = math.MaxInt64
		}
		switch {
		case key == minKey && n > maxCount:
			return 0, 0, fault(at+"/"+key, "%s, at most %d", arg.text, maxCount)
		case key == minKey:
			low = int32(n)
		case n <= maxCount:
			high = int32(n)
		}
	}
	return low, high, nil
}

// string compiles a string. Without pattern and format its characters are counted on the stack, so that its size
// does not depend on the bounds.
func (c *compiler) string(v *value, at string, next int32) (int32, error) {
	if v.member("pattern") != nil || v.member("format") != nil {
		d, err := c.stringDFA(v, at)
		if err != nil {
			return never, err
		}
		return c.literal(`"`, c.automaton(d, true, c.literal(`"`, next))), nil
	}
	low, high, err := counts(v, at, "minLength", "maxLength")
	if err != nil || low > high {
		return never, err
	}
	return c.text(low, high, next), nil
}

// text is a free string of low to high characters. It is always a loop, however small the bounds: matchers know
// free text by it.
func (c *compiler) text(low, high, next int32) int32 {
	quote := c.literal(`"`, next)
	if high > 0 {
		quote = c.add(node{kind: loop, rule: c.charRule(), next: quote, min: low, max: high})
	}
	return c.literal(`"`, quote)
}

// stringDFA is the automaton of the decoded strings that pattern, format, minLength and maxLength admit together.
func (c *compiler) stringDFA(v *value, at string) (*dfa, error) {
	low, high, err := counts(v, at, "minLength", "maxLength")
	if err != nil {
		return nil, err
	}
	var all []*dfa
	if arg := v.member("pattern"); arg != nil {
		if arg.kind != isString {
			return nil, fault(at+"/pattern", "want a string, not %s", arg.json())
		}
		e, err := parsePattern(arg.text)
		if err != nil {
			return nil, fault(at, "%w", err)
		}
		d, err := newDFA(e, c.work)
		if err != nil {
			return nil, fault(at+"/pattern", "%w", err)
		}
		all = append(all, d)
	}
	if arg := v.member("format"); arg != nil {
		d, err := formatDFA(arg.text)
		if err != nil {
			return nil, fault(at, "%w", err)
		}
		all = append(all, d)
	}
	if !impliesLength(all, low, high) {
		d, err := lengthDFA(low, high, c.work)
		if err != nil {
			return nil, fault(at, "minLength, maxLength: %w", err)
		}
		all = append(all, d)
	}
	d := all[0]
	for _, other := range all[1:] {
		if d, err = intersect(d, other, c.work); err != nil {
			return nil, fault(at, "pattern, format, minLength and maxLength together: %w", err)
		}
	}
	return d, nil
}

// impliesLength tells whether one of the automata alone keeps the bounds: theirs would only multiply its states.
func impliesLength(all []*dfa, low, high int32) bool {
	return slices.ContainsFunc(all, func(d *dfa) bool {
		if d.empty() || low == 0 && high == unbounded {
			return true
		}
		return d.shortest() >= int(low) && (high == unbounded || d.longest() <= int(high))
	})
}

func lengthDFA(low, high int32, left *budget) (*dfa, error) {
	bounds := rep(anyChar, int(low), int(high))
	if low > high {
		bounds = alt()
	}
	return newDFA(bounds, left)
}

// number compiles a number or an integer within its bounds.
func (c *compiler) number(v *value, at string, next int32) (int32, error) {
	kinds, err := admitted(v, at)
	if err != nil {
		return never, err
	}
	bounds, err := numberBounds(v, at)
	if err != nil {
		return never, err
	}
	d, err := numberDFA(kinds&(isInteger|isNumber) == isInteger, bounds, c.work)
	if err != nil {
		return never, fault(at, "minimum, maximum: %w", err)
	}
	return c.automaton(d, false, next), nil
}

// boundsDFA accepts the numbers within the bounds, integers or not.
func (c *compiler) boundsDFA(v *value, at string) (*dfa, error) {
	bounds, err := numberBounds(v, at)
	if err != nil {
		return nil, err
	}
	d, err := numberDFA(false, bounds, c.work)
	if err != nil {
		return nil, fault(at, "minimum, maximum: %w", err)
	}
	return d, nil
}

func numberBounds(v *value, at string) ([]bound, error) {
	var bounds []bound
	for _, key := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
		arg := v.member(key)
		if arg == nil {
			continue
		}
		if arg.kind&(isInteger|isNumber) == 0 {
			return nil, fault(at+"/"+key, "want a number, not %s", arg.json())
		}
		d, err := parseDecimal(arg.text)
		if err != nil {
			return nil, fault(at+"/"+key, "%w", err)
		}
		bounds = append(bounds, bound{value: d, upper: key == "maximum" || key == "exclusiveMaximum", strict: len(key) > len("minimum")})
	}
	return bounds, nil
}

// automaton turns an automaton over code points into nodes over bytes: UTF-8 and, inside a JSON string, escapes
// for the characters that need one.
func (c *compiler) automaton(d *dfa, quoted bool, next int32) int32 {
	if d.empty() {
		return never
	}
	w := dfaWriter{program: c.program, dfa: d, quoted: quoted, next: next, nodes: make([]int32, len(d.edges)), tails: map[tail]int32{}, slash: map[escapeSet]int32{}}
	return w.state(0)
}

type dfaWriter struct {
	*program
	dfa    *dfa
	quoted bool
	next   int32
	nodes  []int32 // state -> node, 0 until made
	tails  map[tail]int32
	slash  map[escapeSet]int32
	work   []int32
}

// An escapeSet is a set of characters that JSON escapes, before a node.
type escapeSet struct {
	to  int32
	set uint64 // bit i: needEscape[i]
}

// needEscape are the characters that a JSON string does not take raw.
var needEscape = func() []rune {
	var all []rune
	for r := range rune(' ') {
		all = append(all, r)
	}
	return append(all, '"', '\\')
}()

// tail is the rest of a UTF-8 sequence before a node; equal ones are shared.
type tail struct {
	to     int32
	n      int
	lo, hi [4]byte
}

// state makes the nodes of every state that can be reached from s, and returns that of s.
func (w *dfaWriter) state(s int32) int32 {
	first := w.reserve(s)
	for len(w.work) > 0 && w.err == nil {
		s := w.work[len(w.work)-1]
		w.work = w.work[:len(w.work)-1]
		var n node
		if w.dfa.accept[s] {
			n.eps = []int32{w.next}
		}
		for _, e := range w.dfa.edges[s] {
			n.edges = w.appendRange(n.edges, e.lo, e.hi, w.reserve(e.to))
		}
		w.program.nodes[w.nodes[s]] = n
	}
	return first
}

func (w *dfaWriter) reserve(s int32) int32 {
	if w.nodes[s] == 0 {
		w.nodes[s] = w.add(node{})
		w.work = append(w.work, s)
	}
	return w.nodes[s]
}

func (w *dfaWriter) appendRange(edges []edge, lo, hi rune, to int32) []edge {
	if !w.quoted {
		return w.appendUTF8(edges, lo, hi, to)
	}
	set := escapeSet{to: to}
	for i, r := range needEscape {
		if lo <= r && r <= hi {
			set.set |= 1 << i
		}
	}
	if set.set != 0 {
		edges = append(edges, edge{'\\', '\\', w.escapes(set)})
	}
	for _, raw := range []span{{' ', '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, utf8.MaxRune}} {
		edges = w.appendUTF8(edges, max(lo, raw.lo), min(hi, raw.hi), to)
	}
	return edges
}

// escapes is what may follow a backslash, as a tree of the escapes of the set.
func (w *dfaWriter) escapes(set escapeSet) int32 {
	if n, ok := w.slash[set]; ok {
		return n
	}
	var texts []string
	for i, r := range needEscape {
		if set.set>>i&1 != 0 {
			texts = append(texts, escaped(r)[1:])
		}
	}
	slices.Sort(texts)
	n := w.words(texts, set.to)
	w.slash[set] = n
	return n
}

func (w *dfaWriter) appendUTF8(edges []edge, lo, hi rune, to int32) []edge {
	if lo > hi {
		return edges
	}
	for _, s := range utf8Seqs(lo, hi) {
		edges = append(edges, edge{s.lo[0], s.hi[0], w.tail(tail{to: to, n: s.n - 1, lo: [4]byte(append(s.lo[1:], 0)), hi: [4]byte(append(s.hi[1:], 0))})})
	}
	return edges
}

func (w *dfaWriter) tail(t tail) int32 {
	if t.n == 0 {
		return t.to
	}
	if n, ok := w.tails[t]; ok {
		return n
	}
	rest := tail{to: t.to, n: t.n - 1, lo: [4]byte{t.lo[1], t.lo[2]}, hi: [4]byte{t.hi[1], t.hi[2]}}
	n := w.add(node{edges: []edge{{t.lo[0], t.hi[0], w.tail(rest)}}})
	w.tails[t] = n
	return n
}
