package chat

import (
	"encoding/json"
	"slices"
	"strings"
)

// jsonObject is the state of a call that is one JSON object.
type jsonObject struct {
	scan      jsonScan
	keys      []string
	text      []byte // of the key or value at hand
	inValue   bool
	streaming bool   // the value at hand is told as it comes
	args      string // that came before the name
	hasArgs   bool
}

// jsonCall takes {"name": …, "arguments": {…}}, keys in any order; parameters is another word for arguments, and
// arguments that are a string hold the object. Bare, it may be somebody's data, and is a call only if it has a tool's
// name, arguments, and no keys beside these.
func jsonCall(bare bool) step {
	return func(s *Splitter) verdict {
		o := &s.call.object
		if len(o.scan.open) == 0 {
			s.space()
			if s.held == "" {
				return waiting
			}
			if s.held[0] != '{' {
				return broken
			}
		}
		var out []byte
		v := waiting
		i := 0
		for i < len(s.held) && v == waiting {
			if v = s.objectByte(s.held[i], bare, &out); v != broken {
				i++
			}
		}
		s.arguments(string(out))
		s.take(i)
		return v
	}
}

// objectByte takes the next byte of a call that is an object. What of the arguments can be told is added to out.
func (s *Splitter) objectByte(b byte, bare bool, out *[]byte) verdict {
	o := &s.call.object
	was, top := o.scan.state, len(o.scan.open) == 1
	got := o.scan.step(b)
	if got == invalid {
		return broken
	}
	switch {
	case top && was == beforeKey && o.scan.state == inString:
		o.text = append(o.text[:0], b)
	case top && was == beforeValue && !isJSONSpace(b):
		o.inValue, o.text = true, o.text[:0]
		o.streaming = b == '{' && s.call.name != "" && isArguments(o.keys[len(o.keys)-1])
		fallthrough
	case o.inValue:
		if o.streaming {
			*out = append(*out, b)
		} else {
			o.text = append(o.text, b)
		}
	case top:
		o.text = append(o.text, b)
		if was == inString && o.scan.state == beforeColon && !o.newKey(bare) {
			return broken
		}
	}
	if o.inValue && len(o.scan.open) <= 1 && (o.scan.state == behindValue || o.scan.state == beforeKey) {
		o.inValue = false
		if !s.member(bare, out) {
			return broken
		}
	}
	if got != ended {
		return waiting
	}
	if s.call.name == "" || bare && !o.hasArgs {
		return broken
	}
	if !o.hasArgs {
		*out = append(*out, "{}"...)
	}
	return done
}

func isArguments(key string) bool { return key == "arguments" || key == "parameters" }

// newKey takes the key at hand.
func (o *jsonObject) newKey(bare bool) bool {
	var key string
	if json.Unmarshal(o.text, &key) != nil || slices.Contains(o.keys, key) || isArguments(key) && slices.ContainsFunc(o.keys, isArguments) {
		return false
	}
	o.keys = append(o.keys, key)
	return !bare || isArguments(key) || slices.Contains([]string{"name", "type", "id"}, key)
}

// member takes the value at hand.
func (s *Splitter) member(bare bool, out *[]byte) bool {
	o := &s.call.object
	key := o.keys[len(o.keys)-1]
	var text string
	isText := !o.streaming && o.text[0] == '"' && json.Unmarshal(o.text, &text) == nil
	switch {
	case key == "name":
		s.call.name = text
		if text == "" || bare && !slices.Contains(s.tools, text) {
			return false
		}
		*out = append(*out, o.args...)
	case key == "id" && isText && !s.call.begun && len(*out) == 0: // else the call has been told without it
		s.call.id = text
	case isArguments(key):
		o.hasArgs = true
		if o.streaming {
			o.streaming = false
			return true
		}
		switch {
		case isText && isObject(text):
			o.args = strings.TrimSpace(text)
		case o.text[0] == '{':
			o.args = string(o.text)
		case string(o.text) == "null":
			o.args = "{}"
		default:
			return false
		}
		if s.call.name != "" {
			*out = append(*out, o.args...)
		}
	}
	return true
}

// isObject reports whether text is a JSON object.
func isObject(text string) bool {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") {
		return false
	}
	var scan jsonScan
	for i := range len(text) {
		switch scan.step(text[i]) {
		case invalid:
			return false
		case ended:
			return i == len(text)-1
		}
	}
	return false
}

// pythonCall takes NAME.call(KEY="VALUE", …), which ends the answer, and lets an object pass.
func pythonCall(s *Splitter) verdict {
	if s.call.bare {
		return done
	}
	s.space()
	if strings.HasPrefix(s.held, "{") {
		return done
	}
	if !s.end {
		return waiting
	}
	name, rest, ok := strings.Cut(strings.TrimRight(s.held, blanks), ".call(")
	rest, closed := strings.CutSuffix(rest, ")")
	if !ok || !closed || !slices.Contains(s.tools, name) {
		return broken
	}
	var args []string
	for rest != "" {
		key, text, ok := strings.Cut(rest, `="`)
		if !ok || strings.ContainsAny(key, `" `+"\n") {
			return broken
		}
		value, behind, next := strings.Cut(text, `", `)
		if !next {
			if value, ok = strings.CutSuffix(text, `"`); !ok {
				return broken
			}
		}
		args = append(args, quoted(key)+": "+quoted(value))
		rest = behind
	}
	s.call.name = name
	s.arguments("{" + strings.Join(args, ", ") + "}")
	s.take(len(s.held))
	return complete
}
