package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a schema's JSON text.
const maxDepth = 128

// valueKind is a set of JSON types: what a value is, or what a schema admits.
type valueKind uint8

const (
	isObject valueKind = 1 << iota
	isArray
	isString
	isInteger
	isNumber
	isBoolean
	isNull
	isAny = isObject | isArray | isString | isNumber | isBoolean | isNull
)

var typeNames = map[string]valueKind{"object": isObject, "array": isArray, "string": isString, "integer": isInteger,
	"number": isNumber, "boolean": isBoolean, "null": isNull}

// A value is JSON with the order of its members kept. A number that is an integer is isInteger.
type value struct {
	kind    valueKind
	keys    []string // of an object
	values  []*value // of an object or an array
	text    string   // of a string, or the digits of a number
	boolean bool
}

// member returns an object's member, or nil.
func (v *value) member(key string) *value {
	if v.kind != isObject {
		return nil
	}
	if i := slices.Index(v.keys, key); i >= 0 {
		return v.values[i]
	}
	return nil
}

// parseValue reads one JSON text. Repeated members are an error: which of them counts would be a guess. So is half a
// surrogate pair, which is no character. Errors name the place by its JSON pointer.
func parseValue(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("not UTF-8")
	}
	r := &valueReader{data: data, json: json.NewDecoder(bytes.NewReader(data))}
	r.json.UseNumber()
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if _, err := r.json.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

// A valueReader is a recursive-descent parser over the tokens of package json.
type valueReader struct {
	data []byte
	json *json.Decoder
	path []string // steps to the value at hand
}

// fault is an error at the value at hand.
func (r *valueReader) fault(format string, args ...any) error {
	at := ""
	for _, step := range r.path {
		at = below(at, step)
	}
	return fault(at, format, args...)
}

func (r *valueReader) token() (json.Token, error) {
	from := r.json.InputOffset()
	token, err := r.json.Token()
	if err != nil {
		return nil, err
	}
	// Package json would put U+FFFD in its place. Only strings have backslashes.
	if half := loneSurrogate(r.data[from:r.json.InputOffset()]); half != "" {
		return nil, r.fault("surrogate %s stands alone in %q", half, token)
	}
	return token, nil
}

// loneSurrogate returns the first escape of a JSON text that is one half of a surrogate pair without the other.
func loneSurrogate(raw []byte) string {
	unit := func(at int) int { // of the escape \uXXXX there, or -1
		if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(raw[at+2:at+6]), 16, 16)
		if err != nil {
			return -1
		}
		return int(n)
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u := unit(i)
		switch {
		case u >= 0xD800 && u < 0xDC00 && unit(i+6) >= 0xDC00 && unit(i+6) <= 0xDFFF:
			i += 11
		case u >= 0xD800 && u <= 0xDFFF:
			return string(raw[i : i+6])
		default:
			i++ // the escaped character may be a backslash
		}
	}
	return ""
}

func (r *valueReader) value() (*value, error) {
	if len(r.path) > maxDepth {
		return nil, r.fault("nested more than %d deep", maxDepth)
	}
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case string:
		return &value{kind: isString, text: t}, nil
	case json.Number:
		v := &value{kind: isNumber, text: canonicalNumber(t.String())}
		if !strings.ContainsAny(v.text, ".eE") {
			v.kind = isInteger
		}
		return v, nil
	case bool:
		return &value{kind: isBoolean, boolean: t}, nil
	case json.Delim:
		if t == '[' {
			return r.array()
		}
		return r.object()
	}
	return &value{kind: isNull}, nil
}

// below reads the value that is one step further.
func (r *valueReader) below(step string) (*value, error) {
	r.path = append(r.path, step)
	v, err := r.value()
	r.path = r.path[:len(r.path)-1]
	return v, err
}

func (r *valueReader) array() (*value, error) {
	v := &value{kind: isArray}
	for r.json.More() {
		item, err := r.below(strconv.Itoa(len(v.values)))
		if err != nil {
			return nil, err
		}
		v.values = append(v.values, item)
	}
	_, err := r.json.Token()
	return v, err
}

func (r *valueReader) object() (*value, error) {
	v := &value{kind: isObject}
	seen := map[string]bool{}
	for r.json.More() {
		token, err := r.token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, r.fault("an object's key is not a string")
		}
		if seen[key] {
			return nil, r.fault("member %q is repeated", key)
		}
		seen[key] = true
		item, err := r.below(key)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, key)
		v.values = append(v.values, item)
	}
	_, err := r.json.Token()
	return v, err
}

// json is v in the one form that a grammar writes: ", " and ": ", characters raw wherever JSON allows it.
func (v *value) json() string { return string(v.appendJSON(nil)) }

func (v *value) appendJSON(b []byte) []byte {
	switch v.kind {
	case isString:
		return appendQuoted(b, v.text)
	case isBoolean:
		return strconv.AppendBool(b, v.boolean)
	case isNull:
		return append(b, "null"...)
	case isArray, isObject:
		open, shut := byte('['), byte(']')
		if v.kind == isObject {
			open, shut = '{', '}'
		}
		b = append(b, open)
		for i, item := range v.values {
			if i > 0 {
				b = append(b, ", "...)
			}
			if v.kind == isObject {
				b = append(appendQuoted(b, v.keys[i]), ": "...)
			}
			b = item.appendJSON(b)
		}
		return append(b, shut)
	}
	return append(b, v.text...)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		if e := escaped(r); e != "" {
			b = append(b, e...)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// escaped is the escape of the characters that JSON does not take raw, in the form that json.dumps writes; "" for the others.
func escaped(r rune) string {
	switch r {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	}
	if r < ' ' {
		return fmt.Sprintf(`\u%04x`, r)
	}
	return ""
}

// equal compares by value, members in any order.
func (v *value) equal(w *value) bool {
	const numeric = isInteger | isNumber
	if v.kind&numeric != 0 && w.kind&numeric != 0 {
		return sameNumber(v.text, w.text)
	}
	if v.kind != w.kind || v.text != w.text || v.boolean != w.boolean || len(v.values) != len(w.values) {
		return false
	}
	for i, item := range v.values {
		other := w.values[i]
		if v.kind == isObject {
			other = w.member(v.keys[i])
		}
		if other == nil || !item.equal(other) {
			return false
		}
	}
	return true
}
