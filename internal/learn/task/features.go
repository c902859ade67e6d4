package task

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"retort/internal/learn/task/mention"
)

// A piece is a word, a run of digits, or one other character; in scripts without blanks each character is one.
type piece struct{ start, end int }

func pieces(text string) []piece {
	var out []piece
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		class := classOf(r)
		j := i + n
		if class == ' ' {
			i = j
			continue
		}
		for class != '.' && j < len(text) {
			next, n := utf8.DecodeRuneInString(text[j:])
			if classOf(next) != class {
				break
			}
			j += n
		}
		out = append(out, piece{i, j})
		i = j
	}
	return out
}

func classOf(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsDigit(r):
		return '0'
	case unicode.IsLetter(r) && !unicode.Is(unicode.Han, r):
		return 'a'
	}
	return '.'
}

// word is a piece as a feature: lower case, digits by their number only. Beyond the ends of the text it is a mark.
func word(text string, all []piece, i int) string {
	if i < 0 || i >= len(all) {
		return "#"
	}
	w := text[all[i].start:all[i].end]
	if w[0] >= '0' && w[0] <= '9' {
		return "0000000000"[:min(len(w), 10)]
	}
	return strings.ToLower(w)
}

// hash is FNV-1a over the parts, a mark between them, folded to hashBits.
func hash(parts ...string) uint32 {
	h := uint32(2166136261)
	for _, p := range parts {
		for i := range len(p) {
			h = (h ^ uint32(p[i])) * 16777619
		}
		h = (h ^ 0xff) * 16777619
	}
	return (h ^ h>>hashBits) & (1<<hashBits - 1)
}

// mentionOptions are dates or amounts of the text with the words around each and its place among the others.
func mentionOptions(text string, found []mention.Mention) []option {
	all := pieces(text)
	out := make([]option, len(found))
	for i, m := range found {
		o := option{value: m.Value}
		first, last := span(all, m.Start, m.End)
		o.features = around(text, all, first, last, nil)
		o.features = append(o.features, hash("place", place(i, len(found))), hash("bias"),
			hash("pre", place(i, len(found)), word(text, all, first-1)), hash("digits", word(text, all, first)))
		out[i] = o
	}
	return out
}

func place(i, n int) string {
	if i == n-1 {
		return "last"
	}
	return string(rune('0' + min(i, 9)))
}

// span finds the pieces that a stretch of bytes covers.
func span(all []piece, start, end int) (first, last int) {
	first = len(all)
	for i, p := range all {
		if p.end > start && p.start < end {
			first, last = min(first, i), i
		}
	}
	return first, last
}

// around are the words before and after a stretch, alone, in pairs and in threes.
func around(text string, all []piece, first, last int, out []uint32) []uint32 {
	before := func(i int) string { return word(text, all, first-i) }
	after := func(i int) string { return word(text, all, last+i) }
	out = append(out,
		hash("b1", before(1)), hash("b2", before(2), before(1)), hash("b3", before(3), before(2), before(1)), hash("b4", before(4), before(3), before(2)),
		hash("a1", after(1)), hash("a2", after(1), after(2)), hash("a3", after(1), after(2), after(3)), hash("ba", before(1), after(1)),
		hash("ba2", before(2), before(1), after(1)))
	for i := 2; i <= 6; i++ {
		out = append(out, hash("B", before(i)), hash("A", after(i)))
	}
	return out
}

// spanOptions are all stretches of up to longest pieces on one line.
func spanOptions(text string, longest int) []option {
	all := pieces(text)
	var out []option
	for first := range all {
		for last := first; last < min(len(all), first+longest); last++ {
			start, end := all[first].start, all[last].end
			if strings.IndexByte(text[start:end], '\n') >= 0 {
				break
			}
			o := option{value: text[start:end]}
			o.features = around(text, all, first, last, nil)
			o.features = append(o.features,
				hash("first", word(text, all, first)), hash("last", word(text, all, last)), hash("length", string(rune('0'+last-first))),
				hash("last2", word(text, all, last-1), word(text, all, last)), hash("ends", word(text, all, first), word(text, all, last)))
			out = append(out, o)
		}
	}
	return out
}

// knownOptions are the known values, each with every n-gram of the text crossed with it.
func knownOptions(text string, known []string) []option {
	grams := ngrams(text)
	out := make([]option, len(known))
	for i, v := range known {
		salt := hash("value", v)
		features := make([]uint32, 0, len(grams)+1)
		for _, g := range grams {
			x := (g ^ salt*0x9e3779b1) * 0x85ebca6b
			features = append(features, (x^x>>hashBits)&(1<<hashBits-1))
		}
		out[i] = option{v, append(features, hash("bias", v))}
	}
	return out
}

// ngrams are the hashed words and pairs of words of a text, threes in Chinese, where a piece is a character.
func ngrams(text string) []uint32 {
	all := pieces(text)
	var out []uint32
	for i := range all {
		a, b, c := word(text, all, i-2), word(text, all, i-1), word(text, all, i)
		out = append(out, hash("w", c), hash("ww", b, c))
		if c[0] >= 0x80 {
			out = append(out, hash("www", a, b, c))
		}
	}
	return out
}
