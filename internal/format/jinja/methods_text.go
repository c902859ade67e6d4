package jinja

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type textMethod = func(m *machine, t text, a args) any

func strip(id string, left, right bool) textMethod {
	return func(m *machine, t text, a args) any {
		p := m.params(id, a, "chars")
		cut := isSpace
		if p[0] != nil {
			chars := m.wantText(p[0], id).s
			cut = func(r rune) bool {
				m.charge(len(chars) / bytesAStep)
				return strings.ContainsRune(chars, r)
			}
		}
		i, j := trimmed(t.s, cut, left, right)
		m.charge((len(t.s) - (j - i)) / bytesAWork)
		return t.slice(i, j)
	}
}

func split(id string, fromRight bool) textMethod {
	return func(m *machine, t text, a args) any {
		p := m.params(id, a, "sep", "maxsplit")
		limit := m.wantInt(p[1], -1, id)
		var cuts [][2]int // the separators: bytes [from, to)
		if p[0] == nil {
			return m.fields(t, limit, fromRight)
		}
		sep := m.wantText(p[0], id).s
		if sep == "" {
			m.fail("%s: empty separator", id)
		}
		find := strings.Index
		if fromRight {
			find = strings.LastIndex
		}
		for lo, hi := 0, len(t.s); limit != 0; limit-- {
			at := find(t.s[lo:hi], sep)
			if at < 0 {
				break
			}
			m.charge(2)
			cuts = append(cuts, [2]int{lo + at, lo + at + len(sep)})
			if fromRight {
				hi = lo + at
			} else {
				lo += at + len(sep)
			}
		}
		if fromRight {
			slices.Reverse(cuts)
		}
		out := make([]any, 0, len(cuts)+1)
		at := 0
		for _, c := range cuts {
			out = append(out, t.slice(at, c[0]))
			at = c[1]
		}
		return append(out, t.slice(at, len(t.s)))
	}
}

// fields splits at runs of white space, at most limit times from one end; what is left keeps its other end.
func (m *machine) fields(t text, limit int64, fromRight bool) []any {
	out := []any{}
	i, j := trimmed(t.s, isSpace, !fromRight, fromRight)
	for ; i < j; limit-- {
		m.charge(2)
		rest := t.s[i:j]
		at := strings.IndexFunc(rest, isSpace)
		if fromRight {
			at = strings.LastIndexFunc(rest, isSpace)
		}
		switch {
		case limit == 0 || at < 0:
			out = append(out, t.slice(i, j))
			j = i
		case fromRight:
			_, n := utf8.DecodeRuneInString(rest[at:])
			out = append(out, t.slice(i+at+n, j))
			_, j = trimmed(t.s[:i+at], isSpace, false, true)
		default:
			out = append(out, t.slice(i, i+at))
			k, _ := trimmed(t.s[i+at:], isSpace, true, false)
			i += at + k
		}
	}
	if fromRight {
		slices.Reverse(out)
	}
	return out
}

func splitlines(m *machine, t text, a args) any {
	p := m.params("splitlines", a, "keepends")
	return m.lines(t, m.flag(p[0]))
}

func isLineEnd(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

// lines splits at every line end that Python knows.
func (m *machine) lines(t text, keep bool) []any {
	out := []any{}
	for at := 0; at < len(t.s); {
		m.charge(2)
		end := strings.IndexFunc(t.s[at:], isLineEnd)
		if end < 0 {
			return append(out, t.slice(at, len(t.s)))
		}
		end += at
		_, n := utf8.DecodeRuneInString(t.s[end:])
		if strings.HasPrefix(t.s[end:], "\r\n") {
			n = 2
		}
		stop := end
		if keep {
			stop += n
		}
		out = append(out, t.slice(at, stop))
		at = end + n
	}
	return out
}

func partition(id string, find func(s, sep string) int) textMethod {
	return func(m *machine, t text, a args) any {
		sep := m.wantText(m.params(id, a, "sep")[0], id)
		if sep.s == "" {
			m.fail("%s: empty separator", id)
		}
		at := find(t.s, sep.s)
		switch {
		case at >= 0:
			return tuple{t.slice(0, at), t.slice(at, at+len(sep.s)), t.slice(at+len(sep.s), len(t.s))}
		case id == "partition":
			return tuple{t, text{}, text{}}
		}
		return tuple{text{}, text{}, t}
	}
}

// affix is startswith and endswith, of one string or any of a tuple.
func affix(id string, has func(s, part string) bool) textMethod {
	return func(m *machine, t text, a args) any {
		p := m.params(id, a, "affix", "start", "end")
		part := m.window(t, p[1], p[2], id)
		if many, ok := p[0].(tuple); ok {
			for _, one := range many {
				s := m.wantText(one, id).s
				m.charge(1 + min(len(s), len(part.s))/bytesAStep)
				if has(part.s, s) {
					return true
				}
			}
			return false
		}
		return has(part.s, m.wantText(p[0], id).s)
	}
}

// window is t[start:end], in characters; nil leaves an end open.
func (m *machine) window(t text, start, end any, id string) text {
	if start == nil && end == nil {
		return t
	}
	at := runeStarts(t.s)
	n := int64(len(at) - 1)
	m.charge(len(at) / bytesAWork)
	bound := func(v any, missing int64) int64 {
		i := m.wantInt(v, missing, id)
		if i < 0 {
			i = max(i+n, 0)
		}
		return min(i, n)
	}
	i, j := bound(start, 0), bound(end, n)
	return t.slice(at[i], at[max(i, j)])
}

func removePrefix(m *machine, t text, a args) any {
	part := m.wantText(m.params("removeprefix", a, "prefix")[0], "removeprefix")
	if strings.HasPrefix(t.s, part.s) {
		return t.slice(len(part.s), len(t.s))
	}
	return t
}

func removeSuffix(m *machine, t text, a args) any {
	part := m.wantText(m.params("removesuffix", a, "suffix")[0], "removesuffix")
	if strings.HasSuffix(t.s, part.s) {
		return t.slice(0, len(t.s)-len(part.s))
	}
	return t
}

// find gives a position in characters; index fails where find gives -1.
func find(id string, search func(s, part string) int) textMethod {
	return func(m *machine, t text, a args) any {
		p := m.params(id, a, "sub", "start", "end")
		part := m.window(t, p[1], p[2], id)
		at := search(part.s, m.wantText(p[0], id).s)
		if at < 0 {
			if strings.HasSuffix(id, "index") {
				m.fail("%s: substring not found", id)
			}
			return int64(-1)
		}
		skipped := int64(0)
		if i := m.wantInt(p[1], 0, id); i != 0 {
			if n := int64(runeCount(t.s)); i < 0 {
				i = max(i+n, 0)
			}
			skipped = i
		}
		return skipped + int64(runeCount(part.s[:at]))
	}
}

func countText(m *machine, t text, a args) any {
	p := m.params("count", a, "sub", "start", "end")
	return int64(strings.Count(m.window(t, p[1], p[2], "count").s, m.wantText(p[0], "count").s))
}

func replaceText(m *machine, t text, a args) any {
	p := m.params("replace", a, "old", "new", "count")
	return m.replace(t, m.wantText(p[0], "replace"), m.wantText(p[1], "replace"), m.wantInt(p[2], -1, "replace"))
}

// replace puts in for old, at most n times; a negative n means everywhere. An empty old stands between all characters.
func (m *machine) replace(t, old, in text, n int64) text {
	var w writer
	at := 0
	for found := 0; n != 0; n-- {
		end := strings.Index(t.s[at:], old.s)
		if old.s == "" {
			end = 0
			if found > 0 {
				_, end = utf8.DecodeRuneInString(t.s[at:])
			}
			if found > 0 && at == len(t.s) {
				break
			}
		}
		if end < 0 {
			break
		}
		m.charge(1 + len(in.s)/bytesAStep)
		if len(w.buf) > MaxText {
			break // made refuses it
		}
		w.text(t.slice(at, at+end))
		w.text(in)
		at += end + len(old.s)
		found++
	}
	w.text(t.slice(at, len(t.s)))
	return m.made(w.done())
}

func joinText(m *machine, t text, a args) any {
	p := m.params("join", a, "iterable")
	var w writer
	for i, v := range m.iterate(p[0]) {
		m.charge(1)
		if i > 0 {
			w.text(t)
		}
		w.text(m.wantText(v, "join"))
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	return m.made(w.done())
}

// mapped changes the case rune by rune. Letters that Python turns into several (ß) stay one here.
func mapped(id string, f func(r rune) rune) textMethod {
	return func(m *machine, t text, a args) any {
		m.params(id, a)
		m.charge(len(t.s) / bytesAWork)
		var w writer
		t.mapRunes(&w, func(w *writer, r rune, _ string) { w.str(string(f(r))) })
		return m.made(w.done())
	}
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}

// cased raises the first letter, of every word or (once) of the string, and lowers the others.
func cased(id string, once bool) textMethod {
	return func(m *machine, t text, a args) any {
		m.params(id, a)
		m.charge(len(t.s) / bytesAWork)
		raise := true
		var w writer
		t.mapRunes(&w, func(w *writer, r rune, _ string) {
			if raise {
				w.str(string(unicode.ToTitle(r)))
			} else {
				w.str(string(unicode.ToLower(r)))
			}
			raise = !once && !unicode.IsLetter(r)
		})
		return m.made(w.done())
	}
}

func pad(id string) textMethod {
	return func(m *machine, t text, a args) any {
		p := m.params(id, a, "width", "fillchar")
		fill := plain(" ")
		if p[1] != nil {
			fill = m.wantText(p[1], id)
		}
		width := m.wantInt(p[0], 0, id)
		if runeCount(fill.s) != 1 || width > MaxText {
			m.fail("%s: want a width of at most %d and one character", id, MaxText)
		}
		missing := max(width-int64(runeCount(t.s)), 0)
		m.charge(int(missing))
		left := map[string]int64{"ljust": 0, "rjust": missing, "center": missing/2 + missing&width&1}[id]
		var w writer
		for i := range missing {
			if i == left {
				w.text(t)
			}
			w.text(fill)
		}
		if left == missing {
			w.text(t)
		}
		return m.made(w.done())
	}
}

func zfill(m *machine, t text, a args) any {
	width := m.wantInt(m.params("zfill", a, "width")[0], 0, "zfill")
	if width > MaxText {
		m.fail("zfill: width is %d, at most %d", width, MaxText)
	}
	sign := 0
	if strings.HasPrefix(t.s, "+") || strings.HasPrefix(t.s, "-") {
		sign = 1
	}
	missing := max(width-int64(runeCount(t.s)), 0)
	var w writer
	w.text(t.slice(0, sign))
	w.str(strings.Repeat("0", int(missing)))
	w.text(t.slice(sign, len(t.s)))
	return m.made(w.done())
}

// all tells whether a string is not empty and has only such characters.
func all(is func(r rune) bool) textMethod {
	return func(m *machine, t text, a args) any {
		m.params("is…", a)
		m.charge(len(t.s) / bytesAWork)
		return t.s != "" && !strings.ContainsFunc(t.s, func(r rune) bool { return !is(r) })
	}
}
