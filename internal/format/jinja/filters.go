package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

type filter func(m *machine, v any, a args) any

// filterTable is filled at start because map and select lead back to it.
var filterTable map[string]filter

func init() {
	filterTable = map[string]filter{
		"abs": filterAbs, "attr": filterAttr, "batch": filterBatch, "capitalize": ofMethod("capitalize"),
		"center": filterCenter, "count": filterLength, "d": filterDefault, "default": filterDefault,
		"dictsort": filterDictsort, "e": filterEscape, "escape": filterEscape, "first": filterFirst,
		"float": filterFloat, "format": filterFormat, "from_json": filterFromJSON, "indent": filterIndent,
		"int": filterInt, "items": filterItems, "join": filterJoin, "last": filterLast, "length": filterLength,
		"list": filterList, "lower": ofMethod("lower"), "map": filterMap, "max": filterExtreme("max", 1),
		"min": filterExtreme("min", -1), "reject": filterSelect("reject", false, false),
		"rejectattr": filterSelect("rejectattr", true, false), "replace": filterReplace, "reverse": filterReverse,
		"round": filterRound, "safe": filterString, "select": filterSelect("select", false, true),
		"selectattr": filterSelect("selectattr", true, true), "slice": filterSlice, "sort": filterSort,
		"string": filterString, "sum": filterSum, "title": filterTitle, "tojson": filterToJSON, "trim": filterTrim,
		"unique": filterUnique, "upper": ofMethod("upper"), "wordcount": filterWordcount,
	}
}

func (m *machine) filter(id string) filter {
	f, ok := filterTable[id]
	if !ok {
		m.fail("filter '%s' is not supported", id)
	}
	return f
}

// ofMethod is a filter that makes a string of its value and calls a method of it.
func ofMethod(id string) filter {
	return func(m *machine, v any, a args) any {
		m.params(id, a)
		return m.callMethod(method{m.str(v), id}, args{})
	}
}

func filterTrim(m *machine, v any, a args) any {
	p := m.params("trim", a, "chars")
	return m.callMethod(method{m.str(v), "strip"}, args{pos: p})
}

func filterString(m *machine, v any, a args) any {
	m.params("string", a)
	return m.str(v)
}

func filterLength(m *machine, v any, a args) any {
	m.params("length", a)
	n, ok := m.size(v)
	if !ok {
		m.fail("object of type '%s' has no len()", typeName(v))
	}
	return int64(n)
}

func filterDefault(m *machine, v any, a args) any {
	p := m.params("default", a, "default_value", "boolean")
	_, missing := v.(undefined)
	if !missing && (p[1] == nil || !m.truth(p[1]) || m.truth(v)) {
		return v
	}
	if p[0] == nil && len(a.pos) == 0 && !slices.Contains(a.names, "default_value") {
		return text{}
	}
	return p[0]
}

// number filters

func filterAbs(m *machine, v any, a args) any {
	m.params("abs", a)
	if f, ok := v.(float64); ok {
		return math.Abs(f)
	}
	i := m.wantInt(v, 0, "abs")
	if i < 0 {
		return m.ints("-", 0, i)
	}
	return i
}

// filterInt is Python's int of a number or a string, through float where need be; else the default.
func filterInt(m *machine, v any, a args) any {
	p := m.params("int", a, "default", "base")
	missing := p[0]
	if missing == nil {
		missing = int64(0)
	}
	base := m.wantInt(p[1], 10, "int")
	m.defined(v)
	if t, ok := isText(v); ok {
		m.charge(len(t.s) / bytesAWork)
		if i, ok := parseInt(t.s, base); ok {
			return i
		}
	}
	if i, ok := integer(v); ok {
		return i
	}
	f, ok := toFloat(v)
	if !ok || f != f || math.IsInf(f, 0) {
		return missing
	}
	if math.Abs(f) >= 1<<63 {
		m.tooLarge()
	}
	return int64(f)
}

// parseInt is Python's int(s, base).
func parseInt(s string, base int64) (int64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if base < 2 || base > 36 {
		return 0, false
	}
	bare := strings.TrimLeft(strings.ToLower(s), "+-")
	prefix := map[int64]string{2: "0b", 8: "0o", 16: "0x"}[base]
	if prefix != "" && strings.HasPrefix(bare, prefix) && len(s)-len(bare) <= 1 {
		s = s[:len(s)-len(bare)] + bare[2:]
	}
	i, err := strconv.ParseInt(underscored(s), int(base), 64)
	return i, err == nil
}

// underscored drops the underscores that Python allows between digits.
func underscored(s string) string {
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return s // stays wrong
	}
	return strings.ReplaceAll(s, "_", "")
}

// toFloat is Python's float of a number or a string.
func toFloat(v any) (float64, bool) {
	t, ok := isText(v)
	if !ok {
		return number(v)
	}
	s := underscored(strings.TrimFunc(t.s, isSpace))
	if strings.ContainsAny(s, "xXpP") { // Go reads hexadecimal floats, Python does not
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || math.IsInf(f, 0)
}

func filterFloat(m *machine, v any, a args) any {
	p := m.params("float", a, "default")
	m.defined(v)
	if t, ok := isText(v); ok {
		m.charge(len(t.s) / bytesAWork)
	}
	if f, ok := toFloat(v); ok {
		return f
	}
	if p[0] == nil {
		return 0.0
	}
	return p[0]
}

func filterRound(m *machine, v any, a args) any {
	p := m.params("round", a, "precision", "method")
	digits := m.wantInt(p[0], 0, "round")
	how := "common"
	if p[1] != nil {
		how = m.wantText(p[1], "round").s
	}
	if digits < 0 || digits > 300 {
		m.fail("round: precision %d is not supported", digits)
	}
	if i, ok := integer(v); ok && how == "common" {
		return i
	}
	f, ok := number(v)
	if !ok {
		m.fail("round: want a number, not %s", typeName(v))
	}
	scale := math.Pow(10, float64(digits))
	switch how {
	case "common": // to even on the decimal digits, as Python and strconv both do
		r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
		return r
	case "ceil":
		return math.Ceil(f*scale) / scale
	case "floor":
		return math.Floor(f*scale) / scale
	}
	m.fail("round: method must be common, ceil or floor, not %q", how)
	return nil
}

// text filters

func filterReplace(m *machine, v any, a args) any {
	p := m.params("replace", a, "old", "new", "count")
	n := m.wantInt(p[2], -1, "replace")
	return m.replace(m.str(v), m.str(p[0]), m.str(p[1]), n)
}

func filterEscape(m *machine, v any, a args) any {
	m.params("escape", a)
	t := m.str(v)
	m.charge(len(t.s) / bytesAWork)
	var w writer
	t.mapRunes(&w, func(w *writer, r rune, raw string) {
		switch r {
		case '&':
			w.str("&amp;")
		case '<':
			w.str("&lt;")
		case '>':
			w.str("&gt;")
		case '\'':
			w.str("&#39;")
		case '"':
			w.str("&#34;")
		default:
			w.str(raw)
		}
	})
	return m.made(w.done())
}

// filterTitle raises the first letter behind a blank, a hyphen or an opening bracket; the method title differs.
func filterTitle(m *machine, v any, a args) any {
	m.params("title", a)
	t := m.str(v)
	m.charge(len(t.s) / bytesAWork)
	first := true
	var w writer
	t.mapRunes(&w, func(w *writer, r rune, _ string) {
		if first {
			w.str(string(unicode.ToUpper(r)))
		} else {
			w.str(string(unicode.ToLower(r)))
		}
		first = isSpace(r) || strings.ContainsRune("-({[<", r)
	})
	return m.made(w.done())
}

func filterCenter(m *machine, v any, a args) any {
	p := m.params("center", a, "width")
	return m.callMethod(method{m.str(v), "center"}, args{pos: []any{m.wantInt(p[0], 80, "center")}})
}

func filterFormat(m *machine, v any, a args) any {
	if len(a.names) > 0 {
		m.fail("format: named values are not supported")
	}
	return m.percent(m.str(v), tuple(a.pos))
}

func filterWordcount(m *machine, v any, a args) any {
	m.params("wordcount", a)
	t := m.str(v)
	m.charge(len(t.s) / bytesAWork)
	return int64(len(strings.FieldsFunc(t.s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) })))
}

func filterIndent(m *machine, v any, a args) any {
	p := m.params("indent", a, "width", "first", "blank")
	by, ok := isText(p[0])
	if !ok {
		n := m.wantInt(p[0], 4, "indent")
		if n > 1000 {
			m.fail("indent: width %d, at most 1000", n)
		}
		by = plain(strings.Repeat(" ", max(int(n), 0)))
	}
	first := p[1] != nil && m.truth(p[1])
	blank := p[2] != nil && m.truth(p[2])
	t := m.str(v)
	lines := m.lines(text{t.s + "\n", t.data}, false)
	m.charge(len(lines) * (1 + len(by.s)/bytesAStep))
	var w writer
	for i, l := range lines {
		line := l.(text)
		if i > 0 {
			w.str("\n")
		}
		if i == 0 && first || i > 0 && (blank || line.s != "") {
			w.text(by)
		}
		w.text(line)
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	return m.made(w.done())
}
