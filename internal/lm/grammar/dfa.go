package grammar

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Limits of the automata behind pattern, format and numeric bounds.
const (
	maxPatternNodes = 20_000 // of one before it is made deterministic; quantifiers are expanded
	maxDFAStates    = 40_000
	maxWork         = 2_000_000 // steps of building all automata of a schema and of telling alternatives apart
)

// A budget is what remains of maxWork.
type budget struct{ left int }

func newBudget() *budget { return &budget{maxWork} }

func (b *budget) spend(steps int) error {
	if b.left -= steps; b.left < 0 {
		return fmt.Errorf("automata take more than %d steps to build", maxWork)
	}
	return nil
}

// A span is an interval of code points, both ends included.
type span struct{ lo, hi rune }

// op names what an expr does.
type op uint8

const (
	opEmpty op = iota
	opSet      // one code point of set
	opCat      // subs in order
	opAlt      // one of subs
	opRep      // subs[0] min to max times; max unbounded
)

// An expr is a regular expression over code points.
type expr struct {
	op       op
	set      []span // sorted, disjoint
	subs     []*expr
	min, max int
}

var anyChar = &expr{op: opSet, set: []span{{0, utf8.MaxRune}}}

func chars(spans ...span) *expr       { return &expr{op: opSet, set: spans} }
func cat(subs ...*expr) *expr         { return &expr{op: opCat, subs: subs} }
func alt(subs ...*expr) *expr         { return &expr{op: opAlt, subs: subs} }
func rep(e *expr, min, max int) *expr { return &expr{op: opRep, subs: []*expr{e}, min: min, max: max} }

func text(s string) *expr {
	e := &expr{op: opCat}
	for _, r := range s {
		e.subs = append(e.subs, chars(span{r, r}))
	}
	return e
}

// An nfaNode consumes a code point of set, if that is not nil, or goes by eps.
type nfaNode struct {
	set []span
	to  int32
	eps []int32
}

// An nfa is built backwards like a program; node 0 accepts.
type nfa struct {
	nodes []nfaNode
	err   error
}

func (a *nfa) add(n nfaNode) int32 {
	if len(a.nodes) >= maxPatternNodes {
		a.err = fmt.Errorf("automaton has more than %d nodes", maxPatternNodes)
		return 0
	}
	a.nodes = append(a.nodes, n)
	return int32(len(a.nodes) - 1)
}

func (a *nfa) build(e *expr, next int32) int32 {
	if a.err != nil {
		return 0
	}
	switch e.op {
	case opSet:
		return a.add(nfaNode{set: e.set, to: next})
	case opCat:
		for _, sub := range slices.Backward(e.subs) {
			next = a.build(sub, next)
		}
	case opAlt:
		var n nfaNode
		for _, sub := range e.subs {
			n.eps = append(n.eps, a.build(sub, next))
		}
		return a.add(n)
	case opRep:
		return a.repeat(e, next)
	}
	return next
}

// repeat expands a quantifier: the required copies, then either a cycle or nested optional copies.
func (a *nfa) repeat(e *expr, next int32) int32 {
	sub := e.subs[0]
	if e.max == unbounded {
		cycle := a.add(nfaNode{})
		body := a.build(sub, cycle)
		if a.err != nil {
			return 0
		}
		a.nodes[cycle].eps = []int32{body, next}
		next = cycle
	} else {
		done := next
		for range e.max - e.min {
			if sub.op == opSet { // one node for both ways
				next = a.add(nfaNode{set: sub.set, to: next, eps: []int32{done}})
			} else {
				next = a.add(nfaNode{eps: []int32{a.build(sub, next), done}})
			}
			if a.err != nil {
				return 0
			}
		}
	}
	for range e.min {
		next = a.build(sub, next)
		if a.err != nil {
			return 0
		}
	}
	return next
}

type dfaEdge struct {
	lo, hi rune
	to     int32
}

// A dfa is a deterministic automaton over code points. State 0 begins; from every state some text leads to
// acceptance, unless the whole language is empty (one state, no edges, not accepting).
type dfa struct {
	edges  [][]dfaEdge
	accept []bool
}

// newDFA makes e deterministic, within the limits.
func newDFA(e *expr, b *budget) (*dfa, error) {
	a := &nfa{nodes: make([]nfaNode, 1)}
	start := a.build(e, 0)
	if a.err != nil {
		return nil, a.err
	}
	if err := b.spend(len(a.nodes)); err != nil {
		return nil, err
	}
	d := &subsets{nfa: a, numbers: map[string]int32{}, seen: make([]bool, len(a.nodes))}
	d.number(d.closure([]int32{start}))
	for s := 0; s < len(d.sets); s++ {
		err := d.expand(s)
		if err == nil {
			err = b.spend(d.work)
		}
		if err != nil {
			return nil, err
		}
		d.work = 0
	}
	return d.out.trim(), nil
}

// subsets is the subset construction.
type subsets struct {
	nfa     *nfa
	sets    [][]int32
	numbers map[string]int32 // set, as bytes -> state
	seen    []bool
	key     []byte
	work    int
	out     dfa
}

func (d *subsets) closure(from []int32) []int32 {
	var set []int32
	for len(from) > 0 {
		n := from[len(from)-1]
		from = from[:len(from)-1]
		if d.seen[n] {
			continue
		}
		d.seen[n] = true
		set = append(set, n)
		from = append(from, d.nfa.nodes[n].eps...)
	}
	for _, n := range set {
		d.seen[n] = false
	}
	d.work += len(set)
	set = slices.DeleteFunc(set, func(n int32) bool { return n != 0 && d.nfa.nodes[n].set == nil })
	slices.Sort(set)
	return set
}

func (d *subsets) number(set []int32) int32 {
	d.key = d.key[:0]
	for _, n := range set {
		d.key = binary.LittleEndian.AppendUint32(d.key, uint32(n))
	}
	if s, ok := d.numbers[string(d.key)]; ok {
		return s
	}
	s := int32(len(d.sets))
	d.numbers[string(d.key)] = s
	d.sets = append(d.sets, set)
	d.out.edges = append(d.out.edges, nil)
	d.out.accept = append(d.out.accept, len(set) > 0 && set[0] == 0)
	return s
}

// expand finds the edges of state s: the code points are cut wherever a span of the set begins or ends.
func (d *subsets) expand(s int) error {
	var cuts []rune
	for _, n := range d.sets[s] {
		for _, sp := range d.nfa.nodes[n].set {
			cuts = append(cuts, sp.lo, sp.hi+1)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	for i := 0; i+1 < len(cuts); i++ {
		var to []int32
		for _, n := range d.sets[s] {
			if contains(d.nfa.nodes[n].set, cuts[i]) {
				to = append(to, d.nfa.nodes[n].to)
			}
		}
		d.work += len(d.sets[s])
		if d.work > maxWork {
			return nil // the caller finds out
		}
		if len(to) == 0 {
			continue
		}
		d.out.addEdge(int32(s), cuts[i], cuts[i+1]-1, d.number(d.closure(to)))
		if len(d.sets) > maxDFAStates {
			return fmt.Errorf("automaton has more than %d states", maxDFAStates)
		}
	}
	return nil
}

func contains(set []span, r rune) bool {
	_, found := slices.BinarySearchFunc(set, r, func(s span, r rune) int {
		if s.hi < r {
			return -1
		} else if s.lo > r {
			return 1
		}
		return 0
	})
	return found
}

// addEdge appends an edge, joined to the one before where they touch and agree.
func (d *dfa) addEdge(from int32, lo, hi rune, to int32) {
	if es := d.edges[from]; len(es) > 0 && es[len(es)-1].hi+1 == lo && es[len(es)-1].to == to {
		es[len(es)-1].hi = hi
		return
	}
	d.edges[from] = append(d.edges[from], dfaEdge{lo, hi, to})
}

// trim drops the edges into states from which nothing is accepted.
func (d *dfa) trim() *dfa {
	users := d.users()
	alive := make([]bool, len(d.edges))
	var work []int32
	for s, ok := range d.accept {
		if ok {
			alive[s] = true
			work = append(work, int32(s))
		}
	}
	for len(work) > 0 {
		s := work[len(work)-1]
		work = work[:len(work)-1]
		for _, u := range users[s] {
			if !alive[u] {
				alive[u] = true
				work = append(work, u)
			}
		}
	}
	for s := range d.edges {
		d.edges[s] = slices.DeleteFunc(d.edges[s], func(e dfaEdge) bool { return !alive[e.to] })
	}
	return d
}

func (d *dfa) empty() bool { return len(d.edges[0]) == 0 && !d.accept[0] }

// intersect accepts what both accept.
func intersect(a, b *dfa, left *budget) (*dfa, error) {
	type pair struct{ a, b int32 }
	pairs := []pair{{0, 0}}
	numbers := map[pair]int32{{0, 0}: 0}
	var out dfa
	for s := 0; s < len(pairs); s++ {
		p := pairs[s]
		out.edges = append(out.edges, nil)
		out.accept = append(out.accept, a.accept[p.a] && b.accept[p.b])
		ea, eb := a.edges[p.a], b.edges[p.b]
		if err := left.spend(1 + len(ea) + len(eb)); err != nil {
			return nil, err
		}
		for len(ea) > 0 && len(eb) > 0 {
			if lo, hi := max(ea[0].lo, eb[0].lo), min(ea[0].hi, eb[0].hi); lo <= hi {
				to := pair{ea[0].to, eb[0].to}
				n, ok := numbers[to]
				if !ok {
					n = int32(len(pairs))
					numbers[to] = n
					pairs = append(pairs, to)
				}
				out.addEdge(int32(s), lo, hi, n)
			}
			if ea[0].hi < eb[0].hi {
				ea = ea[1:]
			} else {
				eb = eb[1:]
			}
		}
		if len(pairs) > maxDFAStates {
			return nil, fmt.Errorf("automaton has more than %d states", maxDFAStates)
		}
	}
	return out.trim(), nil
}

// shortest is, for each state, the least number of code points until it accepts; unbounded where it never does.
func (d *dfa) shortest() []int32 {
	users := d.users()
	least := make([]int32, len(d.edges))
	var level []int32
	for s := range least {
		least[s] = unbounded
		if d.accept[s] {
			least[s] = 0
			level = append(level, int32(s))
		}
	}
	for len(level) > 0 { // in ascending order
		s := level[0]
		level = level[1:]
		for _, u := range users[s] {
			if least[u] == unbounded {
				least[u] = least[s] + 1
				level = append(level, u)
			}
		}
	}
	return least
}

// longest is, for each state, the greatest number of code points until it accepts, unbounded where there is a cycle.
func (d *dfa) longest() []int32 {
	const onPath = -1
	known := make([]int32, len(d.edges)) // one more than the longest way to go; 0: not visited
	var visit func(s int32) int32
	visit = func(s int32) int32 {
		if known[s] == onPath {
			return unbounded
		}
		if known[s] != 0 {
			return known[s]
		}
		known[s] = onPath
		most := int32(1)
		for _, e := range d.edges[s] {
			if to := visit(e.to); to == unbounded || most == unbounded {
				most = unbounded
			} else {
				most = max(most, to+1)
			}
		}
		known[s] = most
		return most
	}
	for s := range known {
		visit(int32(s))
	}
	for s, most := range known {
		if most < unbounded {
			known[s] = most - 1
		}
	}
	return known
}

// users lists, for each state, those with an edge to it.
func (d *dfa) users() [][]int32 {
	users := make([][]int32, len(d.edges))
	for s, es := range d.edges {
		for _, e := range es {
			users[e.to] = append(users[e.to], int32(s))
		}
	}
	return users
}

func (d *dfa) match(s string) bool {
	state := int32(0)
next:
	for _, r := range s {
		for _, e := range d.edges[state] {
			if r >= e.lo && r <= e.hi {
				state = e.to
				continue next
			}
		}
		return false
	}
	return d.accept[state]
}
