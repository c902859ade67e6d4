package chat

import (
	"fmt"
	"strings"
)

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
