package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// FromJSON reads one JSON value with the order of its keys. With data, every string in it, keys too, is Data.
func FromJSON(src []byte, data bool) (any, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := readJSON(d, data, 0)
	if err != nil {
		return nil, fmt.Errorf("jinja: json: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("jinja: json: more than one value")
	}
	return v, nil
}

func readJSON(d *json.Decoder, data bool, depth int) (any, error) {
	if depth > MaxNesting {
		return nil, fmt.Errorf("nested more than %d deep", MaxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case string:
		if data {
			return Data(t), nil
		}
		return t, nil
	case json.Number:
		if i, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			return i, nil
		}
		f, err := t.Float64()
		if err != nil || !strings.ContainsAny(t.String(), ".eE") {
			return nil, fmt.Errorf("number %s is out of range", t)
		}
		return f, nil
	case json.Delim:
		if t == '[' {
			return readArray(d, data, depth)
		}
		return readObject(d, data, depth)
	}
	return t, nil
}

func readArray(d *json.Decoder, data bool, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := readJSON(d, data, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func readObject(d *json.Decoder, data bool, depth int) (any, error) {
	obj := &Map{}
	for d.More() {
		key, err := readJSON(d, data, depth+1)
		if err != nil {
			return nil, err
		}
		v, err := readJSON(d, data, depth+1)
		if err != nil {
			return nil, err
		}
		obj.put(key, v)
	}
	_, err := d.Token()
	return obj, err
}

// filterFromJSON is no filter of Jinja2's. DeepSeek's V3.2 and V4 templates use it on arguments that are a string,
// as llama.cpp offers it.
func filterFromJSON(m *machine, v any, a args) any {
	m.params("from_json", a)
	t := m.wantText(v, "from_json")
	m.charge(2 * len(t.s))
	got, err := FromJSON([]byte(t.s), false)
	if err != nil {
		m.fail("from_json: %v", err)
	}
	if len(t.data) > 0 {
		got = Tag(got, t.data[0].Tag)
	}
	return m.enter(got, 0)
}

// jsonWriter is json.dumps as transformers' tojson calls it: characters stand unescaped unless ascii.
type jsonWriter struct {
	m         *machine
	w         writer
	ascii     bool
	sorted    bool
	indent    string
	lines     bool // indent was given, and may be empty
	item, key string
}

func filterToJSON(m *machine, v any, a args) any {
	p := m.params("tojson", a, "ensure_ascii", "indent", "separators", "sort_keys")
	j := &jsonWriter{m: m, item: ", ", key: ": "}
	j.ascii = p[0] != nil && m.truth(p[0])
	j.sorted = p[3] != nil && m.truth(p[3])
	switch in := p[1].(type) {
	case nil:
	case text:
		if len(in.s) > MaxNesting {
			m.fail("tojson: indent has %d bytes, at most %d", len(in.s), MaxNesting)
		}
		j.lines, j.indent, j.item = true, in.s, ","
	default:
		n, ok := integer(in)
		if !ok || n > MaxNesting {
			m.fail("tojson: indent is not a small number or a string")
		}
		j.lines, j.indent, j.item = true, strings.Repeat(" ", max(int(n), 0)), ","
	}
	if p[2] != nil {
		seps := m.iterate(p[2])
		if len(seps) != 2 {
			m.fail("tojson: separators has %d values, want 2", len(seps))
		}
		j.item, j.key = m.wantText(seps[0], "tojson").s, m.wantText(seps[1], "tojson").s
	}
	j.value(v, 0)
	return m.made(j.w.done())
}

func (j *jsonWriter) value(v any, depth int) {
	j.m.charge(1)
	if depth > MaxNesting {
		j.m.fail("tojson: value is nested more than %d deep", MaxNesting)
	}
	if len(j.w.buf) > MaxText {
		j.m.fail("text has more than %d bytes", MaxText)
	}
	switch v := v.(type) {
	case nil:
		j.w.str("null")
	case bool:
		j.w.buf = strconv.AppendBool(j.w.buf, v)
	case int64:
		j.w.buf = strconv.AppendInt(j.w.buf, v, 10)
	case float64:
		j.w.str(jsonFloat(v))
	case text:
		j.text(v)
	case []any:
		j.list(v, depth)
	case tuple:
		j.list(v, depth)
	case *generator:
		// json.dumps refuses one; the template that llama.cpp ships for DeepSeek R1 relies on a list.
		j.list(j.m.iterate(v), depth)
	case *Map:
		j.object(v, depth)
	default:
		j.m.fail("Object of type %s is not JSON serializable", typeName(v))
	}
}

func jsonFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f != f:
		return "NaN"
	}
	return floatRepr(f)
}

// line starts a new line at a depth where an indent was asked for.
func (j *jsonWriter) line(depth int) {
	if j.lines {
		j.w.str("\n")
		j.w.str(strings.Repeat(j.indent, depth))
	}
}

func (j *jsonWriter) list(items []any, depth int) {
	if len(items) == 0 {
		j.w.str("[]")
		return
	}
	j.w.str("[")
	for i, v := range items {
		if i > 0 {
			j.w.str(j.item)
		}
		j.line(depth + 1)
		j.value(v, depth+1)
	}
	j.line(depth)
	j.w.str("]")
}

func (j *jsonWriter) object(d *Map, depth int) {
	if d.Len() == 0 {
		j.w.str("{}")
		return
	}
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if j.sorted {
		slices.SortStableFunc(order, func(a, b int) int { return j.m.order(d.keys[a], d.keys[b], "<") })
	}
	j.w.str("{")
	for n, i := range order {
		if n > 0 {
			j.w.str(j.item)
		}
		j.line(depth + 1)
		switch key := d.keys[i].(type) {
		case text:
			j.text(key)
		case tuple:
			j.m.fail("tojson: keys must be strings, numbers or None, not %s", typeName(key))
		default:
			j.w.str(`"`)
			j.value(key, depth+1)
			j.w.str(`"`)
		}
		j.w.str(j.key)
		j.value(d.vals[i], depth+1)
	}
	j.line(depth)
	j.w.str("}")
}

func (j *jsonWriter) text(t text) {
	j.m.charge(len(t.s) / bytesAWork)
	j.w.str(`"`)
	t.mapRunes(&j.w, func(w *writer, r rune, raw string) {
		at := strings.IndexRune("\"\\\b\f\n\r\t", r)
		switch {
		case at >= 0:
			w.str("\\" + `"\bfnrt`[at:at+1])
		case r < 0x20 || j.ascii && r >= 0x7f && r < 0x10000:
			fmt.Fprintf(w, "\\u%04x", r)
		case j.ascii && r >= utf8.RuneSelf:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(w, "\\u%04x\\u%04x", hi, lo)
		default:
			w.str(raw)
		}
	})
	j.w.str(`"`)
}
