package session

import "bytes"

// The marks around reasoning, as package chat has them.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// thoughts says which tokens may be written inside a thinking block that something else must follow: all that stand for
// text, but none that closes the block and goes on behind it, and none that ends the answer.
type thoughts struct {
	open int // the token that opens a block, or -1
	// free[k] are the tokens that may follow a text that ends with the first k bytes of thinkClose.
	free [len(thinkClose)][]uint64
	// breaks[n] are the tokens of n line breaks: what stands between a block and what follows belongs to neither.
	breaks [maxBreaks + 1][]int32
}

// maxBreaks is how many line breaks behind a block are no part of the answer.
const maxBreaks = 2

// newThoughts sorts a model's tokens; written are those that stand for text, others are nil.
func newThoughts(f *Form, written [][]byte) *thoughts {
	t := &thoughts{open: -1}
	if id, ok := f.Tokenizer.ID(thinkOpen); ok && id < f.Rows {
		t.open = id
	}
	closing := -1
	if id, ok := f.Tokenizer.ID(thinkClose); ok {
		closing = id
	}
	for k := range t.free {
		t.free[k] = make([]uint64, (len(written)+63)/64)
	}
	for id, text := range written {
		if id == closing {
			text = []byte(thinkClose)
		}
		if len(text) == 0 {
			continue
		}
		for k := range t.free {
			if _, rest, closed := follow(k, text); !closed || lineBreaks(rest) >= 0 {
				t.free[k][id>>6] |= 1 << (id & 63)
			}
		}
		if n := lineBreaks(text); n > 0 {
			t.breaks[n] = append(t.breaks[n], int32(id))
		}
	}
	return t
}

// follow reads text behind one that ends with the first k bytes of thinkClose. It returns how many of them the whole then
// ends with, or, where text completes the mark, what of it is behind.
func follow(k int, text []byte) (_ int, rest []byte, closed bool) {
	for i, b := range text {
		switch {
		case b == thinkClose[k]:
			k++
		case b == thinkClose[0]:
			k = 1 // no other byte of the mark is its first
		default:
			k = 0
		}
		if k == len(thinkClose) {
			return 0, text[i+1:], true
		}
	}
	return k, nil, false
}

// lineBreaks is how many line breaks text consists of, or -1 where it is something else or too many.
func lineBreaks(text []byte) int {
	if len(text) > maxBreaks || len(bytes.TrimLeft(text, "\n")) > 0 {
		return -1
	}
	return len(text)
}
