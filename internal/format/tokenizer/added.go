package tokenizer

import (
	"cmp"
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
	next    map[edge]int32 // the trie of the texts: node and byte to node
	leaf    map[int32]int  // node to index of the token
}

type edge struct {
	node int32
	b    byte
}

func newMatcher(tokens []addedToken, longest bool) matcher {
	m := matcher{tokens: tokens, longest: longest, next: map[edge]int32{}, leaf: map[int32]int{}}
	for i, t := range tokens {
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
		m.leaf[node] = i
	}
	return m
}

// fragment is a stretch of the input: an added token, or text with id none.
type fragment struct {
	id   int32
	text string
}

// hit is a place where an added token matches.
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
	hits := m.hits(text, o, normalized)
	if len(hits) == 0 {
		if text == "" {
			return nil
		}
		return []fragment{{none, text}}
	}
	if m.longest {
		hits = chooseLongest(text, hits)
	} else {
		hits = chooseLeftmost(text, hits)
	}
	var out []fragment
	at := 0
	for _, h := range hits {
		if at < h.start {
			out = append(out, fragment{none, text[at:h.start]})
		}
		out = append(out, fragment{h.token.id, h.token.text})
		at = h.end
	}
	if at < len(text) {
		out = append(out, fragment{none, text[at:]})
	}
	return out
}

// hits are all matches of all tokens that o allows, overlapping ones too, by their start.
func (m *matcher) hits(text string, o Options, normalized bool) (hits []hit) {
	for i := range len(text) {
		if !m.root[text[i]] {
			continue
		}
		node, ok := int32(0), true
		for j := i; j < len(text); j++ {
			if node, ok = m.next[edge{node, text[j]}]; !ok {
				break
			}
			if k, ok := m.leaf[node]; ok {
				if t := &m.tokens[k]; t.normalized == normalized && t.allowed(o) {
					hits = append(hits, hit{i, j + 1, t})
				}
			}
		}
	}
	return hits
}

// chooseLongest takes hits as llama.cpp does: token after token, the longest text first, each from the left in what is
// still text. White space that a token takes is no text any more. The result is in order.
func chooseLongest(text string, hits []hit) []hit {
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(len(b.token.text), len(a.token.text)), cmp.Compare(a.token.id, b.token.id))
	})
	taken := make([]bool, len(text))
	chosen := hits[:0]
	for _, h := range hits {
		if slices.Contains(taken[h.start:h.end], true) {
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
	slices.SortFunc(chosen, func(a, b hit) int { return a.start - b.start })
	return chosen
}

func isSpaceASCII(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }

// chooseLeftmost takes hits as HF tokenizers does: the first, of those that start there the longest, then on behind it. A
// token that must be a word of its own and is not still hides what it overlaps.
func chooseLeftmost(text string, hits []hit) []hit {
	chosen := hits[:0]
	at, taken := 0, 0 // where the search goes on; up to where the text is used up, white space included
	for i := 0; i < len(hits); {
		h := hits[i]
		for i++; i < len(hits) && hits[i].start == h.start; i++ { // the longest comes last
			h = hits[i]
		}
		if h.start < at {
			continue
		}
		at = h.end
		if h.token.singleWord && (touchesWord(text[:h.start], true) || touchesWord(text[h.end:], false)) {
			continue
		}
		if h.start < taken {
			continue
		}
		if h.token.lstrip {
			h.start = max(taken, len(strings.TrimRightFunc(text[:h.start], unicode.IsSpace)))
		}
		if h.token.rstrip {
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
