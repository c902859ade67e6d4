package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type kind uint8

const (
	tokEOF kind = iota
	tokData
	tokVarBegin
	tokVarEnd
	tokBlockBegin
	tokBlockEnd
	tokName
	tokString
	tokInt
	tokFloat
	tokOp
)

type token struct {
	kind kind
	s    string // the name, the operator, the decoded string, the digits, the data
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of template"
	case tokVarEnd:
		return "'}}'"
	case tokBlockEnd:
		return "'%}'"
	case tokString:
		return "string " + strconv.Quote(t.s)
	}
	return "'" + t.s + "'"
}

// lexer follows jinja2.lexer with trim_blocks and lstrip_blocks on and keep_trailing_newline off.
type lexer struct {
	src  string
	pos  int
	line int
	toks []token
	// lineStart tells that the last tag took the newline behind it, so that blanks before the next tag stand at
	// the start of a line.
	lineStart bool
}

func lex(src string) []token {
	src = strings.ReplaceAll(src, "\r\n", "\n")
	src = strings.ReplaceAll(src, "\r", "\n")
	l := &lexer{src: strings.TrimSuffix(src, "\n"), line: 1, lineStart: true}
	for l.tag() {
	}
	l.emit(tokEOF, "")
	return l.toks
}

func (l *lexer) fail(format string, a ...any) {
	panic(&Error{Line: l.line, Msg: fmt.Sprintf(format, a...)})
}

func (l *lexer) emit(k kind, s string) { l.toks = append(l.toks, token{k, s, l.line}) }

// skip moves n bytes on and counts the lines passed.
func (l *lexer) skip(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

// tag reads data up to the next tag, and that tag. False at the end of the source.
func (l *lexer) tag() bool {
	at := l.pos
	for ; at+1 < len(l.src); at++ {
		if l.src[at] == '{' && (l.src[at+1] == '%' || l.src[at+1] == '{' || l.src[at+1] == '#') {
			break
		}
	}
	if at+1 >= len(l.src) {
		l.data(l.src[l.pos:], len(l.src)-l.pos)
		return false
	}
	mark := l.src[at+1]
	n := 2
	var sign byte
	if at+2 < len(l.src) && (l.src[at+2] == '-' || l.src[at+2] == '+') {
		sign, n = l.src[at+2], 3
	}
	l.data(l.stripBefore(l.src[l.pos:at], sign, mark != '{'), at-l.pos)
	if mark == '%' && l.raw(n) {
		return true
	}
	switch mark {
	case '#':
		l.skip(n)
		l.comment()
	case '{':
		l.emit(tokVarBegin, "{{")
		l.skip(n)
		l.expression("}}", tokVarEnd)
	default:
		l.emit(tokBlockBegin, "{%")
		l.skip(n)
		l.expression("%}", tokBlockEnd)
	}
	return true
}

// data emits s, which came of n bytes of the source.
func (l *lexer) data(s string, n int) {
	if s != "" {
		l.emit(tokData, s)
	}
	l.skip(n)
}

// stripBefore takes off the white space that a tag with this sign removes from the text before it.
func (l *lexer) stripBefore(s string, sign byte, block bool) string {
	switch {
	case sign == '-':
		_, j := trimmed(s, isSpace, false, true)
		return s[:j]
	case sign == '+' || !block:
		return s
	}
	at := strings.LastIndexByte(s, '\n') + 1
	if at == 0 && !l.lineStart {
		return s
	}
	if i, j := trimmed(s[at:], isSpace, true, false); i == j {
		return s[:at]
	}
	return s
}

// closes gives the length of a closing tag at the start of s with the white space it takes, or 0. A block tag
// takes one newline; "-" takes all white space; "+" nothing.
func closes(s, tag string) int {
	signed := len(s) > 0 && (s[0] == '-' || s[0] == '+' && tag != "}}")
	if signed && strings.HasPrefix(s[1:], tag) {
		n := 1 + len(tag)
		if s[0] == '-' {
			i, _ := trimmed(s[n:], isSpace, true, false)
			n += i
		}
		return n
	}
	if !strings.HasPrefix(s, tag) {
		return 0
	}
	n := len(tag)
	if tag != "}}" && n < len(s) && s[n] == '\n' {
		n++
	}
	return n
}

// end passes a closing tag of n bytes.
func (l *lexer) end(n int) {
	l.lineStart = l.src[l.pos+n-1] == '\n'
	l.skip(n)
}

func (l *lexer) comment() {
	at := strings.Index(l.src[l.pos:], "#}")
	if at < 0 {
		l.fail("comment is not closed")
	}
	if at > 0 && (l.src[l.pos+at-1] == '-' || l.src[l.pos+at-1] == '+') {
		at--
	}
	l.skip(at)
	l.end(closes(l.src[l.pos:], "#}"))
}

// word passes white space, the word and white space at s[at:]; -1 where the word does not stand.
func word(s string, at int, w string) int {
	i, _ := trimmed(s[at:], isSpace, true, false)
	at += i
	if !strings.HasPrefix(s[at:], w) {
		return -1
	}
	at += len(w)
	i, _ = trimmed(s[at:], isSpace, true, false)
	return at + i
}

// raw reads {% raw %}…{% endraw %} whose opening "{%" has n bytes, and tells whether it stands here.
func (l *lexer) raw(n int) bool {
	at := word(l.src, l.pos+n, "raw")
	if at < 0 {
		return false
	}
	switch rest := l.src[at:]; {
	case strings.HasPrefix(rest, "%}"):
		at += 2 // trim_blocks leaves the newline behind {% raw %} alone
	case strings.HasPrefix(rest, "-%}"):
		at += closes(rest, "%}")
	default:
		return false
	}
	l.skip(at - l.pos)
	l.lineStart = l.src[l.pos-1] == '\n'
	for from := l.pos; ; {
		i := strings.Index(l.src[from:], "{%")
		if i < 0 {
			l.fail("raw is not closed")
		}
		from += i
		at, sign := from+2, byte(0)
		if at < len(l.src) && (l.src[at] == '-' || l.src[at] == '+') {
			sign = l.src[at]
			at++
		}
		if at = word(l.src, at, "endraw"); at >= 0 {
			if n := closes(l.src[at:], "%}"); n > 0 {
				l.data(l.stripBefore(l.src[l.pos:from], sign, true), at-l.pos)
				l.end(n)
				return true
			}
		}
		from += 2
	}
}

var operators = []string{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
	">", "<", "=", ".", ":", "|", ",", ";"}

// expression reads tokens up to the closing tag, which counts only outside brackets.
func (l *lexer) expression(tag string, end kind) {
	var open []byte
	for {
		i, _ := trimmed(l.src[l.pos:], isSpace, true, false)
		l.skip(i)
		rest := l.src[l.pos:]
		if rest == "" {
			l.fail("tag is not closed, want '%s'", tag)
		}
		if len(open) == 0 {
			if n := closes(rest, tag); n > 0 {
				l.emit(end, tag)
				l.end(n)
				return
			}
		}
		if l.number(rest) || l.name(rest) || l.quoted(rest) {
			continue
		}
		op := ""
		for _, o := range operators {
			if strings.HasPrefix(rest, o) {
				op = o
				break
			}
		}
		switch op {
		case "":
			r, _ := utf8.DecodeRuneInString(rest)
			l.fail("unexpected character %q", r)
		case "(", "[", "{":
			if len(open) == MaxNesting {
				l.fail("more than %d open brackets", MaxNesting)
			}
			open = append(open, op[0]+1+(op[0]>>6)) // ')' is '('+1, ']' and '}' are +2
		case ")", "]", "}":
			if len(open) == 0 || open[len(open)-1] != op[0] {
				l.fail("unexpected '%s'", op)
			}
			open = open[:len(open)-1]
		}
		l.emit(tokOp, op)
		l.skip(len(op))
	}
}

func (l *lexer) name(s string) bool {
	n := 0
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r != '_' && !unicode.IsLetter(r) && (n == 0 || !unicode.IsDigit(r)) {
			break
		}
		n += size
	}
	if n == 0 {
		return false
	}
	l.emit(tokName, s[:n])
	l.skip(n)
	return true
}

// number reads an integer or a float. A digit behind a dot is an index (x.0), so a float never starts there.
func (l *lexer) number(s string) bool {
	if s[0] < '0' || s[0] > '9' {
		return false
	}
	digits := func(i int) int {
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9') {
			i++
		}
		return i
	}
	n, k := digits(0), tokInt
	if len(s) > 2 && s[0] == '0' && strings.IndexByte("xXoObB", s[1]) >= 0 {
		n = 2
		for n < len(s) && (s[n] == '_' || s[n] < utf8.RuneSelf && unicode.Is(unicode.ASCII_Hex_Digit, rune(s[n]))) {
			n++
		}
	} else if l.pos == 0 || l.src[l.pos-1] != '.' {
		if n+1 < len(s) && s[n] == '.' && digits(n+1) > n+1 {
			n, k = digits(n+1), tokFloat
		}
		if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
			at := n + 1
			if at < len(s) && (s[at] == '+' || s[at] == '-') {
				at++
			}
			if digits(at) > at {
				n, k = digits(at), tokFloat
			}
		}
	}
	l.emit(k, strings.ReplaceAll(s[:n], "_", ""))
	l.skip(n)
	return true
}

func (l *lexer) quoted(s string) bool {
	if s[0] != '\'' && s[0] != '"' {
		return false
	}
	n := 1
	for n < len(s) && s[n] != s[0] {
		if s[n] == '\\' {
			n++
		}
		n++
	}
	if n >= len(s) {
		l.fail("string is not closed")
	}
	l.emit(tokString, l.unescape(s[1:n]))
	l.skip(n + 1)
	return true
}

// unescape decodes Python's escapes in a string literal; an unknown one keeps its backslash.
func (l *lexer) unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if at := strings.IndexByte("\\'\"abfnrtv", s[i]); at >= 0 {
			b.WriteByte("\\'\"\a\b\f\n\r\t\v"[at])
			continue
		}
		digits, base := 0, 16
		switch c := s[i]; {
		case c == '\n':
			continue
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case c == 'U':
			digits = 8
		case c == 'N':
			l.fail("character names (\\N) are not supported")
		case c >= '0' && c <= '7':
			base = 8
			for digits < 3 && i+digits < len(s) && s[i+digits] >= '0' && s[i+digits] <= '7' {
				digits++
			}
			i--
		default:
			b.WriteByte('\\')
			b.WriteByte(c)
			continue
		}
		if i+1+digits > len(s) {
			l.fail("escape \\%s is too short", s[i:])
		}
		v, err := strconv.ParseUint(s[i+1:i+1+digits], base, 32)
		if err != nil || v > unicode.MaxRune || v >= 0xd800 && v < 0xe000 {
			l.fail("escape \\%s is not a character", s[i:i+1+digits])
		}
		b.WriteRune(rune(v))
		i += digits
	}
	return b.String()
}
