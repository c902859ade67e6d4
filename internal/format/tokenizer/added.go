package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is matched in the text before anything is merged.
type addedToken struct {
	id         int32
	text       string
	control    bool // matches only where the caller asks for special tokens
	singleWord bool // no letter, digit or _ may touch it
	lstrip     bool // takes the white space before it
	rstrip     bool // takes the white space behind it
	normalized bool // is matched in normalized text (tokenizer.json)
}

// allowed reports whether the token may match under o.
func (a *addedToken) allowed(o Options) bool {
	return o.Special || !a.control && (o.UserDefined || !markup(a.text))
}

// markup reports whether a token could be taken for a mark of the chat format: <tool_call>, [INST], <｜User｜>.
func markup(s string) bool {
	return strings.ContainsAny(s, "<[｜") && strings.ContainsFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) })
}

// matcher finds added tokens. The two formats choose among overlapping ones differently.
type matcher struct {
	tokens  []addedToken
	longest bool // the longest first, wherever it is (llama.cpp); else the leftmost, of those the longest (HF)
	root    [256]bool
	next    map[edge]int32    // the trie of the texts: node and byte to node
	leaf    map[int32][]int32 // node to the indices of its tokens: several may be one text when normalized
}

type edge struct {
	node int32
	b    byte
}

// maxAdded bounds the text of an added token, in bytes: a search looks at that many bytes at each place of the input.
const maxAdded = 256

func newMatcher(tokens []addedToken, longest bool) (matcher, error) {
	m := matcher{tokens: tokens, longest: longest, next: map[edge]int32{}, leaf: map[int32][]int32{}}
	for i, t := range tokens {
		if len(t.text) > maxAdded {
			return m, fmt.Errorf("added token %d has %d bytes, want at most %d", t.id, len(t.text), maxAdded)
		}
		m.root[t.text[0]] = true
		node := int32(0)
		for j := range len(t.text) {
			e := edge{node, t.text[j]}
			to, ok := m.next[e]
			if !ok {
				to = int32(len(m.next)) + 1
				m.next[e] = to
			}
			node = to
		}
		m.leaf[node] = append(m.leaf[node], int32(i))
	}
	return m, nil
}

// fragment is a stretch of the input: an added token, or text with id none.
type fragment struct {
	id   int32
	text string
}

// hit is a place where an added token matches, the white space that it takes included. One that ends where it starts, or
// before, is no match, but text goes on behind it.
type hit struct {
	start, end int
	token      *addedToken
}

// partition cuts text into added tokens and what lies between them, which it normalizes. Tokens that match normalized
// text are looked for there, after the others.
func (m *matcher) partition(text string, o Options, normalize func(piece string) string) []fragment {
	var out []fragment
	for _, f := range m.cut(text, o, false) {
		if f.id != none {
			out = append(out, f)
			continue
		}
		out = append(out, m.cut(normalize(f.text), o, true)...)
	}
	return out
}

// cut is partition with the tokens that are matched in normalized text, or with the others.
func (m *matcher) cut(text string, o Options, normalized bool) []fragment {
	choose := m.leftmost
	if m.longest {
		choose = m.longestFirst
	}
	hits := choose(text, func(t *addedToken) bool { return t.normalized == normalized && t.allowed(o) })
	var out []fragment
	at := 0
	for _, h := range hits {
		if at < h.start {
			out = append(out, fragment{none, text[at:h.start]})
		}
		if h.start < h.end {
			out = append(out, fragment{h.token.id, h.token.text})
		}
		at = h.end
	}
	if at < len(text) {
		out = append(out, fragment{none, text[at:]})
	}
	return out
}

// prefix returns the longest token that text starts with and ok allows, of several with one text the first, or nil.
func (m *matcher) prefix(text string, ok func(*addedToken) bool) (longest *addedToken) {
	if text == "" || !m.root[text[0]] {
		return nil
	}
	node := int32(0)
	for j := range len(text) {
		next, inTrie := m.next[edge{node, text[j]}]
		if !inTrie {
			break
		}
		node = next
		for _, k := range m.leaf[node] {
			if ok(&m.tokens[k]) {
				longest = &m.tokens[k]
				break
			}
		}
	}
	return longest
}

// longestFirst chooses as llama.cpp does: token after token, the longest text first, each from the left in what is
// still text. White space that a token takes is no text any more. The result is in order.
//
// Of the tokens that match at one place it looks at the longest first, and at the next one only where that has no room.
func (m *matcher) longestFirst(text string, ok func(*addedToken) bool) (chosen []hit) {
	type place struct {
		start int
		token *addedToken
	}
	var byLength [maxAdded + 1][]place
	note := func(start, end int) {
		if t := m.prefix(text[start:end], ok); t != nil {
			byLength[len(t.text)] = append(byLength[len(t.text)], place{start, t})
		}
	}
	for i := range len(text) {
		note(i, len(text))
	}
	var taken []bool // nil as long as nothing matched
	for length := maxAdded; length > 0; length-- {
		places := byLength[length]
		if len(places) > 0 && taken == nil {
			taken = make([]bool, len(text))
		}
		slices.SortFunc(places, func(a, b place) int {
			return cmp.Or(cmp.Compare(a.token.id, b.token.id), cmp.Compare(a.start, b.start))
		})
		for _, p := range places {
			h := hit{p.start, p.start + length, p.token}
			if free := slices.Index(taken[h.start:h.end], true); free >= 0 {
				note(h.start, h.start+free)
				continue
			}
			for h.token.lstrip && h.start > 0 && !taken[h.start-1] && isSpaceASCII(text[h.start-1]) {
				h.start--
			}
			for h.token.rstrip && h.end < len(text) && !taken[h.end] && isSpaceASCII(text[h.end]) {
				h.end++
			}
			for i := h.start; i < h.end; i++ {
				taken[i] = true
			}
			chosen = append(chosen, h)
		}
		byLength[length] = nil
	}
	slices.SortFunc(chosen, func(a, b hit) int { return a.start - b.start })
	return chosen
}

func isSpaceASCII(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// leftmost chooses as HF tokenizers does: the first, of those that start there the longest, then on behind it. A token
// that must be a word of its own and is not still hides what it overlaps. White space that a token takes to its right can
// be a token all the same, unless that one takes it to its left: then the hit has nothing in it.
func (m *matcher) leftmost(text string, ok func(*addedToken) bool) (chosen []hit) {
	taken := 0 // up to where the text is used up, white space included
	for at := 0; at < len(text); {
		t := m.prefix(text[at:], ok)
		if t == nil {
			at++
			continue
		}
		h := hit{at, at + len(t.text), t}
		at = h.end
		if t.singleWord && (touchesWord(text[:h.start], true) || touchesWord(text[h.end:], false)) {
			continue
		}
		if t.lstrip {
			h.start = taken + len(strings.TrimRightFunc(text[min(taken, h.start):h.start], unicode.IsSpace))
		}
		if t.rstrip {
			h.end = len(text) - len(strings.TrimLeftFunc(text[h.end:], unicode.IsSpace))
		}
		taken = h.end
		chosen = append(chosen, h)
	}
	return chosen
}

// touchesWord reports whether s ends (or starts) with a character of a word, \w in Rust's regex.
func touchesWord(s string, end bool) bool {
	r, n := utf8.DecodeRuneInString(s)
	if end {
		r, n = utf8.DecodeLastRuneInString(s)
	}
	return n > 0 && unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control)
}
