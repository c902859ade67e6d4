package chat

import (
	"fmt"
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
