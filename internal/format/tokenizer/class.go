package tokenizer

import (
	"sync"
	"unicode"
	"unicode/utf8"
)

// class is what a pre-tokenizer's regular expression can ask of one code point: the first letter of its general
// category, whether it is white space, and the two cases. Unassigned code points, controls that are not white
// space, formats and private use have no bit at all.
type class uint8

const (
	letter class = 1 << iota // \p{L}
	number                   // \p{N}
	punct                    // \p{P}
	symbol                   // \p{S}
	mark                     // \p{M}
	space                    // \s: the property White_Space, which Oniguruma, Rust and llama.cpp agree on
	upper                    // \p{Lu} or \p{Lt}
	lower                    // \p{Ll}
)

// classes is the class of every code point: 1.1 MB, made at the first use in about a millisecond. One load instead
// of a search in range tables is what makes the scanners fast on text that is not ASCII.
//
// The tables are those of Unicode 15.0, Go 1.26's, and the few characters that 15.1 added: the version of llama.cpp v0.5.0.
// HF tokenizers 0.23 has 16.0, which for the scripts that 16.0 added gives other words.
var classes = sync.OnceValue(func() *[unicode.MaxRune + 1]class {
	t := new([unicode.MaxRune + 1]class)
	for _, row := range []struct {
		bit    class
		tables []*unicode.RangeTable
	}{
		{letter, []*unicode.RangeTable{unicode.L}},
		{number, []*unicode.RangeTable{unicode.N}},
		{punct, []*unicode.RangeTable{unicode.P}},
		{symbol, []*unicode.RangeTable{unicode.S}},
		{mark, []*unicode.RangeTable{unicode.M}},
		{space, []*unicode.RangeTable{unicode.White_Space}},
		{upper, []*unicode.RangeTable{unicode.Lu, unicode.Lt}},
		{lower, []*unicode.RangeTable{unicode.Ll}},
	} {
		for _, table := range row.tables {
			for _, r := range table.R16 {
				for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
					t[c] |= row.bit
				}
			}
			for _, r := range table.R32 {
				for c := int(r.Lo); c <= int(r.Hi); c += int(r.Stride) {
					t[c] |= row.bit
				}
			}
		}
	}
	for c := 0x2EBF0; c <= 0x2EE5D; c++ { // CJK Extension I
		t[c] |= letter
	}
	for _, c := range []rune{0x2FFC, 0x2FFD, 0x2FFE, 0x2FFF, 0x31EF} { // ideographic description characters
		t[c] |= symbol
	}
	return t
})

// rune0 is the code point at the start of s, its class and its length in bytes; the length is 0 at the end of s. A
// byte that is not UTF-8 counts as U+FFFD of length 1.
func rune0(s string) (r rune, c class, n int) {
	if len(s) == 0 {
		return 0, 0, 0
	}
	if b := s[0]; b < utf8.RuneSelf {
		return rune(b), ascii[b], 1
	}
	r, n = utf8.DecodeRuneInString(s)
	return r, classes()[r], n
}

// ascii is the start of classes, reached without the check that they are there.
var ascii = func() (t [utf8.RuneSelf]class) {
	copy(t[:], classes()[:])
	return t
}()

// run is the length in bytes of the longest prefix of s whose code points have a bit of want and none of not.
func run(s string, want, not class) int {
	i := 0
	for i < len(s) {
		_, c, n := rune0(s[i:])
		if c&want == 0 || c&not != 0 {
			break
		}
		i += n
	}
	return i
}

// runNone is the length in bytes of the longest prefix of s whose code points have no bit of not.
func runNone(s string, not class) int {
	i := 0
	for i < len(s) {
		_, c, n := rune0(s[i:])
		if c&not != 0 {
			break
		}
		i += n
	}
	return i
}

// newlines is the length of the longest prefix of s that is [\r\n]*.
func newlines(s string) int {
	i := 0
	for i < len(s) && (s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}
