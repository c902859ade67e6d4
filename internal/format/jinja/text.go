package jinja

import (
	"sort"
	"unicode"
	"unicode/utf8"
)

// text is a string of a template, with the places that hold Data: ascending, not empty, touching only
// where the tag changes.
type text struct {
	s    string
	data []Span
}

func plain(s string) text { return text{s: s} }

// slice is t.s[i:j] with its marks; i and j are bytes.
func (t text) slice(i, j int) text {
	out := text{s: t.s[i:j]}
	first := sort.Search(len(t.data), func(k int) bool { return t.data[k].End > i })
	for _, sp := range t.data[first:] {
		if sp.Start >= j {
			break
		}
		out.data = append(out.data, Span{max(sp.Start, i) - i, min(sp.End, j) - i, sp.Tag})
	}
	return out
}

// writer gathers text and keeps its marks.
type writer struct {
	buf  []byte
	data []Span
}

func (w *writer) str(s string) { w.buf = append(w.buf, s...) }

func (w *writer) text(t text) {
	at := len(w.buf)
	w.buf = append(w.buf, t.s...)
	for _, sp := range t.data {
		w.mark(at+sp.Start, at+sp.End, sp.Tag)
	}
}

// mark says that bytes [start, end), which end what was written so far or follow the last mark, are Data with a tag.
func (w *writer) mark(start, end, tag int) {
	if start == end {
		return
	}
	if n := len(w.data); n > 0 && w.data[n-1].End == start && w.data[n-1].Tag == tag {
		w.data[n-1].End = end
		return
	}
	w.data = append(w.data, Span{start, end, tag})
}

func (w *writer) done() text { return text{string(w.buf), w.data} }

// runs calls f for each stretch of t that is wholly Data or wholly not; what f writes keeps that mark.
func (t text) runs(w *writer, f func(part string)) {
	at := 0
	for _, sp := range t.data {
		if at < sp.Start {
			f(t.s[at:sp.Start])
		}
		from := len(w.buf)
		f(t.s[sp.Start:sp.End])
		w.mark(from, len(w.buf), sp.Tag)
		at = sp.End
	}
	if at < len(t.s) {
		f(t.s[at:])
	}
}

// mapRunes replaces every character by what f writes for it.
func (t text) mapRunes(w *writer, f func(w *writer, r rune, raw string)) {
	t.runs(w, func(part string) {
		for i := 0; i < len(part); {
			r, n := utf8.DecodeRuneInString(part[i:])
			f(w, r, part[i:i+n])
			i += n
		}
	})
}

// runeStarts gives the byte offset of every character of s, and len(s) at the end.
func runeStarts(s string) []int {
	at := make([]int, 0, len(s)+1)
	for i := range s {
		at = append(at, i)
	}
	return append(at, len(s))
}

// isSpace is Python's str.isspace: Unicode white space and the four ASCII separators.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

// trimmed gives the bytes [i, j) of s that remain when characters in cut are taken off the chosen ends.
func trimmed(s string, cut func(rune) bool, left, right bool) (i, j int) {
	j = len(s)
	for left && i < j {
		r, n := utf8.DecodeRuneInString(s[i:j])
		if !cut(r) {
			break
		}
		i += n
	}
	for right && i < j {
		r, n := utf8.DecodeLastRuneInString(s[i:j])
		if !cut(r) {
			break
		}
		j -= n
	}
	return i, j
}
