package tokenizer

import (
	"math"
	"strings"
	"unicode/utf8"
)

// spm is SentencePiece's BPE: code points are joined to tokens, the token of the highest score first, and what remains
// without a token is spelled in byte tokens. Source: llama.cpp, whose order of equal scores (leftmost) decides.
type spm struct {
	ids    map[string]int32 // tokens that text may become: no control, unknown or byte tokens
	scores []float32
	bytes  [256]int32 // the byte tokens; none
	unk    int32      // for a byte without a token; none: the byte is lost
	long   int        // bytes of the longest token
	split  bool       // no token goes on after a space, so that words can be merged one by one
}

func (m *spm) encode(dst []int, text string, s *scratch) []int {
	text = strings.ReplaceAll(text, " ", escapedSpace)
	if !m.split {
		return m.word(dst, text, s)
	}
	for text != "" {
		n := wordEnd(text)
		word := text[:n]
		text = text[n:]
		slot, hit := s.slot(word)
		if hit {
			dst = slot.append(dst)
			continue
		}
		before := len(dst)
		dst = m.word(dst, word, s)
		slot.store(word, dst[before:])
	}
	return dst
}

// wordEnd is where the word at the start of text ends: before the first ▁ that follows something else.
func wordEnd(text string) int {
	i := 0
	for strings.HasPrefix(text[i:], escapedSpace) {
		i += len(escapedSpace)
	}
	if j := strings.Index(text[i:], escapedSpace); j >= 0 {
		return i + j
	}
	return len(text)
}

// joinsWords reports whether a token has ▁ after something else, so that a word's merges can depend on the next word.
func joinsWords(token string) bool {
	return strings.Contains(strings.TrimLeft(token, escapedSpace), escapedSpace)
}

func (m *spm) word(dst []int, text string, s *scratch) []int {
	s.parts = s.parts[:0]
	for i := 0; i < len(text); {
		_, n := utf8.DecodeRuneInString(text[i:])
		at := int32(len(s.parts))
		s.parts = append(s.parts, part{at - 1, at + 1, int32(i), int32(n), none})
		i += n
	}
	s.parts[len(s.parts)-1].next = -1
	s.queue = mergeAll(s.parts, s.queue, func(left, right *part) (uint32, int32, bool) {
		n := left.n + right.n
		if int(n) > m.long {
			return 0, 0, false
		}
		id, ok := m.ids[text[left.start:left.start+n]]
		if !ok {
			return 0, 0, false
		}
		return descending(m.scores[id]), id, true
	})
	for i := int32(0); i >= 0; i = s.parts[i].next {
		p := s.parts[i]
		dst = m.emit(dst, text[p.start:p.start+p.n])
	}
	return dst
}

// emit appends the token of one part, or the tokens of its bytes.
func (m *spm) emit(dst []int, text string) []int {
	if id, ok := m.ids[text]; ok {
		return append(dst, int(id))
	}
	for i := range len(text) {
		id := m.bytes[text[i]]
		if id == none {
			id = m.unk
		}
		if id != none {
			dst = append(dst, int(id))
		}
	}
	return dst
}

// descending maps scores to numbers in the opposite order: the highest score to the least number, NaN last.
func descending(score float32) uint32 {
	if score != score {
		return math.MaxUint32
	}
	u := math.Float32bits(score + 0) // -0 and 0 are one score
	if u>>31 == 0 {
		return 1<<31 - 1 - u
	}
	return u
}
