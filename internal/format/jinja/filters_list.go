package jinja

import (
	"slices"
	"strconv"
	"strings"
)

func filterList(m *machine, v any, a args) any {
	m.params("list", a)
	items := m.iterate(v)
	m.charge(len(items) / valuesAStep)
	return append([]any{}, items...)
}

func filterItems(m *machine, v any, a args) any {
	m.params("items", a)
	switch v := v.(type) {
	case undefined:
		return &generator{}
	case *Map:
		m.charge(v.Len())
		return &generator{v.items()}
	}
	m.fail("can only get item pairs from a mapping, not %s", typeName(v))
	return nil
}

func filterFirst(m *machine, v any, a args) any {
	m.params("first", a)
	if items := m.iterate(v); len(items) > 0 {
		return items[0]
	}
	return undefined{"no first item, sequence was empty"}
}

func filterLast(m *machine, v any, a args) any {
	m.params("last", a)
	if _, ok := v.(*generator); ok {
		m.fail("'generator' object is not reversible")
	}
	if items := m.iterate(v); len(items) > 0 {
		return items[len(items)-1]
	}
	return undefined{"no last item, sequence was empty"}
}

func filterReverse(m *machine, v any, a args) any {
	m.params("reverse", a)
	items := slices.Clone(m.iterate(v))
	m.charge(len(items))
	slices.Reverse(items)
	if _, ok := isText(v); !ok {
		return &generator{items}
	}
	var w writer
	for _, c := range items {
		w.text(c.(text))
	}
	return m.made(w.done())
}

// attribute reads "a.b.0" step by step, each as an item first, as Jinja's filters do.
func (m *machine) attribute(path any) func(v any) any {
	if path == nil {
		return func(v any) any { return v }
	}
	if i, ok := integer(path); ok {
		return func(v any) any { return m.index(v, i) }
	}
	var parts []any
	names := m.wantText(path, "attribute").s
	m.charge(len(names)/bytesAWork + 2*strings.Count(names, "."))
	for _, s := range strings.Split(names, ".") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil && s[0] >= '0' && s[0] <= '9' {
			parts = append(parts, i)
		} else {
			parts = append(parts, plain(s))
		}
	}
	return func(v any) any {
		m.charge(len(parts))
		for _, p := range parts {
			v = m.index(v, p)
		}
		return v
	}
}

// folded is attribute with strings in lower case, unless sensitive: how Jinja sorts and compares.
func (m *machine) folded(path any, sensitive bool) func(v any) any {
	of := m.attribute(path)
	return func(v any) any {
		v = of(v)
		if t, ok := isText(v); ok && !sensitive {
			m.charge(len(t.s) / bytesAWork)
			return plain(strings.ToLower(t.s))
		}
		return v
	}
}

func filterAttr(m *machine, v any, a args) any {
	p := m.params("attr", a, "name")
	id := m.wantText(p[0], "attr").s
	m.charge(len(id) / bytesAStep)
	if _, ok := v.(*Map); ok && !isMethod(v, id) {
		return undefined{"'dict object' has no attribute '" + id + "'"}
	}
	return m.member(v, id)
}

func filterJoin(m *machine, v any, a args) any {
	p := m.params("join", a, "d", "attribute")
	sep := text{}
	if p[0] != nil {
		sep = m.str(p[0])
	}
	of := m.attribute(p[1])
	var w writer
	for i, item := range m.iterate(v) {
		m.charge(1)
		if i > 0 {
			w.text(sep)
		}
		m.print(&w, of(item))
		if len(w.buf) > MaxText {
			break // made refuses it
		}
	}
	return m.made(w.done())
}

// filterMap is map(attribute='a', default=x) or map('filter', its arguments). Of a value that is false, none too, it and
// filterSelect make nothing and look at no argument, as Jinja2's do_map and select_or_reject.
func filterMap(m *machine, v any, a args) any {
	if !m.truth(v) {
		return &generator{}
	}
	var each func(v any) any
	if len(a.pos) == 0 {
		p := m.params("map", a, "attribute", "default")
		if p[0] == nil {
			m.fail("map requires a filter argument")
		}
		of := m.attribute(p[0])
		each = func(v any) any {
			got := of(v)
			if _, missing := got.(undefined); missing && p[1] != nil {
				return p[1]
			}
			return got
		}
	} else {
		f := m.filter(m.wantText(a.pos[0], "map").s)
		rest := args{a.pos[1:], a.names, a.vals}
		each = func(v any) any { return f(m, v, rest) }
	}
	items := m.iterate(v)
	m.down()
	out := make([]any, len(items))
	for i, item := range items {
		m.charge(1)
		out[i] = each(item)
	}
	m.up()
	return &generator{out}
}

// filterSelect is select and reject, by a test or by truth, of an item or of its attribute.
func filterSelect(id string, attribute, keep bool) filter {
	return func(m *machine, v any, a args) any {
		if !m.truth(v) {
			return &generator{}
		}
		of := func(v any) any { return v }
		if attribute {
			if len(a.pos) == 0 {
				m.fail("%s: missing parameter for attribute name", id)
			}
			of = m.attribute(a.pos[0])
			a.pos = a.pos[1:]
		}
		is := func(v any) bool { return m.truth(v) }
		if len(a.pos) > 0 {
			t := m.test(m.wantText(a.pos[0], id).s)
			rest := args{a.pos[1:], a.names, a.vals}
			is = func(v any) bool { return t(m, v, rest) }
		}
		var out []any
		for _, item := range m.iterate(v) {
			m.charge(1)
			if is(of(item)) == keep {
				out = append(out, item)
			}
		}
		return &generator{out}
	}
}

// ordered sorts a copy of items by key, stable.
func (m *machine) ordered(items []any, key func(any) any, reverse bool) []any {
	m.charge(len(items))
	keys := make([]any, len(items))
	at := make([]int, len(items))
	for i, v := range items {
		keys[i], at[i] = key(v), i
	}
	slices.SortStableFunc(at, func(i, k int) int {
		c := m.order(keys[i], keys[k], "<")
		if reverse {
			return -c
		}
		return c
	})
	return picked(items, at)
}

func (m *machine) flag(v any) bool { return v != nil && m.truth(v) }

func filterSort(m *machine, v any, a args) any {
	p := m.params("sort", a, "reverse", "case_sensitive", "attribute")
	if t, ok := isText(p[2]); ok && strings.Contains(t.s, ",") {
		m.fail("sort: several attributes are not supported")
	}
	return m.ordered(m.iterate(v), m.folded(p[2], m.flag(p[1])), m.flag(p[0]))
}

func filterDictsort(m *machine, v any, a args) any {
	p := m.params("dictsort", a, "case_sensitive", "by", "reverse")
	d, ok := v.(*Map)
	if !ok {
		m.fail("dictsort: want a dict, not %s", typeName(v))
	}
	at := int64(0)
	if p[1] != nil {
		switch by := m.wantText(p[1], "dictsort").s; by {
		case "key":
		case "value":
			at = 1
		default:
			m.fail("dictsort: by must be 'key' or 'value', not %q", by)
		}
	}
	return m.ordered(d.items(), m.folded(at, m.flag(p[0])), m.flag(p[2]))
}

func filterUnique(m *machine, v any, a args) any {
	p := m.params("unique", a, "case_sensitive", "attribute")
	key := m.folded(p[1], m.flag(p[0]))
	seen := &Map{}
	var out []any
	for _, item := range m.iterate(v) {
		m.charge(1)
		k := key(item)
		if _, ok := m.find(seen, k); ok {
			continue
		}
		if !m.put(seen, k, true) {
			m.fail("unique: '%s' cannot be compared", typeName(k))
		}
		out = append(out, item)
	}
	return &generator{out}
}

func filterSum(m *machine, v any, a args) any {
	p := m.params("sum", a, "attribute", "start")
	total := p[1]
	if total == nil {
		total = int64(0)
	}
	of := m.attribute(p[0])
	for _, item := range m.iterate(v) {
		m.charge(1)
		total = m.binary("+", total, of(item))
	}
	return total
}

// filterExtreme is min (sign -1) and max (sign 1): the first of the extreme items.
func filterExtreme(id string, sign int) filter {
	return func(m *machine, v any, a args) any {
		p := m.params(id, a, "case_sensitive", "attribute")
		key := m.folded(p[1], m.flag(p[0]))
		items := m.iterate(v)
		if len(items) == 0 {
			return undefined{"no aggregated item, sequence was empty"}
		}
		best := items[0]
		for _, item := range items[1:] {
			if m.order(key(item), key(best), "<")*sign > 0 {
				best = item
			}
		}
		return best
	}
}

func filterBatch(m *machine, v any, a args) any {
	p := m.params("batch", a, "linecount", "fill_with")
	n := m.wantInt(p[0], 0, "batch")
	if n < 1 || n > MaxRange {
		m.fail("batch: linecount is %d, want 1 to %d", n, MaxRange)
	}
	var out []any
	for rows := range slices.Chunk(m.iterate(v), int(n)) {
		row := slices.Clone(rows)
		for p[1] != nil && len(row) < int(n) {
			row = append(row, p[1])
		}
		m.charge(len(row))
		out = append(out, row)
	}
	return &generator{out}
}

// filterSlice makes n lists of nearly equal length, the longer ones first; a filler evens out the others.
func filterSlice(m *machine, v any, a args) any {
	p := m.params("slice", a, "slices", "fill_with")
	n := int(m.wantInt(p[0], 0, "slice"))
	if n < 1 || n > MaxRange {
		m.fail("slice: slices is %d, want 1 to %d", n, MaxRange)
	}
	items := m.iterate(v)
	m.charge(len(items) + n)
	var out []any
	each, more := len(items)/n, len(items)%n
	for i, at := 0, 0; i < n; i++ {
		size := each
		if i < more {
			size++
		}
		row := slices.Clone(items[at : at+size])
		at += size
		if p[1] != nil && i >= more {
			row = append(row, p[1])
		}
		out = append(out, row)
	}
	return &generator{out}
}
