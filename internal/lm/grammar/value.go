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

// parseValue reads one JSON text. Repeated members are an error: which of them counts would be a guess.
func parseValue(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (*value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	token, err := d.Token()
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
			return readArray(d, depth)
		}
		return readObject(d, depth)
	}
	return &value{kind: isNull}, nil
}

func readArray(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: isArray}
	for d.More() {
		item, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.values = append(v.values, item)
	}
	_, err := d.Token()
	return v, err
}

func readObject(d *json.Decoder, depth int) (*value, error) {
	v := &value{kind: isObject}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("an object's key is not a string")
		}
		if seen[key] {
			return nil, fmt.Errorf("member %q is repeated", key)
		}
		seen[key] = true
		item, err := readValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, key)
		v.values = append(v.values, item)
	}
	_, err := d.Token()
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
