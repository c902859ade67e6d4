package grammar

import (
	"sync"
	"unicode/utf8"
)

// charTable is the byte automaton of one character inside a JSON string: UTF-8 without overlong forms and surrogates,
// no raw control characters, the escapes of RFC 8259 with surrogates only in pairs. State 0 stands before a
// character and, reached again, after it; charDead refuses.
type charTable [][256]byte

const charDead = 255

// charStates is built once; the nodes of a program and the vocabulary's content masks both derive from it.
var charStates = sync.OnceValue(buildCharTable)

func buildCharTable() charTable {
	var t charTable
	add := func() byte {
		var row [256]byte
		for b := range row {
			row[b] = charDead
		}
		t = append(t, row)
		return byte(len(t) - 1)
	}
	set := func(state byte, lo, hi int, to byte) {
		for b := lo; b <= hi; b++ {
			t[state][b] = to
		}
	}
	chain := func(to byte, bounds ...int) byte { // consumes one byte of each lo, hi pair, then goes to
		for i := len(bounds) - 2; i >= 0; i -= 2 {
			s := add()
			set(s, bounds[i], bounds[i+1], to)
			to = s
		}
		return to
	}
	start := add()
	set(start, 0x20, 0x7F, start)
	t[start]['"'] = charDead

	// UTF-8, Unicode 16 table 3-7.
	one := chain(start, 0x80, 0xBF)
	two := chain(one, 0x80, 0xBF)
	set(start, 0xC2, 0xDF, one)
	set(start, 0xE1, 0xEF, two)
	t[start][0xE0] = chain(one, 0xA0, 0xBF)
	t[start][0xED] = chain(one, 0x80, 0x9F)
	set(start, 0xF1, 0xF3, chain(two, 0x80, 0xBF))
	t[start][0xF0] = chain(two, 0x90, 0xBF)
	t[start][0xF4] = chain(two, 0x80, 0x8F)

	hex := func(state, to byte, digits string) {
		for _, b := range []byte(digits) {
			t[state][b] = to
		}
	}
	const any, notD, upToB = "0123456789abcdefABCDEF", "0123456789abcefABCEF", "89abAB"
	escape, u := add(), add()
	t[start]['\\'] = escape
	for _, b := range []byte(`"\/bfnrt`) {
		t[escape][b] = start
	}
	t[escape]['u'] = u
	h4, h3, h2 := add(), add(), add() // the last, the last two, the last three digits of \uXXXX
	hex(h4, start, any)
	hex(h3, h4, any)
	hex(h2, h3, any)
	hex(u, h2, notD)
	// \uD000 to \uD7FF are characters; \uD800 to \uDBFF need \uDC00 to \uDFFF behind them.
	low3, low2, low1 := add(), h3, add()
	hex(low3, low2, "cdefCDEF")
	hex(low1, low3, "dD")
	back := chain(low1, '\\', '\\', 'u', 'u')
	high4, high3 := add(), add()
	hex(high4, back, any)
	hex(high3, high4, any)
	d := add()
	hex(u, d, "dD")
	hex(d, h3, "01234567")
	hex(d, high3, upToB)
	return t
}

// charRule is the rule for one character of a JSON string, built on first use.
func (p *program) charRule() int32 {
	if p.chars >= 0 {
		return p.chars
	}
	p.chars = p.reserveRule()
	t := charStates()
	first := int32(len(p.nodes))
	for range t {
		p.add(node{})
	}
	if p.err != nil {
		return p.chars
	}
	for s := range t {
		n := &p.nodes[first+int32(s)]
		for b := 0; b < 256; {
			to, lo := t[s][b], b
			for b < 256 && t[s][b] == to {
				b++
			}
			switch to {
			case charDead:
			case 0:
				n.edges = append(n.edges, edge{byte(lo), byte(b - 1), end})
			default:
				n.edges = append(n.edges, edge{byte(lo), byte(b - 1), first + int32(to)})
			}
		}
	}
	p.rules[p.chars] = first
	return p.chars
}

// utf8Seq is a run of code points of one length whose bytes vary independently.
type utf8Seq struct {
	n      int
	lo, hi [4]byte
}

// utf8Seqs splits the code points lo..hi (surrogates left out) into such runs.
func utf8Seqs(lo, hi rune) []utf8Seq {
	if lo < 0xD800 && hi > 0xDFFF {
		return append(utf8Seqs(lo, 0xD7FF), utf8Seqs(0xE000, hi)...)
	}
	if lo >= 0xD800 && lo <= 0xDFFF {
		lo = 0xE000
	}
	if hi >= 0xD800 && hi <= 0xDFFF {
		hi = 0xD7FF
	}
	if lo > hi {
		return nil
	}
	for _, last := range []rune{0x7F, 0x7FF, 0xFFFF} { // the last code point of each length
		if lo <= last && hi > last {
			return append(utf8Seqs(lo, last), utf8Seqs(last+1, hi)...)
		}
	}
	for shift := 6; shift <= 18; shift += 6 { // cut where the trailing bytes do not cover their whole range
		mask := rune(1)<<shift - 1
		if lo&^mask == hi&^mask {
			continue
		}
		if lo&mask != 0 {
			return append(utf8Seqs(lo, lo|mask), utf8Seqs((lo|mask)+1, hi)...)
		}
		if hi&mask != mask {
			return append(utf8Seqs(lo, hi&^mask-1), utf8Seqs(hi&^mask, hi)...)
		}
	}
	var s utf8Seq
	s.n = utf8.EncodeRune(s.lo[:], lo)
	utf8.EncodeRune(s.hi[:], hi)
	return []utf8Seq{s}
}
