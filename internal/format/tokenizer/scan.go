package tokenizer

// A stage is one regular expression of a pre-tokenizer, written by hand: these expressions need look-ahead, which
// Go's regexp lacks, and a scanner that knows its alternatives is many times faster. It looks at the start of s, which is
// never empty. With ok it matched the first n bytes; without, no match starts in the first n bytes. n is at least 1.
//
// A stage sees one piece of the stage before it, so the end of s is the end of text for it, as for \s+(?!\S).
type stage func(s string) (n int, ok bool)

// split cuts text into words: each stage isolates its matches in the pieces of the stage before, and what lies between
// two matches is a piece too. It calls emit with every word in order; the words joined are text.
func split(text string, stages []stage, emit func(word string)) {
	if len(stages) == 0 {
		emit(text)
		return
	}
	first, rest := stages[0], stages[1:]
	gap := 0 // start of what no match has claimed yet
	for i := 0; i < len(text); {
		n, ok := first(text[i:])
		if ok {
			if gap < i {
				split(text[gap:i], rest, emit)
			}
			split(text[i:i+n], rest, emit)
			gap = i + n
		}
		i += n
	}
	if gap < len(text) {
		split(text[gap:], rest, emit)
	}
}

// whitespace matches \s+(?!\S)|\s+ on s, whose first n bytes are the longest run of white space: all of it before the
// end, else all but its last code point, and that one where it is alone.
func whitespace(s string, n int) int {
	if n == len(s) {
		return n
	}
	last := n - 1
	for last > 0 && s[last]&0xC0 == 0x80 {
		last--
	}
	if last > 0 {
		return last
	}
	return n
}

// contraction is the length of 's 't 'm 'd 're 've 'll at the start of s, or 0. With fold the letters may be of either
// case, and with long the long s (U+017F) counts as s, as it does where Oniguruma folds case.
func contraction(s string, fold, long bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	a, b := s[1], byte(0)
	if len(s) > 2 {
		b = s[2]
	}
	if long && a == 0xC5 && b == 0xBF {
		return 3
	}
	if fold {
		a, b = lowerASCII(a), lowerASCII(b)
	}
	switch {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 2
	case a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l':
		return 3
	}
	return 0
}

func lowerASCII(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// gpt2 is the expression of GPT-2:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2(s string) (int, bool) {
	if n := contraction(s, false, false); n > 0 {
		return n, true
	}
	i := 0
	_, c, n := rune0(s)
	if s[0] == ' ' && len(s) > 1 {
		i = 1
		_, c, n = rune0(s[1:])
	}
	switch {
	case c&letter != 0:
		return i + n + run(s[i+n:], letter, 0), true
	case c&number != 0:
		return i + n + run(s[i+n:], number, 0), true
	case c&space == 0:
		return i + n + runNone(s[i+n:], space|letter|number), true
	}
	return whitespace(s, run(s, space, 0)), true
}

// llama3 is the family that Llama 3 (digits 3) and Qwen 2 (digits 1) made common:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
type llama3 struct {
	digits int   // at most so many in a word
	word   class // letter, or letter|mark where the expression has [\p{L}\p{M}]
	long   bool  // 'ſ is a contraction
	whole  bool  // 's and its like are no words of their own
	bare   bool  // punctuation takes no line ends: [^\s\p{L}\p{N}\r\n]+

	spaces func(s string) int // for white space, where it is not that of Llama 3
}

func (f llama3) match(s string) (int, bool) {
	if n := contraction(s, true, f.long); n > 0 && !f.whole {
		return n, true
	}
	r, c, n := rune0(s)
	if c&f.word != 0 { // a mark at the start is part of the word whether as prefix or not
		return n + run(s[n:], f.word, 0), true
	}
	if c&number != 0 {
		for k := 1; k < f.digits; k++ {
			_, c, m := rune0(s[n:])
			if c&number == 0 {
				break
			}
			n += m
		}
		return n, true
	}
	if r != '\r' && r != '\n' {
		if m := run(s[n:], f.word, 0); m > 0 {
			return n + m, true
		}
	}
	i := 0
	if r == ' ' && n < len(s) {
		i = 1
		_, c, n = rune0(s[1:])
	}
	if c&(space|number|f.word) == 0 {
		i += n
		i += runNone(s[i:], space|number|f.word)
		if !f.bare {
			i += newlines(s[i:])
		}
		return i, true
	}
	if f.spaces != nil {
		return f.spaces(s), true
	}
	return spaces(s), true
}

// spaces matches \s*[\r\n]+|\s+(?!\S)|\s+ where s starts with white space: up to the last line end of the run if it
// has one.
func spaces(s string) int {
	n := run(s, space, 0)
	for i := n - 1; i >= 0; i-- {
		if s[i] == '\n' || s[i] == '\r' {
			return i + 1
		}
	}
	return whitespace(s, n)
}

// digits matches \p{N}{1,max}; without a bound where max is 0.
func digits(max int) stage {
	return func(s string) (int, bool) {
		if n := runNone(s, number); n > 0 {
			return n, false
		}
		i := 0
		for k := 0; max == 0 || k < max; k++ {
			_, c, n := rune0(s[i:])
			if c&number == 0 {
				break
			}
			i += n
		}
		return i, true
	}
}
