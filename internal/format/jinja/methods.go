package jinja

import (
	"slices"
	"strings"
	"unicode"
)

var (
	// textMethods take the string, then their arguments.
	textMethods map[string]func(m *machine, t text, a args) any
	mapMethods  = []string{"get", "items", "keys", "values", "copy"}
	listMethods = []string{"index", "count", "copy"}
	// What follows would change a value: the sandbox refuses it too.
	mapChanges  = []string{"clear", "pop", "popitem", "setdefault", "update"}
	listChanges = []string{"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}
)

// isMethod tells whether Python's type of v has a method id.
func isMethod(v any, id string) bool {
	switch v.(type) {
	case text:
		return textMethods[id] != nil
	case *Map:
		return slices.Contains(mapMethods, id) || slices.Contains(mapChanges, id)
	case []any:
		return slices.Contains(listMethods, id) || slices.Contains(listChanges, id)
	case tuple:
		return id == "index" || id == "count"
	}
	return false
}

func (m *machine) callMethod(f method, a args) any {
	if slices.Contains(mapChanges, f.name) || slices.Contains(listChanges, f.name) {
		m.fail("method '%s' would change a %s, which the sandbox forbids", f.name, typeName(f.of))
	}
	switch v := f.of.(type) {
	case text:
		m.charge(len(v.s) / bytesAStep)
		return textMethods[f.name](m, v, a)
	case *Map:
		return m.mapMethod(v, f.name, a)
	case tuple:
		return m.listMethod(v, f.name, a)
	case []any:
		return m.listMethod(v, f.name, a)
	}
	m.fail("'%s' has no method '%s'", typeName(f.of), f.name)
	return nil
}

func (m *machine) mapMethod(d *Map, id string, a args) any {
	if id == "get" {
		if len(a.pos) == 0 || len(a.names) > 0 {
			m.fail("dict.get takes 1 or 2 values")
		}
		p := m.params("dict.get", a, "key", "default")
		if v, ok := m.find(d, p[0]); ok {
			return v
		}
		return p[1]
	}
	m.params("dict."+id, a)
	m.charge(d.Len())
	switch id {
	case "items":
		return &view{"dict_items", d.items()}
	case "keys":
		return &view{"dict_keys", d.keys}
	case "values":
		return &view{"dict_values", d.vals}
	}
	return d // copy: dicts do not change
}

func (m *machine) listMethod(items []any, id string, a args) any {
	if id == "copy" {
		m.params("list.copy", a)
		return items
	}
	p := m.params("list."+id, a, "value")
	n := int64(0)
	for i, v := range items {
		if m.equal(v, p[0]) {
			if id == "index" {
				return int64(i)
			}
			n++
		}
	}
	if id == "index" {
		m.fail("list.index: value is not in list")
	}
	return n
}

func init() {
	textMethods = map[string]func(m *machine, t text, a args) any{
		"strip":  strip("strip", true, true),
		"lstrip": strip("lstrip", true, false), "rstrip": strip("rstrip", false, true),
		"split": split("split", false), "rsplit": split("rsplit", true), "splitlines": splitlines,
		"partition": partition("partition", strings.Index), "rpartition": partition("rpartition", strings.LastIndex),
		"startswith": affix("startswith", strings.HasPrefix), "endswith": affix("endswith", strings.HasSuffix),
		"removeprefix": removePrefix, "removesuffix": removeSuffix,
		"find": find("find", strings.Index), "rfind": find("rfind", strings.LastIndex),
		"index": find("index", strings.Index), "rindex": find("rindex", strings.LastIndex),
		"count": countText, "replace": replaceText, "join": joinText, "format": formatText,
		"upper": mapped("upper", unicode.ToUpper), "casefold": mapped("casefold", unicode.ToLower),
		"lower": mapped("lower", unicode.ToLower), "swapcase": mapped("swapcase", swapCase),
		"title": cased("title", false), "capitalize": cased("capitalize", true),
		"center": pad("center"), "ljust": pad("ljust"), "rjust": pad("rjust"), "zfill": zfill,
		"isdigit": all(unicode.IsDigit), "isdecimal": all(unicode.IsDigit), "isnumeric": all(unicode.IsNumber),
		"isspace": all(isSpace), "isalpha": all(unicode.IsLetter),
		"isalnum": all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
		"islower": func(m *machine, t text, a args) any { return caseTest(unicode.IsUpper, unicode.IsLower)(m, t, a) },
		"isupper": func(m *machine, t text, a args) any { return caseTest(unicode.IsLower, unicode.IsUpper)(m, t, a) },
	}
	for _, id := range []string{"encode", "expandtabs", "format_map", "isascii", "isidentifier", "isprintable", "istitle", "maketrans",
		"translate"} {
		textMethods[id] = func(m *machine, _ text, _ args) any {
			m.fail("method '%s' of str is not supported", id)
			return nil
		}
	}
}
