package grammar

import (
	"fmt"
	"math"
)

// maxNodes bounds a compiled grammar; a node is some 80 bytes and its edges.
const maxNodes = 1 << 18

// never and end are the first two nodes of every program: a node that leads nowhere, and the end of a rule.
const (
	never int32 = 0
	end   int32 = 1
)

// unbounded stands for "no upper bound" of a loop, and for the stack need of a node that can never finish.
const unbounded = math.MaxInt32

type kind uint8

const (
	plain   kind = iota // bytes and empty moves
	final               // the end of a rule: return to the frame on the stack, or the end of the text
	call                // a rule, then next
	loop                // a rule min to max times, then next
	counter             // a rule whose characters are counted, min to max, then next
	tick                // one more character of the counter at the top of the stack, then next
)

// An edge consumes one byte of lo..hi.
type edge struct {
	lo, hi byte
	to     int32
}

// A node is a place in the grammar. A plain node moves by edges and, without consuming a byte, by eps. A call, a
// loop and a counter push a frame that remembers them. The rule of a loop must not match the empty text: counting it
// would not end. A tick stands behind the first byte of a character, so that none is begun that is one too many.
type node struct {
	kind     kind
	edges    []edge
	eps      []int32
	rule     int32
	next     int32
	min, max int32
	state    int32 // of a tick: where its character leads, in the automaton; of a counter: its lengths
}

// A program is a pushdown automaton over bytes: the common ground of every front end. It is built backwards: each
// construct is given the node that follows it and returns the node that begins it.
type program struct {
	nodes   []node
	rules   []int32    // rule -> its first node
	start   int32      // where a text begins
	need    []int32    // node -> least number of frames to push before its rule can end; unbounded: it cannot
	class   [256]byte  // byte -> class; bytes of one class are alike on every edge
	width   int        // number of classes
	lengths []*lengths // of the counters
	place   string     // JSON pointer of what is being built, for err
	err     error      // the first limit that was exceeded

	chars int32 // rule: one character of a JSON string, -1 until used
}

func newProgram() *program {
	return &program{nodes: []node{{}, {kind: final}}, chars: -1}
}

// add stores a node and returns its number. Past the limit it returns never and remembers the error, so that
// builders need no check of their own and memory stays bounded.
func (p *program) add(n node) int32 {
	if len(p.nodes) >= maxNodes {
		if p.err == nil {
			p.err = fault(p.place, "the grammar has more than %d nodes", maxNodes)
		}
		return never
	}
	p.nodes = append(p.nodes, n)
	return int32(len(p.nodes) - 1)
}

// literal matches text, then next.
func (p *program) literal(text string, next int32) int32 {
	for i := len(text) - 1; i >= 0; i-- {
		next = p.add(node{edges: []edge{{text[i], text[i], next}}})
	}
	return next
}

// choice matches any one of the alternatives.
func (p *program) choice(starts ...int32) int32 {
	alive := make([]int32, 0, len(starts))
	for _, s := range starts {
		if s != never {
			alive = append(alive, s)
		}
	}
	switch len(alive) {
	case 0:
		return never
	case 1:
		return alive[0]
	}
	return p.add(node{eps: alive})
}

// reserveRule returns the number of a rule whose first node is set later: rules may call each other in any order.
func (p *program) reserveRule() int32 {
	p.rules = append(p.rules, never)
	return int32(len(p.rules) - 1)
}

func (p *program) call(rule, next int32) int32 {
	return p.add(node{kind: call, rule: rule, next: next})
}

// repeat matches a rule min to max times. A rule that is repeated at most once needs no count.
func (p *program) repeat(rule int32, min, max int32, next int32) int32 {
	if max == 0 {
		return next
	}
	if max == 1 {
		once := p.call(rule, next)
		if min == 1 {
			return once
		}
		return p.choice(once, next)
	}
	return p.add(node{kind: loop, rule: rule, next: next, min: min, max: max})
}

// words matches one of the sorted, distinct texts, through a prefix tree so that a long enum stays one state.
func (p *program) words(texts []string, next int32) int32 {
	if len(texts) == 0 || p.err != nil {
		return never
	}
	first, last := texts[0], texts[len(texts)-1]
	same := 0 // bytes that all have, since the first and the last have them
	for same < len(first) && same < len(last) && first[same] == last[same] {
		same++
	}
	if len(texts) == 1 {
		return p.literal(first, next)
	}
	var n node
	rest := make([]string, len(texts))
	for i, t := range texts {
		rest[i] = t[same:]
	}
	if rest[0] == "" {
		n.eps = []int32{next}
		rest = rest[1:]
	}
	for len(rest) > 0 {
		b, group := rest[0][0], 1
		for group < len(rest) && rest[group][0] == b {
			group++
		}
		tails := make([]string, group)
		for i, t := range rest[:group] {
			tails[i] = t[1:]
		}
		n.edges = append(n.edges, edge{b, b, p.words(tails, next)})
		rest = rest[group:]
	}
	return p.literal(first[:same], p.add(n))
}

// finish computes what a matcher needs beside the nodes. No text at all is an error.
func (p *program) finish(start int32) error {
	if p.err != nil {
		return p.err
	}
	p.start = start
	p.computeNeed()
	switch need := p.need[start]; {
	case need == unbounded:
		return errUnsatisfiable
	case need > maxStack:
		return fmt.Errorf("the least value takes a stack of %d frames, at most %d", need, maxStack)
	}
	p.computeClasses()
	return nil
}

// computeNeed finds for each node the least stack that its rule needs to end, by relaxing from the ends backwards.
// A matcher enters a node only where that much stack is left, so no path it offers can run into the stack's limit.
func (p *program) computeNeed() {
	users := make([][]int32, len(p.nodes)) // node -> nodes whose need depends on it
	for i := range p.nodes {
		n := &p.nodes[i]
		for _, e := range n.edges {
			users[e.to] = append(users[e.to], int32(i))
		}
		for _, to := range n.eps {
			users[to] = append(users[to], int32(i))
		}
		switch n.kind {
		case tick:
			users[n.next] = append(users[n.next], int32(i))
		case call, loop, counter:
			users[n.next] = append(users[n.next], int32(i))
			first := p.rules[n.rule]
			users[first] = append(users[first], int32(i))
		}
	}
	p.need = make([]int32, len(p.nodes))
	for i := range p.need {
		p.need[i] = unbounded
	}
	p.need[end] = 0
	work := []int32{end}
	for len(work) > 0 {
		n := work[len(work)-1]
		work = work[:len(work)-1]
		for _, u := range users[n] {
			if need := p.needOf(u); need < p.need[u] {
				p.need[u] = need
				work = append(work, u)
			}
		}
	}
}

// counted is the lengths of the counter that a frame remembers.
func (p *program) counted(f *frame) *lengths { return p.lengths[p.nodes[f.node].state] }

func (p *program) needOf(i int32) int32 {
	n := &p.nodes[i]
	switch n.kind {
	case final:
		return 0
	case tick:
		return p.need[n.next]
	case call, loop, counter:
		after := p.need[n.next]
		if n.kind == loop && n.min == 0 {
			return after
		}
		inside := p.need[p.rules[n.rule]]
		if inside < unbounded {
			inside++
		}
		return max(inside, after)
	}
	least := int32(unbounded)
	for _, e := range n.edges {
		least = min(least, p.need[e.to])
	}
	for _, to := range n.eps {
		least = min(least, p.need[to])
	}
	return least
}

// computeClasses numbers the intervals of bytes that no edge divides, so that a state's table stays small.
func (p *program) computeClasses() {
	var begins [257]bool
	for i := range p.nodes {
		for _, e := range p.nodes[i].edges {
			begins[e.lo] = true
			begins[int(e.hi)+1] = true
		}
	}
	class := 0
	for b := 1; b < 256; b++ {
		if begins[b] {
			class++
		}
		p.class[b] = byte(class)
	}
	p.width = class + 1
}
