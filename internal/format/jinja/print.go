package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// str is Python's str(v).
func (m *machine) str(v any) text {
	if t, ok := v.(text); ok {
		return t
	}
	var w writer
	m.print(&w, v)
	return m.made(w.done())
}

// print writes str(v).
func (m *machine) print(w *writer, v any) {
	switch v := v.(type) {
	case text:
		w.text(v)
	case undefined:
	default:
		m.repr(w, v)
	}
}

// repr writes Python's repr(v).
func (m *machine) repr(w *writer, v any) {
	m.charge(1)
	defer m.deeper()()
	if len(w.buf) > MaxText {
		m.fail("text has more than %d bytes", MaxText)
	}
	switch v := v.(type) {
	case nil:
		w.str("None")
	case bool:
		w.str(map[bool]string{true: "True", false: "False"}[v])
	case int64:
		w.buf = strconv.AppendInt(w.buf, v, 10)
	case float64:
		w.str(floatRepr(v))
	case text:
		m.reprText(w, v)
	case []any:
		m.reprList(w, "[", v, "]")
	case tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		m.reprList(w, "(", v, end)
	case *Map:
		m.reprMap(w, v)
	case *namespace:
		w.str("<Namespace ")
		m.reprMap(w, &v.Map)
		w.str(">")
	case *view:
		m.reprList(w, v.name+"([", v.items, "])")
	case undefined:
		w.str("Undefined")
	case span:
		fmt.Fprintf(w, "range(%d, %d", v.start, v.stop)
		if v.step != 1 {
			fmt.Fprintf(w, ", %d", v.step)
		}
		w.str(")")
	case *macro:
		fmt.Fprintf(w, "<Macro '%s'>", v.name)
	case *loop:
		fmt.Fprintf(w, "<LoopContext %d/%d>", v.index0+1, len(v.items))
	default:
		// Python prints an address here: no template means to.
		m.fail("printing a %s is not supported", typeName(v))
	}
}

// Write lets fmt print into w.
func (w *writer) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)
	return len(b), nil
}

func (m *machine) reprList(w *writer, open string, items []any, end string) {
	w.str(open)
	for i, v := range items {
		if i > 0 {
			w.str(", ")
		}
		m.repr(w, v)
	}
	w.str(end)
}

func (m *machine) reprMap(w *writer, d *Map) {
	w.str("{")
	for i, key := range d.keys {
		if i > 0 {
			w.str(", ")
		}
		m.repr(w, key)
		w.str(": ")
		m.repr(w, d.vals[i])
	}
	w.str("}")
}

func (m *machine) reprText(w *writer, t text) {
	m.charge(len(t.s) / bytesAWork)
	quote := '\''
	if strings.Contains(t.s, "'") && !strings.Contains(t.s, `"`) {
		quote = '"'
	}
	w.str(string(quote))
	t.mapRunes(w, func(w *writer, r rune, raw string) {
		at := strings.IndexRune("\\\n\r\t", r)
		switch {
		case r == quote:
			w.str("\\" + raw)
		case at >= 0:
			w.str("\\" + `\nrt`[at:at+1])
		case unicode.IsPrint(r):
			w.str(raw)
		case r < 0x100:
			fmt.Fprintf(w, "\\x%02x", r)
		case r < 0x10000:
			fmt.Fprintf(w, "\\u%04x", r)
		default:
			fmt.Fprintf(w, "\\U%08x", r)
		}
	})
	w.str(string(quote))
}

// floatRepr is Python's repr of a float: the shortest digits that read back, with an exponent below 1e-4 and from
// 1e16 on.
func floatRepr(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != f:
		return "nan"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
