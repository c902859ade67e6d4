package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxName bounds a function's name, an argument's and the like, in bytes.
const maxName = 256

// call is the state of a call that is being read.
type call struct {
	step     int
	raw      strings.Builder // what was taken of it, the white space before it too: what comes back if it is broken
	id, name string
	begun    bool // CallBegin was told
	bare     bool // an object without a mark
	scan     jsonScan
	started  bool // scan has seen a byte
	object   jsonObject
	tags     tagState
}

// take moves n bytes from the held text to those of the call.
func (s *Splitter) take(n int) {
	s.call.raw.WriteString(s.held[:n])
	s.held = s.held[n:]
}

// space takes white space.
func (s *Splitter) space() { s.take(len(s.held) - len(strings.TrimLeft(s.held, blanks))) }

// arguments tells more of the arguments, and before the first of them that a call begins.
func (s *Splitter) arguments(text string) {
	if text == "" {
		return
	}
	if !s.call.begun {
		s.call.begun = true
		if s.call.id == "" {
			s.call.id = fmt.Sprintf("call_%d", s.count)
		}
		s.events = append(s.events, Event{Kind: CallBegin, Call: s.count, ID: s.call.id, Name: s.call.name})
	}
	s.tell(CallArguments, text)
}

// named takes a name from a form's own place for it.
func (s *Splitter) named(text string) bool {
	s.call.name = strings.TrimSpace(text)
	return s.call.name != ""
}

// identified takes functions.NAME:0, which is the id too.
func (s *Splitter) identified(text string) bool {
	s.call.id = strings.TrimSpace(text)
	name, _, ok := cutLast(s.call.id, ":")
	return ok && s.named(strings.TrimPrefix(name, "functions."))
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

// literal wants text, which may have white space before it.
func literal(text string) step {
	return func(s *Splitter) verdict {
		s.space()
		return s.match(text)
	}
}

// match takes text from the front.
func (s *Splitter) match(text string) verdict {
	switch {
	case strings.HasPrefix(s.held, text):
		s.take(len(text))
		return done
	case strings.HasPrefix(text, s.held):
		return waiting
	}
	return broken
}

// until takes a short text and the mark that ends it, and gives it to set, nil for none.
func until(mark string, set func(s *Splitter, text string) bool) step {
	return func(s *Splitter) verdict {
		at := strings.Index(s.held, mark)
		switch {
		case at > maxName || at < 0 && len(s.held) >= maxName+len(mark):
			return broken
		case at < 0:
			return waiting
		}
		text := s.held[:at]
		s.take(at + len(mark))
		if set != nil && !set(s, text) {
			return broken
		}
		return done
	}
}

// object takes a JSON object and tells it as the arguments.
func object(s *Splitter) verdict {
	if !s.call.started {
		s.space()
		if s.held == "" {
			return waiting
		}
		if s.held[0] != '{' {
			return broken
		}
		s.call.started = true
	}
	return s.value()
}

// value takes a JSON value and tells it as it comes.
func (s *Splitter) value() verdict {
	for i := range len(s.held) {
		got := s.call.scan.step(s.held[i])
		if got == more {
			continue
		}
		if got == ended {
			i++
		}
		s.arguments(s.held[:i])
		s.take(i)
		if got == invalid {
			return broken
		}
		return done
	}
	s.arguments(s.held)
	s.take(len(s.held))
	return waiting
}

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
	case key == "id" && isText && !s.call.begun:
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

// quoted is text as JSON, with nothing escaped that need not be.
func quoted(text string) string { return `"` + escaped(text) + `"` }

func escaped(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// tagState is where in DeepSeek's tags a call stands.
type tagState struct {
	at   int  // one of the states below
	some bool // an argument was told
}

const (
	betweenTags = iota
	inTextTag
	inValueTag
	closingTag
)

const (
	paramOpen   = "<" + dsml + `parameter name="`
	paramClose  = "</" + dsml + "parameter>"
	invokeClose = "</" + dsml + "invoke>"
)

// parameters takes arguments, each in a tag that says whether it is text or JSON, and the end of the call.
func parameters(s *Splitter) verdict {
	for {
		v := done
		switch s.call.tags.at {
		case betweenTags:
			v = s.betweenTags()
		case inTextTag:
			v = s.textTag()
		case inValueTag:
			if s.call.scan.state == beforeValue && len(s.call.scan.open) == 0 {
				s.space()
			}
			if v = s.value(); v == done {
				s.call.tags.at = closingTag
			}
		case closingTag:
			s.space()
			if v = s.match(paramClose); v == done {
				s.call.tags.at = betweenTags
			}
		}
		if v != done {
			return v
		}
	}
}

func (s *Splitter) betweenTags() verdict {
	t := &s.call.tags
	s.space()
	if !strings.HasPrefix(s.held, paramOpen) {
		if v := s.match(invokeClose); v != done {
			if v == broken && strings.HasPrefix(paramOpen, s.held) {
				return waiting
			}
			return v
		}
		if !t.some {
			s.arguments("{")
		}
		s.arguments("}")
		return complete
	}
	tag := s.held[len(paramOpen):]
	at := strings.Index(tag, `">`)
	switch {
	case at > maxName || at < 0 && len(tag) >= maxName+2:
		return broken
	case at < 0:
		return waiting
	}
	key, kind, ok := cutLast(tag[:at], `" string="`)
	if !ok || kind != "true" && kind != "false" {
		return broken
	}
	s.take(len(paramOpen) + at + 2)
	start := "{"
	if t.some {
		start = ", "
	}
	t.some = true
	s.arguments(start + quoted(key) + ": ")
	t.at = inValueTag
	s.call.scan = jsonScan{}
	if kind == "true" {
		t.at = inTextTag
		s.arguments(`"`)
	}
	return done
}

// textTag takes text up to the tag that closes it.
func (s *Splitter) textTag() verdict {
	if at := strings.Index(s.held, paramClose); at >= 0 {
		s.arguments(escaped(s.held[:at]) + `"`)
		s.take(at + len(paramClose))
		s.call.tags.at = betweenTags
		return done
	}
	n := len(s.held) - partial(s.held, paramClose)
	s.arguments(escaped(s.held[:n]))
	s.take(n)
	return waiting
}
