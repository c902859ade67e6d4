package grammar

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a pattern's text.
const (
	maxPatternBytes = 4096
	maxPatternDepth = 64   // nested groups
	maxQuantifier   = 5000 // the largest bound of {m,n}
)

// parsePattern reads the pattern of a JSON Schema: the regular subset of ECMA 262 with the u flag. A branch without
// ^ or $ may match anywhere, so the expr returned, which stands for the whole text, has any characters on that side.
// Look-around, back references, word boundaries and anchors inside a pattern are refused by name.
func parsePattern(pattern string) (*expr, error) {
	if len(pattern) > maxPatternBytes {
		return nil, fmt.Errorf("pattern has %d bytes, at most %d", len(pattern), maxPatternBytes)
	}
	if !utf8.ValidString(pattern) {
		return nil, fmt.Errorf("pattern is not UTF-8")
	}
	r := &regexReader{rest: pattern}
	e, err := r.alternation(0)
	if err == nil && r.rest != "" {
		err = fmt.Errorf("unmatched %q", r.rest[:1])
	}
	if err == nil {
		e, err = anchored(e)
	}
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return e, nil
}

// opBegin and opEnd are ^ and $; anchored removes them.
const (
	opBegin op = iota + 100
	opEnd
)

// anchored turns the parsed pattern into one for the whole text.
func anchored(e *expr) (*expr, error) {
	if e.op == opAlt {
		out := &expr{op: opAlt}
		for _, sub := range e.subs {
			sub, err := anchored(sub)
			if err != nil {
				return nil, err
			}
			out.subs = append(out.subs, sub)
		}
		return out, nil
	}
	if e.op != opCat {
		e = cat(e)
	}
	subs := e.subs
	if len(subs) == 1 && (subs[0].op == opAlt || subs[0].op == opCat) {
		return anchored(subs[0])
	}
	before, after := rep(anyChar, 0, unbounded), rep(anyChar, 0, unbounded)
	for len(subs) > 0 && subs[0].op == opBegin {
		before, subs = &expr{}, subs[1:]
	}
	for len(subs) > 0 && subs[len(subs)-1].op == opEnd {
		after, subs = &expr{}, subs[:len(subs)-1]
	}
	for _, sub := range subs {
		if hasAnchor(sub) {
			return nil, fmt.Errorf("an anchor inside a pattern is not supported")
		}
	}
	return cat(before, cat(subs...), after), nil
}

func hasAnchor(e *expr) bool {
	return e.op == opBegin || e.op == opEnd || slices.ContainsFunc(e.subs, hasAnchor)
}

// A regexReader is a recursive-descent parser; rest is what it has not read.
type regexReader struct{ rest string }

func (r *regexReader) peek() rune {
	if r.rest == "" {
		return -1
	}
	c, _ := utf8.DecodeRuneInString(r.rest)
	return c
}

func (r *regexReader) next() rune {
	c, n := utf8.DecodeRuneInString(r.rest)
	r.rest = r.rest[n:]
	return c
}

func (r *regexReader) skip(prefix string) bool {
	rest, ok := strings.CutPrefix(r.rest, prefix)
	r.rest = rest
	return ok
}

func (r *regexReader) alternation(depth int) (*expr, error) {
	if depth > maxPatternDepth {
		return nil, fmt.Errorf("groups are nested more than %d deep", maxPatternDepth)
	}
	out := &expr{op: opAlt}
	for {
		branch := &expr{op: opCat}
		for r.rest != "" && r.peek() != '|' && r.peek() != ')' {
			item, err := r.quantified(depth)
			if err != nil {
				return nil, err
			}
			branch.subs = append(branch.subs, item)
		}
		out.subs = append(out.subs, branch)
		if !r.skip("|") {
			break
		}
	}
	if len(out.subs) == 1 {
		return out.subs[0], nil
	}
	return out, nil
}

func (r *regexReader) quantified(depth int) (*expr, error) {
	atom, err := r.atom(depth)
	if err != nil {
		return nil, err
	}
	low, high := 1, 1
	switch r.peek() {
	case '*':
		low, high = 0, unbounded
	case '+':
		low, high = 1, unbounded
	case '?':
		low, high = 0, 1
	case '{':
		if low, high, err = r.bounds(); err != nil {
			return nil, err
		}
		r.rest = "}" + r.rest // leave one rune to drop, as with the other quantifiers
	default:
		return atom, nil
	}
	r.next()
	r.skip("?") // lazy or greedy is the same set of texts
	if c := r.peek(); c == '*' || c == '+' || c == '?' || c == '{' {
		return nil, fmt.Errorf("quantifier %q after a quantifier", c)
	}
	if atom.op == opBegin || atom.op == opEnd {
		return nil, fmt.Errorf("quantifier after an anchor")
	}
	return rep(atom, low, high), nil
}

// bounds reads {n}, {n,} or {n,m}.
func (r *regexReader) bounds() (low, high int, err error) {
	body, rest, ok := strings.Cut(r.rest[1:], "}")
	from, to, comma := strings.Cut(body, ",")
	if low, err = quantifierBound(from); !ok || err != nil {
		return 0, 0, fmt.Errorf("%q is not a quantifier: %v", r.rest, err)
	}
	high = low
	if comma && to == "" {
		high = unbounded
	} else if comma {
		if high, err = quantifierBound(to); err != nil {
			return 0, 0, err
		}
	}
	if high < low {
		return 0, 0, fmt.Errorf("quantifier {%s} is out of order", body)
	}
	r.rest = rest
	return low, high, nil
}

func quantifierBound(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	if n > maxQuantifier {
		return 0, fmt.Errorf("quantifier bound %d, at most %d", n, maxQuantifier)
	}
	return int(n), nil
}

// Line terminators, which the dot leaves out, by ECMA 262 section 12.3.
var lineEnds = []span{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}

func (r *regexReader) atom(depth int) (*expr, error) {
	switch c := r.next(); c {
	case '^':
		return &expr{op: opBegin}, nil
	case '$':
		return &expr{op: opEnd}, nil
	case '.':
		return chars(negate(lineEnds)...), nil
	case '(':
		return r.group(depth)
	case '[':
		return r.class()
	case '\\':
		set, err := r.escape(false)
		return chars(set...), err
	case '*', '+', '?', '{', '}', ']':
		return nil, fmt.Errorf("%q stands where a character is expected", c)
	default:
		return chars(span{c, c}), nil
	}
}

func (r *regexReader) group(depth int) (*expr, error) {
	for _, look := range []string{"?=", "?!", "?<=", "?<!"} {
		if strings.HasPrefix(r.rest, look) {
			return nil, fmt.Errorf("look-around (%s is not supported", look)
		}
	}
	if r.skip("?<") {
		_, rest, ok := strings.Cut(r.rest, ">")
		if !ok {
			return nil, fmt.Errorf("group name without >")
		}
		r.rest = rest
	} else if !r.skip("?:") && r.peek() == '?' {
		return nil, fmt.Errorf("group (%.3s is not supported", r.rest)
	}
	e, err := r.alternation(depth + 1)
	if err == nil && !r.skip(")") {
		err = fmt.Errorf("missing )")
	}
	return e, err
}

func (r *regexReader) class() (*expr, error) {
	inverted := r.skip("^")
	var set []span
	for !r.skip("]") {
		if r.rest == "" {
			return nil, fmt.Errorf("missing ]")
		}
		item, err := r.classItem()
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(r.rest, "-") && !strings.HasPrefix(r.rest, "-]") {
			r.next()
			if r.rest == "" {
				return nil, fmt.Errorf("missing ]")
			}
			last, err := r.classItem()
			if err != nil {
				return nil, err
			}
			if !single(item) || !single(last) || last[0].lo < item[0].lo {
				return nil, fmt.Errorf("range out of order in a class")
			}
			item = []span{{item[0].lo, last[0].lo}}
		}
		set = append(set, item...)
	}
	set = normalise(set)
	if inverted {
		set = negate(set)
	}
	return chars(set...), nil
}

func single(set []span) bool { return len(set) == 1 && set[0].lo == set[0].hi }

func (r *regexReader) classItem() ([]span, error) {
	c := r.next()
	if c == '\\' {
		return r.escape(true)
	}
	return []span{{c, c}}, nil
}

var (
	digits = []span{{'0', '9'}}
	words  = []span{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	// White space and line terminators of ECMA 262, sections 12.2 and 12.3.
	spaces = []span{{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
		{0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}}
)

// escape reads what follows a backslash.
func (r *regexReader) escape(inClass bool) ([]span, error) {
	if r.rest == "" {
		return nil, fmt.Errorf("a backslash at the end")
	}
	c := r.next()
	one := func(c rune) ([]span, error) { return []span{{c, c}}, nil }
	switch c {
	case 'd':
		return digits, nil
	case 'D':
		return negate(digits), nil
	case 'w':
		return words, nil
	case 'W':
		return negate(words), nil
	case 's':
		return spaces, nil
	case 'S':
		return negate(spaces), nil
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 't':
		return one('\t')
	case 'f':
		return one('\f')
	case 'v':
		return one('\v')
	case 'p', 'P':
		return r.property(c == 'P')
	case 'x':
		return r.codePoint(2)
	case 'u':
		return r.unicodeEscape()
	case 'c':
		if l := r.peek(); l < unicode.MaxASCII && unicode.IsLetter(l) {
			return one(r.next() % 32)
		}
	case '0':
		if p := r.peek(); p < '0' || p > '9' {
			return one(0)
		}
	case 'k':
		return nil, fmt.Errorf("back reference \\k is not supported")
	case 'b', 'B':
		if c == 'b' && inClass {
			return one('\b')
		}
		return nil, fmt.Errorf("word boundary \\%c is not supported", c)
	}
	if c >= '1' && c <= '9' {
		return nil, fmt.Errorf("back reference \\%c is not supported", c)
	}
	if strings.ContainsRune(`^$\.*+?()[]{}|/-`, c) || c < utf8.RuneSelf && unicode.IsPunct(c) {
		return one(c)
	}
	return nil, fmt.Errorf("escape \\%c is not supported", c)
}

func (r *regexReader) codePoint(digits int) ([]span, error) {
	if len(r.rest) < digits {
		return nil, fmt.Errorf("escape needs %d hexadecimal digits", digits)
	}
	n, err := strconv.ParseUint(r.rest[:digits], 16, 32)
	if err != nil || n > unicode.MaxRune {
		return nil, fmt.Errorf("%q is no hexadecimal code point", r.rest[:digits])
	}
	r.rest = r.rest[digits:]
	return []span{{rune(n), rune(n)}}, nil
}

// unicodeEscape reads \uXXXX, a pair of them that makes one character, or \u{X…}.
func (r *regexReader) unicodeEscape() ([]span, error) {
	if r.skip("{") {
		size := strings.IndexByte(r.rest, '}')
		if size < 0 {
			return nil, fmt.Errorf("missing } after \\u{")
		}
		set, err := r.codePoint(size)
		r.skip("}")
		return set, err
	}
	set, err := r.codePoint(4)
	if err == nil && set[0].lo >= 0xD800 && set[0].lo <= 0xDBFF && r.skip(`\u`) {
		low, err := r.codePoint(4)
		if err != nil {
			return nil, err
		}
		c := (set[0].lo-0xD800)<<10 + low[0].lo - 0xDC00 + 0x10000
		if low[0].lo < 0xDC00 || low[0].lo > 0xDFFF {
			return nil, fmt.Errorf("surrogate \\u%x is not followed by its second half", set[0].lo)
		}
		return []span{{c, c}}, nil
	}
	if err == nil && set[0].lo >= 0xD800 && set[0].lo <= 0xDFFF {
		return nil, fmt.Errorf("surrogate \\u%x stands alone", set[0].lo)
	}
	return set, err
}

// property reads \p{L}, \p{Letter} and other general categories, and \p{Script=Greek}.
func (r *regexReader) property(inverted bool) ([]span, error) {
	if !r.skip("{") {
		return nil, fmt.Errorf("missing { after \\p")
	}
	name, rest, ok := strings.Cut(r.rest, "}")
	if !ok {
		return nil, fmt.Errorf("missing } after \\p{")
	}
	r.rest = rest
	table := unicode.Categories[name]
	if long, ok := unicode.CategoryAliases[name]; ok && table == nil {
		table = unicode.Categories[long]
	}
	if key, value, ok := strings.Cut(name, "="); ok && (key == "Script" || key == "sc") {
		table = unicode.Scripts[value]
	}
	if table == nil {
		return nil, fmt.Errorf("property \\p{%s} is not supported", name)
	}
	var set []span
	for _, t := range table.R16 {
		for c := rune(t.Lo); c <= rune(t.Hi); c += rune(t.Stride) {
			set = append(set, span{c, c})
		}
	}
	for _, t := range table.R32 {
		for c := rune(t.Lo); c <= rune(t.Hi); c += rune(t.Stride) {
			set = append(set, span{c, c})
		}
	}
	set = normalise(set)
	if inverted {
		set = negate(set)
	}
	return set, nil
}

// normalise sorts spans and joins those that touch.
func normalise(set []span) []span {
	slices.SortFunc(set, func(a, b span) int { return int(a.lo) - int(b.lo) })
	var out []span
	for _, s := range set {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return out
}

// negate returns the code points outside a normalised set.
func negate(set []span) []span {
	var out []span
	from := rune(0)
	for _, s := range set {
		if s.lo > from {
			out = append(out, span{from, s.lo - 1})
		}
		from = s.hi + 1
	}
	if from <= utf8.MaxRune {
		out = append(out, span{from, utf8.MaxRune})
	}
	return out
}
