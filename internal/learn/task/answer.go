package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Answer writes fields as the one JSON object that a right answer is, in the recipe's order and in the spacing of Python's
// json.dumps(…, ensure_ascii=False): {"company": "X", "total": "1.00"}. A missing field is the empty string.
func (t *Task) Answer(fields Fields) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, f := range t.Recipe.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		quote(&b, f.Name)
		b.WriteString(": ")
		switch v := fields[f.Name]; t.kinds[f.Name] {
		case "number", "integer", "boolean":
			if json.Valid([]byte(v)) {
				b.WriteString(v)
				continue
			}
			quote(&b, v)
		default:
			quote(&b, v)
		}
	}
	b.WriteByte('}')
	return b.String()
}

// quote writes s as a JSON string with no more escapes than JSON demands, bytes that are not UTF-8 replaced.
func quote(b *strings.Builder, s string) {
	const hex = "0123456789abcdef"
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	b.WriteByte('"')
	for _, r := range s {
		if esc, ok := short[r]; ok {
			b.WriteString(esc)
		} else if r < 0x20 {
			b.WriteString(`\u00`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&15])
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// Parse reads an answer of this task; see ParseAnswer.
func (t *Task) Parse(answer string) (Fields, error) { return ParseAnswer(t.FieldNames(), answer) }

// ParseAnswer reads the named fields from an answer: one JSON object, perhaps in a code fence, and nothing else. Strings are
// taken as they are, numbers and truth values as written, null as empty. Fields of other names are left out here; the schema
// check refuses them. A field that is absent stays absent.
func ParseAnswer(names []string, answer string) (Fields, error) {
	object, err := parseObject(answer)
	if err != nil {
		return nil, err
	}
	fields := Fields{}
	for _, name := range names {
		raw, ok := object[name]
		if !ok {
			continue
		}
		switch raw[0] {
		case '{', '[':
			return nil, fmt.Errorf("answer: field %s is %.20s, want a string", name, raw)
		case '"':
			var s string
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("answer: field %s: %w", name, err)
			}
			fields[name] = s
		case 'n':
			fields[name] = ""
		default:
			fields[name] = string(raw)
		}
	}
	return fields, nil
}

// parseObject reads exactly one JSON object and refuses a repeated key, which decoders read in different ways.
func parseObject(answer string) (map[string]json.RawMessage, error) {
	answer = unfence(answer)
	if !utf8.ValidString(answer) {
		return nil, errors.New("answer: not UTF-8")
	}
	dec := json.NewDecoder(strings.NewReader(answer))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, fmt.Errorf("answer: begins with %.20q, want one JSON object", answer)
	}
	object := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
		name, _ := key.(string)
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("answer: field %s twice", name)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, fmt.Errorf("answer: field %s: %w", name, err)
		}
		object[name] = bytes.TrimSpace(raw)
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("answer: object is not closed: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("answer: text after the object")
	}
	return object, nil
}

// unfence drops blanks around an answer and the code fence that chat models like to put there.
func unfence(s string) string {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "```"); ok {
		if body, ok := strings.CutSuffix(rest, "```"); ok {
			return strings.TrimSpace(strings.TrimPrefix(body, "json"))
		}
	}
	return s
}

// Complete reports whether an answer is one JSON object with exactly the named fields.
func Complete(names []string, answer string) bool {
	object, err := parseObject(answer)
	if err != nil || len(object) != len(names) {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return object[name] == nil })
}
