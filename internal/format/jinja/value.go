package jinja

import (
	"math"
)

// The values of a template are nil, bool, int64, float64, text, []any, tuple, *Map, and the types below. []any
// and *Map are never changed once a template sees them: the sandbox forbids it.
type (
	tuple []any
	// undefined is what a missing name or member gives; what says which.
	undefined struct{ what string }
	// namespace is the one thing that a template may change in place.
	namespace struct{ Map }
	// view is the result of dict.keys, values and items.
	view struct {
		name  string
		items []any
	}
	// generator is the result of map, select and their like: it can be read once.
	generator struct{ items []any }
	// span is a range.
	span struct{ start, stop, step int64 }
	// method is a method of a value, not called yet.
	method struct {
		of   any
		name string
	}
	function func(m *machine, a args) any
)

// Map is a dict: it keeps the order in which keys came, as Python's and JSON's do in a chat template.
type Map struct {
	keys, vals []any
	index      map[any]int
}

// Set puts v at key; a key that is there keeps its place.
func (d *Map) Set(key string, v any) { d.put(key, v) }

// Get returns the value at key as it was Set.
func (d *Map) Get(key string) (any, bool) { return d.get(key) }

// Len is the number of keys.
func (d *Map) Len() int { return len(d.keys) }

// AsData is a copy of v in which every string, keys too, is Data.
func AsData(v any) any { return Tag(v, 0) }

// Tag is a copy of v in which every string, keys too, is Data with a tag.
func Tag(v any, tag int) any {
	switch v := v.(type) {
	case string:
		return Tagged{Data(v), tag}
	case Data:
		return Tagged{v, tag}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Tag(v[i], tag)
		}
		return out
	case *Map:
		out := &Map{}
		for i := range v.keys {
			out.put(Tag(v.keys[i], tag), Tag(v.vals[i], tag))
		}
		return out
	}
	return v
}

// put reports whether key can be one.
func (d *Map) put(key, v any) bool {
	h, ok := hashed(key)
	if !ok {
		return false
	}
	if i, ok := d.index[h]; ok {
		d.vals[i] = v
		return true
	}
	if d.index == nil {
		d.index = map[any]int{}
	}
	d.index[h] = len(d.keys)
	d.keys, d.vals = append(d.keys, key), append(d.vals, v)
	return true
}

func (d *Map) get(key any) (any, bool) {
	h, ok := hashed(key)
	if !ok {
		return nil, false
	}
	i, ok := d.index[h]
	if !ok {
		return nil, false
	}
	return d.vals[i], true
}

// items are the pairs of d as tuples.
func (d *Map) items() []any {
	out := make([]any, len(d.keys))
	for i := range d.keys {
		out[i] = tuple{d.keys[i], d.vals[i]}
	}
	return out
}

// hashed gives a comparable stand-in for a key: Python takes 1, 1.0 and True for the same key.
func hashed(key any) (any, bool) {
	switch k := key.(type) {
	case nil:
		return nil, true
	case text:
		return k.s, true
	case string:
		return k, true
	case Data:
		return string(k), true
	case Tagged:
		return string(k.Data), true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int64(k), true
		}
		return k, true
	}
	if i, ok := integer(key); ok {
		return i, true
	}
	return nil, false
}

// integer is v as Python's operator.index takes it: an int or a bool.
func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// number is v as a float where it is a number.
func number(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	i, ok := integer(v)
	return float64(i), ok
}

// enter turns a caller's value into one of the machine's.
func (m *machine) enter(v any, depth int) any {
	if depth > MaxNesting {
		m.fail("input is nested more than %d deep", MaxNesting)
	}
	switch v := v.(type) {
	case nil, bool, int64, float64:
		return v
	case int:
		return int64(v)
	case string:
		m.bytes += len(v)
		return plain(v)
	case Data:
		return m.enter(Tagged{Data: v}, depth)
	case Tagged:
		m.bytes += len(v.Data)
		if v.Data == "" {
			return text{}
		}
		return text{string(v.Data), []Span{{0, len(v.Data), v.Tag}}}
	case []any:
		m.longest = max(m.longest, min(len(v), MaxRange))
		out := make([]any, len(v))
		for i := range v {
			out[i] = m.enter(v[i], depth+1)
		}
		return out
	case *Map:
		if v == nil {
			return nil
		}
		out := &Map{}
		for i := range v.keys {
			out.put(m.enter(v.keys[i], depth+1), m.enter(v.vals[i], depth+1))
		}
		return out
	}
	m.fail("input of Go type %T is not a template value", v)
	return nil
}

// typeName is Python's name of v's type, for errors.
func typeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case text:
		return "str"
	case []any:
		return "list"
	case tuple:
		return "tuple"
	case *Map:
		return "dict"
	case undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	case *view:
		return v.name
	case *generator:
		return "generator"
	case span:
		return "range"
	case *macro:
		return "Macro"
	case *loop:
		return "LoopContext"
	}
	return "method"
}

// isText tells whether v is a string, and gives it.
func isText(v any) (text, bool) {
	t, ok := v.(text)
	return t, ok
}

// count is the number of elements a range has.
func (r span) count() int64 {
	if r.step > 0 && r.start < r.stop {
		return (r.stop-r.start-1)/r.step + 1
	}
	if r.step < 0 && r.start > r.stop {
		return (r.start-r.stop-1)/-r.step + 1
	}
	return 0
}

// iterate lists what a loop over v sees.
func (m *machine) iterate(v any) []any {
	items, ok := m.elements(v)
	if !ok {
		m.fail("'%s' object is not iterable", typeName(v))
	}
	return items
}

// elements is iterate that reports whether v can be iterated at all. A generator is empty afterwards.
func (m *machine) elements(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case tuple:
		return v, true
	case *Map:
		return v.keys, true
	case *view:
		return v.items, true
	case undefined:
		return nil, true
	case *generator:
		items := v.items
		v.items = nil
		return items, true
	case text:
		m.charge(2 * len(v.s))
		at := runeStarts(v.s)
		out := make([]any, len(at)-1)
		for i := range out {
			out[i] = v.slice(at[i], at[i+1])
		}
		return out, true
	case span:
		n := v.count()
		m.charge(int(n))
		out := make([]any, n)
		for i := range out {
			out[i] = v.start + int64(i)*v.step
		}
		return out, true
	}
	return nil, false
}

// size is Python's len; ok is false where v has none.
func (m *machine) size(v any) (n int, ok bool) {
	switch v := v.(type) {
	case text:
		m.charge(len(v.s) / bytesAStep)
		return runeCount(v.s), true
	case []any:
		return len(v), true
	case tuple:
		return len(v), true
	case *Map:
		return v.Len(), true
	case *view:
		return len(v.items), true
	case undefined:
		return 0, true
	case span:
		return int(v.count()), true
	case *loop:
		return len(v.items), true
	}
	return 0, false
}
