package tokenizer

// o200k is the family of GPT-4o (digits 3, suffix) and Tekken (digits 1), which splits words where the case rises:
//
//	[^\r\n\p{L}\p{N}]?A*B+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?A+B*(?i:…)?|\p{N}{1,3}|
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
//
// with A = [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and B = [\p{Ll}\p{Lm}\p{Lo}\p{M}].
type o200k struct {
	digits int
	suffix bool // the contraction belongs to the word before it
	long   bool // 'ſ is a contraction
}

func (f o200k) match(s string) (int, bool) {
	r, c, n := rune0(s)
	prefix := 0
	if r != '\r' && r != '\n' && c&(letter|number) == 0 {
		prefix = n
	}
	for _, alternative := range []func(string) int{capitalized, allCaps} {
		for _, p := range []int{prefix, 0} { // the optional prefix is tried first, then given up
			if m := alternative(s[p:]); m > 0 {
				m += p
				if f.suffix {
					m += contraction(s[m:], true, f.long)
				}
				return m, true
			}
			if prefix == 0 {
				break
			}
		}
	}
	if c&number != 0 {
		n, _ = digits(f.digits)(s)
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
		for i < len(s) && (s[i] == '\n' || s[i] == '\r' || s[i] == '/') {
			i++
		}
		return i, true
	}
	return spaces(s), true
}

// capitalized matches A*B+: a greedy A* gives back code points until one of them is a B.
func capitalized(s string) int {
	a := run(s, letter|mark, lower)
	if b := run(s[a:], letter|mark, upper); b > 0 {
		return a + b
	}
	end := 0
	for i := 0; i < a; {
		_, c, n := rune0(s[i:])
		i += n
		if c&upper == 0 {
			end = i
		}
	}
	return end
}

// allCaps matches A+B*, where A*B+ matches nothing: no B follows then.
func allCaps(s string) int { return run(s, letter|mark, lower) }

// falconMarks matches [\p{P}$+<=>^~|]+, with tick [\p{P}$+<=>^~|`]+.
func falconMarks(tick bool) stage {
	return func(s string) (int, bool) {
		return runOf(s, func(r rune, c class) bool {
			return c&punct != 0 || r < 0x80 && c&symbol != 0 && (tick || r != '`')
		})
	}
}

// threeDigits matches [0-9][0-9][0-9].
func threeDigits(s string) (int, bool) {
	i := 0
	for i < len(s) && i < 3 && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return max(i, 1), i == 3
}
