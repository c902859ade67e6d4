package tokenizer

import "strings"

// kimiK2 is what llama.cpp v0.5.0 (unicode.cpp) makes of the expression of Kimi K2. It knows no cases and no marks:
//
//	H+|[^\r\n\p{L}\p{N}]?W+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// with H the Han characters and W the other letters.
func kimiK2(s string) (int, bool) {
	if n := prefixOf(s, func(r rune, _ class) bool { return isHan(r) }); n > 0 {
		return n, true
	}
	r, c, n := rune0(s)
	prefix := n
	if r == '\r' || r == '\n' || c&(letter|number) != 0 {
		prefix = 0
	}
	if m := prefixOf(s[prefix:], func(r rune, c class) bool { return c&letter != 0 && !isHan(r) }); m > 0 {
		m += prefix
		return m + contraction(s[m:], true, false), true
	}
	if c&number != 0 {
		return digits(3)(s)
	}
	i := 0
	if r == ' ' && n < len(s) {
		i = 1
		_, c, n = rune0(s[1:])
	}
	if c&(space|letter|number) == 0 {
		i += n
		i += runNone(s[i:], space|letter|number)
		return i + newlines(s[i:]), true
	}
	return spaces(s), true
}

// prefixOf is the length of the longest prefix of s whose code points are in.
func prefixOf(s string, in func(rune, class) bool) int {
	i := 0
	for i < len(s) {
		r, c, n := rune0(s[i:])
		if !in(r, c) {
			break
		}
		i += n
	}
	return i
}

// isHan reports whether r is a Han character to llama.cpp: the blocks of ideographs, unassigned code points too.
func isHan(r rune) bool {
	return 0x4E00 <= r && r <= 0x9FFF || 0x3400 <= r && r <= 0x4DBF || 0xF900 <= r && r <= 0xFAFF || 0x20000 <= r && r <= 0x2A6DF ||
		0x2A700 <= r && r <= 0x2EBEF || 0x2F800 <= r && r <= 0x2FA1F
}

// superBPE are the stages of SuperBPE, whose merges go over spaces: \p{N}+, then (?=(\d{3})+(?!\d)), which matches nothing
// but a place: where threes of digits begin, counted from the last. That is two stages here: the first parts the threes
// that more threes follow from the rest, the second each from the next.
var superBPE = []stage{digits(0), beforeThrees, threes}

// beforeThrees matches all threes but the last, or what goes from the start, which may be that, up to the next threes.
func beforeThrees(s string) (int, bool) {
	for i := 0; ; {
		n := asciiDigits(s[i:])
		switch {
		case i == 0 && n > 3 && n%3 == 0:
			return n - 3, true
		case n >= 3 && (i > 0 || n > 3):
			return i + n%3, true
		}
		if i += n; i == len(s) {
			return i, true
		}
		_, _, n = rune0(s[i:])
		i += n
	}
}

// threes matches [0-9]{3} of what has nothing else, or all.
func threes(s string) (int, bool) {
	if n := len(s); n > 3 && asciiDigits(s[:3]) == 3 && asciiDigits(s[n-3:]) == 3 {
		return 3, true
	}
	return len(s), true
}

// asciiDigits is the length of the longest prefix of s that is [0-9]*.
func asciiDigits(s string) int {
	i := 0
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// bloom matches the one expression of Bloom, Poro and Viking,  ?[^(\s|.,!?…。，、।۔،)]+.
func bloom(s string) (int, bool) {
	in := func(r rune, c class) bool {
		return c&space == 0 && !strings.ContainsRune("(|.,!?…。，、।۔،)", r)
	}
	if s[0] == ' ' {
		if n := prefixOf(s[1:], in); n > 0 {
			return 1 + n, true
		}
	}
	if n := prefixOf(s, in); n > 0 {
		return n, true
	}
	_, _, n := rune0(s)
	return n, false
}

// lines matches [^\n]+|[\n]+.
func lines(s string) (int, bool) {
	n := len(s) - len(strings.TrimLeft(s, "\n"))
	if n == 0 {
		if n = strings.IndexByte(s, '\n'); n < 0 {
			n = len(s)
		}
	}
	return n, true
}

// jaisSpaces matches \s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|…|\s{4}(?!\S)|\s{1,2}(?!\S)|\s where s starts with white space.
func jaisSpaces(s string) int {
	run := run(s, space, 0)
	for i := run - 1; i >= 0; i-- {
		if s[i] == '\n' || s[i] == '\r' {
			return i + 1
		}
	}
	var end [513]int // where so many code points end
	count := 0
	for count < 512 && end[count] < run {
		_, _, n := rune0(s[end[count]:])
		end[count+1] = end[count] + n
		count++
	}
	for k := 512; k > 1; k /= 2 {
		if k <= count && (end[k] < run || run == len(s)) {
			return end[k]
		}
	}
	return end[1]
}

// exaoneMoE is the expression of EXAONE's mixtures, in which a word goes on over single spaces:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|
//	\s*[\r\n]|\s+(?!\S)|\s+
func exaoneMoE(s string) (int, bool) {
	if n := contraction(s, true, false); n > 0 {
		return n, true
	}
	r, c, n := rune0(s)
	prefix := n
	if r == '\r' || r == '\n' || c&(letter|number) != 0 {
		prefix = 0
	}
	if m := spacedWords(s[prefix:]); m > 0 {
		return prefix + m, true
	}
	if c&number != 0 {
		return n, true
	}
	i := 0
	if r == ' ' && n < len(s) {
		i = 1
		_, c, n = rune0(s[1:])
	}
	if c&(space|letter|number) == 0 {
		i += n
		i += runNone(s[i:], space|letter|number)
		if i < len(s) && (s[i] == '\n' || s[i] == '\r') { // a / is among those before it
			i++
		}
		return i, true
	}
	return spaces(s), true
}

// spacedWords is the length of the longest prefix of s that is (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)*.
func spacedWords(s string) int {
	end := 0
	for at := 0; ; {
		_, c, n := rune0(s[at:])
		if c&letter == 0 {
			return end
		}
		at += n
		at += run(s[at:], mark, 0)
		if end = at; at < len(s) && s[at] == ' ' {
			at++
		}
	}
}
