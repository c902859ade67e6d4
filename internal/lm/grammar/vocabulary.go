package grammar

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// A Vocabulary holds the byte strings of a model's tokens for quick walks. It does not change and may be shared.
type Vocabulary struct {
	tokens  [][]byte
	eos     []int32
	nodes   []trieNode // in preorder, the root first; one more behind the last
	ids     []int32    // token ids by node
	depth   int        // of the longest token
	content content
}

// A trieNode is a prefix of tokens. In preorder a subtree is a run of nodes: leaving it out is one jump.
type trieNode struct {
	end   int32 // the first node behind the subtree
	ids   int32 // where the ids of the tokens that end here begin; they end where the next node's begin
	depth int32 // bytes of the prefix
	last  byte  // of the prefix
}

// content sorts tokens by what they do inside a JSON string, so that the mask of free text needs no walk over the
// whole vocabulary and its bound on length costs nothing.
type content struct {
	counts []int32    // ascending
	inner  [][]uint64 // inner[i]: tokens that stay inside the string and touch at most counts[i] characters
	exits  []exit     // by chars
}

// An exit is a trie node right behind a closing quote, with chars characters before the quote.
type exit struct{ node, chars int32 }

// NewVocabulary prepares the tokens of a model, by id. A nil or empty token is never allowed: control tokens are
// given so, and rows that stand for no token, whatever a file calls them. The eos tokens are allowed exactly where the
// text is complete; it panics if one is no id.
func NewVocabulary(tokens [][]byte, eos []int) *Vocabulary {
	v := &Vocabulary{tokens: slices.Clone(tokens)}
	for _, id := range eos {
		if id < 0 || id >= len(tokens) {
			panic(fmt.Sprintf("grammar: NewVocabulary: eos %d of %d tokens", id, len(tokens)))
		}
		v.tokens[id] = nil
		v.eos = append(v.eos, int32(id))
	}
	var order []int32
	for id, t := range v.tokens {
		if len(t) > 0 {
			order = append(order, int32(id))
			v.depth = max(v.depth, len(t))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(bytes.Compare(v.tokens[a], v.tokens[b]), cmp.Compare(a, b))
	})
	v.buildTrie(order)
	v.buildContent()
	return v
}

// Words is the length of a mask: one bit for each token.
func (v *Vocabulary) Words() int { return (len(v.tokens) + 63) / 64 }

func (v *Vocabulary) buildTrie(order []int32) {
	v.ids = order
	v.nodes = append(v.nodes, trieNode{})
	path := []int32{0} // nodes of the prefix at hand
	var before []byte
	for at, id := range order {
		t := v.tokens[id]
		same := 0
		for same < len(t) && same < len(before) && t[same] == before[same] {
			same++
		}
		for _, n := range path[same+1:] {
			v.nodes[n].end = int32(len(v.nodes))
		}
		path = path[:same+1]
		for i, b := range t[same:] {
			path = append(path, int32(len(v.nodes)))
			v.nodes = append(v.nodes, trieNode{ids: int32(at), depth: int32(same + i + 1), last: b})
		}
		before = t
	}
	for _, n := range path {
		v.nodes[n].end = int32(len(v.nodes))
	}
	v.nodes = append(v.nodes, trieNode{ids: int32(len(order))}) // no node: it ends the ids of the last one
}

// at returns the ids of the tokens that end at a node.
func (v *Vocabulary) at(n int32) []int32 { return v.ids[v.nodes[n].ids:v.nodes[n+1].ids] }

// buildContent walks the trie once from inside a string, before a character.
func (v *Vocabulary) buildContent() {
	table := charStates()
	type place struct {
		state byte
		chars int32 // complete
	}
	stack := make([]place, v.depth+1)
	touched := map[int32][]int32{} // characters touched -> ids
	for n := int32(1); n < v.nodes[0].end; n++ {
		t := &v.nodes[n]
		p := stack[t.depth-1]
		if p.state == 0 && t.last == '"' {
			v.content.exits = append(v.content.exits, exit{n, p.chars})
			n = t.end - 1
			continue
		}
		p.state = table[p.state][t.last]
		if p.state == charDead {
			n = t.end - 1
			continue
		}
		chars := p.chars + 1
		if p.state == 0 {
			p.chars++
		}
		stack[t.depth] = p
		if ids := v.at(n); len(ids) > 0 {
			touched[chars] = append(touched[chars], ids...)
		}
	}
	slices.SortStableFunc(v.content.exits, func(a, b exit) int { return cmp.Compare(a.chars, b.chars) })
	for chars := range touched {
		v.content.counts = append(v.content.counts, chars)
	}
	slices.Sort(v.content.counts)
	mask := make([]uint64, v.Words())
	for _, chars := range v.content.counts {
		setBits(mask, touched[chars])
		v.content.inner = append(v.content.inner, slices.Clone(mask))
	}
}

func setBits(mask []uint64, ids []int32) {
	for _, id := range ids {
		mask[id>>6] |= 1 << (id & 63)
	}
}
