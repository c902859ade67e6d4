package chat

import (
	"strings"

	"retort/internal/format/tokenizer"
)

// Splitter parts what a model writes, as it comes, into reasoning and content. Reasoning is what stands between
// <think> and </think>, where an answer starts with it or the prompt had opened it. The marks go, and with them the
// line break behind the first and before the second, and up to two behind the second. What may yet turn out to be part
// of a mark is held back; so is a UTF-8 sequence that is not whole.
type Splitter struct {
	state  splitState
	stream tokenizer.Stream
	held   string // text that is not told yet
	breaks int    // line breaks that may still be dropped at the start of what comes
}

type splitState int

const (
	atStart splitState = iota // nothing but white space so far
	inReasoning
	inContent
)

// NewSplitter makes a splitter for the answer to p.
func NewSplitter(p Prompt) *Splitter {
	if p.Thinking {
		return &Splitter{state: inReasoning, breaks: 1}
	}
	return &Splitter{}
}

// Write takes the bytes of further tokens and returns what they settle.
func (s *Splitter) Write(b []byte) (reasoning, content string) {
	s.held += s.stream.Next(b)
	return s.split(false)
}

// Close ends the answer and returns what was held back. Reasoning that was cut off stays reasoning.
func (s *Splitter) Close() (reasoning, content string) {
	s.held += s.stream.Flush()
	return s.split(true)
}

// Thinking reports whether the answer stands inside its reasoning.
func (s *Splitter) Thinking() bool { return s.state == inReasoning }

// split moves on as far as the held text allows; with end all of it is settled.
func (s *Splitter) split(end bool) (reasoning, content string) {
	if s.state == atStart {
		s.start(end)
	}
	if s.state == inReasoning {
		reasoning = s.reason(end)
	}
	if s.state == inContent {
		s.dropBreaks()
		content, s.held = s.held, ""
	}
	return reasoning, content
}

// start decides whether the answer begins with <think>.
func (s *Splitter) start(end bool) {
	text := strings.TrimLeft(s.held, " \t\r\n")
	switch {
	case strings.HasPrefix(text, thinkOpen):
		s.state, s.breaks = inReasoning, 1
		s.held = text[len(thinkOpen):]
	case end || !strings.HasPrefix(thinkOpen, text):
		s.state = inContent
	}
}

// reason returns the reasoning up to </think>, or as much as cannot belong to it.
func (s *Splitter) reason(end bool) string {
	s.dropBreaks()
	if at := strings.Index(s.held, thinkClose); at >= 0 {
		text := strings.TrimSuffix(s.held[:at], "\n")
		s.held = s.held[at+len(thinkClose):]
		s.state, s.breaks = inContent, 2
		return text
	}
	keep := len(s.held)
	if !end {
		keep -= max(partial(s.held, "\n"+thinkClose), partial(s.held, thinkClose))
	}
	text := s.held[:keep]
	s.held = s.held[keep:]
	return text
}

// dropBreaks takes line breaks off the front, as many as may be.
func (s *Splitter) dropBreaks() {
	for s.breaks > 0 && strings.HasPrefix(s.held, "\n") {
		s.held = s.held[1:]
		s.breaks--
	}
	if s.held != "" {
		s.breaks = 0
	}
}

// partial is the length of the longest end of text that mark starts with, all of mark left out.
func partial(text, mark string) int {
	for n := min(len(text), len(mark)-1); n > 0; n-- {
		if strings.HasSuffix(text, mark[:n]) {
			return n
		}
	}
	return 0
}
