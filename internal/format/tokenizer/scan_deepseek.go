package tokenizer

import "unicode"

// deepseek3 is the third expression of DeepSeek-V3, R1 and V4, after numbers and CJK:
//
//	[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|
//	\s*[\r\n]+|\s+(?!\S)|\s+
//
// Controls and unassigned code points that no letter follows match nothing and stay between the words.
func deepseek3(s string) (int, bool) {
	r, c, n := rune0(s)
	if r < 0x80 && c&(punct|symbol) != 0 {
		if m := asciiLetters(s[1:]); m > 0 {
			return 1 + m, true
		}
	}
	if c&(letter|mark) != 0 {
		return n + run(s[n:], letter|mark, 0), true
	}
	if r != '\r' && r != '\n' && c&(punct|symbol) == 0 {
		if m := run(s[n:], letter|mark, 0); m > 0 {
			return n + m, true
		}
	}
	i := 0
	if r == ' ' {
		i = 1
	}
	if m := run(s[i:], punct|symbol, 0); m > 0 {
		i += m
		return i + newlines(s[i:]), true
	}
	if c&space != 0 {
		return spaces(s), true
	}
	return n, false
}

func asciiLetters(s string) int {
	i := 0
	for i < len(s) && 'a' <= lowerASCII(s[i]) && lowerASCII(s[i]) <= 'z' {
		i++
	}
	return i
}

// kanaHan matches [一-龥぀-ゟ゠-ヿ]+, the second expression of DeepSeek-V3.
func kanaHan(s string) (int, bool) {
	return runOf(s, func(r rune, _ class) bool { return 0x4E00 <= r && r <= 0x9FA5 || 0x3040 <= r && r <= 0x30FF })
}

// wideCJK matches [一-龥ࠀ-一가-퟿]+, which the first DeepSeek models use for everything from Samaritan to Hangul. White
// space is left out, as llama.cpp does before it matches an expression without categories.
func wideCJK(s string) (int, bool) {
	return runOf(s, func(r rune, c class) bool {
		return (0x0800 <= r && r <= 0x9FA5 || 0xAC00 <= r && r <= 0xD7FF) && c&space == 0
	})
}

// runOf matches in+: the longest prefix whose code points are in, or what lies before the first of them.
func runOf(s string, in func(rune, class) bool) (int, bool) {
	r, c, i := rune0(s)
	ok := in(r, c)
	for i < len(s) {
		r, c, n := rune0(s[i:])
		if in(r, c) != ok {
			break
		}
		i += n
	}
	return i, ok
}

// spaced matches \s?in+. Where white space is itself in, it may be the first of them.
func spaced(in func(rune, class) bool) stage {
	return func(s string) (int, bool) {
		r, c, n := rune0(s)
		if c&space != 0 && n < len(s) {
			if r, c, _ := rune0(s[n:]); in(r, c) {
				m, _ := runOf(s[n:], in)
				return n + m, true
			}
		}
		if in(r, c) {
			return runOf(s, in)
		}
		return n, false
	}
}

// trailing matches \s+$.
func trailing(s string) (int, bool) {
	if n := runNone(s, space); n > 0 {
		return n, false
	}
	n := run(s, space, 0)
	return n, n == len(s)
}

// lineEnd matches [\r\n], one at a time.
func lineEnd(s string) (int, bool) {
	n := 0
	for n < len(s) && s[n] != '\r' && s[n] != '\n' {
		n++
	}
	if n > 0 {
		return n, false
	}
	return 1, true
}

// deepseekLLM are the stages of DeepSeek-LLM and V2: line ends, cased letters, punctuation, white space at the end, CJK,
// numbers. The class of punctuation, [!-/:-~！-／：-～‘-‟　-。], has the ASCII and fullwidth letters too, so that ASCII never
// joins other letters. It also has U+3000, but llama.cpp takes white space out of it.
var deepseekLLM = []stage{
	lineEnd,
	spaced(func(r rune, c class) bool {
		return r < 0x80 && c&letter != 0 || r >= 0x80 && unicode.Is(deepseekLetters, r)
	}),
	spaced(func(r rune, _ class) bool {
		return '!' <= r && r <= '/' || ':' <= r && r <= '~' || 0xFF01 <= r && r <= 0xFF0F || 0xFF1A <= r && r <= 0xFF5E ||
			0x2018 <= r && r <= 0x201F || r == 0x3001 || r == 0x3002
	}),
	trailing,
	wideCJK,
	digits(0),
}

// deepseekCoder are the stages of DeepSeek-Coder: line ends, letters, punctuation, CJK, single digits.
var deepseekCoder = []stage{
	lineEnd,
	spaced(func(_ rune, c class) bool { return c&letter != 0 }),
	spaced(func(_ rune, c class) bool { return c&punct != 0 }),
	wideCJK,
	digits(1),
}

// deepseekLetters are the cased letters that the expression of DeepSeek-LLM lists one range after another.
var deepseekLetters = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0041, 0x005A, 1}, {0x0061, 0x007A, 1}, {0x00B5, 0x00B5, 1}, {0x00C0, 0x00D6, 1}, {0x00D8, 0x00F6, 1},
		{0x00F8, 0x01BA, 1}, {0x01BC, 0x01BF, 1}, {0x01C4, 0x0293, 1}, {0x0295, 0x02AF, 1}, {0x0370, 0x0373, 1},
		{0x0376, 0x0377, 1}, {0x037B, 0x037D, 1}, {0x037F, 0x037F, 1}, {0x0386, 0x0386, 1}, {0x0388, 0x038A, 1},
		{0x038C, 0x038C, 1}, {0x038E, 0x03A1, 1}, {0x03A3, 0x03F5, 1}, {0x03F7, 0x0481, 1}, {0x048A, 0x052F, 1},
		{0x0531, 0x0556, 1}, {0x10A0, 0x10C5, 1}, {0x13A0, 0x13F5, 1}, {0x13F8, 0x13FD, 1}, {0x1C90, 0x1CBA, 1},
		{0x1CBD, 0x1CBF, 1}, {0x1D00, 0x1D2B, 1}, {0x1D6B, 0x1D77, 1}, {0x1D79, 0x1D9A, 1}, {0x1E00, 0x1F15, 1},
		{0x1F18, 0x1F1D, 1}, {0x1F20, 0x1F45, 1}, {0x1F48, 0x1F4D, 1}, {0x1F50, 0x1F57, 1}, {0x1F59, 0x1F5F, 2},
		{0x1F60, 0x1F7D, 1}, {0x1F80, 0x1FB4, 1}, {0x1FB6, 0x1FBC, 1}, {0x1FBE, 0x1FBE, 1}, {0x1FC2, 0x1FC4, 1},
		{0x1FC6, 0x1FCC, 1}, {0x1FD0, 0x1FD3, 1}, {0x1FD6, 0x1FDB, 1}, {0x1FE0, 0x1FEC, 1}, {0x1FF2, 0x1FF4, 1},
		{0x1FF6, 0x1FFC, 1}, {0x2102, 0x2102, 1}, {0x2107, 0x2107, 1}, {0x210A, 0x2113, 1}, {0x2115, 0x2115, 1},
		{0x2119, 0x211D, 1}, {0x2124, 0x2128, 2}, {0x212A, 0x212D, 1}, {0x212F, 0x2134, 1}, {0x2139, 0x2139, 1},
		{0x213C, 0x213F, 1}, {0x2145, 0x2149, 1}, {0x214E, 0x214E, 1}, {0x2183, 0x2184, 1}, {0x2C00, 0x2C7B, 1},
		{0x2C7E, 0x2CE4, 1}, {0x2CEB, 0x2CEE, 1}, {0x2CF2, 0x2CF3, 1}, {0xA640, 0xA66D, 1}, {0xA680, 0xA69B, 1},
		{0xA722, 0xA76F, 1}, {0xA771, 0xA787, 1}, {0xA78B, 0xA78E, 1}, {0xAB70, 0xABBF, 1}, {0xFB00, 0xFB06, 1},
		{0xFB13, 0xFB17, 1}, {0xFF21, 0xFF3A, 1}, {0xFF41, 0xFF5A, 1},
	},
	R32: []unicode.Range32{
		{0x10400, 0x1044F, 1}, {0x104B0, 0x104D3, 1}, {0x104D8, 0x104FB, 1}, {0x10C80, 0x10CB2, 1},
		{0x10CC0, 0x10CF2, 1}, {0x118A0, 0x118DF, 1}, {0x1E900, 0x1E943, 1},
	},
	LatinOffset: 6,
}
