package tokenizer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// kind is a token's type, by the number it has in tokenizer.ggml.token_type.
type kind uint8

const (
	normal      kind = 1
	unknown     kind = 2
	control     kind = 3
	userDefined kind = 4 // added, and text
	unused      kind = 5
	byteToken   kind = 6 // <0x0A>: one byte, in vocabularies that are not byte-level
)

// vocabulary is the table of tokens.
type vocabulary struct {
	text   []string // as the file spells it
	kind   []kind
	byText map[string]int32
	bytes  []byte // what the tokens stand for in text, one after another
	end    []int  // token i is bytes[end[i-1]:end[i]]
}

// spelling is how a token's text says its bytes.
type spelling int

const (
	byteLevel spelling = iota // GPT-2's alphabet: one printable code point for each byte
	metaspace                 // UTF-8 with ▁ for a space
)

const escapedSpace = "▁" // U+2581

// newVocabulary indexes the tokens. An empty text is a hole: an id without a token.
func newVocabulary(text []string, kinds []kind, how spelling) (vocabulary, error) {
	v := vocabulary{text: text, kind: kinds, byText: make(map[string]int32, len(text)), end: make([]int, len(text))}
	if len(text) > math.MaxInt32/2 {
		return v, fmt.Errorf("%d tokens, at most %d", len(text), math.MaxInt32/2)
	}
	for id, s := range text {
		if s != "" {
			if other, twice := v.byText[s]; twice {
				return v, fmt.Errorf("token %q has two ids, %d and %d", s, other, id)
			}
			v.byText[s] = int32(id)
		}
		var err error
		if v.bytes, err = appendSpelled(v.bytes, s, kinds[id], how); err != nil {
			return v, fmt.Errorf("token %d: %w", id, err)
		}
		v.end[id] = len(v.bytes)
	}
	return v, nil
}

// appendSpelled appends what a token's text stands for.
func appendSpelled(dst []byte, s string, k kind, how spelling) ([]byte, error) {
	switch {
	case k == control || k == unknown || k == unused:
		return dst, nil
	case k == userDefined:
		return append(dst, s...), nil
	case k == byteToken:
		b, ok := parseByteToken(s)
		if !ok {
			return dst, fmt.Errorf("byte token %q, want <0x00> to <0xFF>", s)
		}
		return append(dst, b), nil
	case how == metaspace:
		return append(dst, strings.ReplaceAll(s, escapedSpace, " ")...), nil
	}
	if b, ok := appendAlphabet(dst, s); ok {
		return b, nil
	}
	return append(dst, s...), nil // not in the alphabet: no merge leads here, it can only be what it says
}

// Bytes is what token id stands for in text: nil for control tokens, the unknown token, unused ones and ids that are not in
// the vocabulary. The slice is shared and may not be changed.
func (v *vocabulary) Bytes(id int) []byte {
	if id < 0 || id >= len(v.end) {
		return nil
	}
	start := 0
	if id > 0 {
		start = v.end[id-1]
	}
	if start == v.end[id] {
		return nil
	}
	return v.bytes[start:v.end[id]:v.end[id]]
}

// parseByteToken reads <0x0A>: exactly two hexadecimal digits.
func parseByteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(s[3:5], 16, 8)
	return byte(b), err == nil && s[3] != '+' && s[3] != '-'
}

// alphabet is GPT-2's: printable Latin-1 code points stand for their own byte, and the 68 other bytes, in order, for
// U+0100 and on. alphabetByte is the way back, 256 for code points that are not in it.
var alphabet, alphabetByte = func() (to [256]rune, from [324]uint16) {
	for i := range from {
		from[i] = 256
	}
	next := rune(256)
	for b := range rune(256) {
		to[b] = b
		if b < 0x21 || 0x7E < b && b < 0xA1 || b == 0xAD {
			to[b] = next
			next++
		}
		from[to[b]] = uint16(b)
	}
	return to, from
}()

// appendAlphabet appends the bytes that s spells in the alphabet; not ok where a code point is not in it.
func appendAlphabet(dst []byte, s string) (_ []byte, ok bool) {
	for _, r := range s {
		if int(r) >= len(alphabetByte) || alphabetByte[r] > 255 {
			return dst, false
		}
		dst = append(dst, byte(alphabetByte[r]))
	}
	return dst, true
}
