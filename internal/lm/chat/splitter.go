package chat

import (
	"strings"

	"retort/internal/format/tokenizer"
)

// Splitter parts what a model writes, as it comes, into reasoning, content and calls of tools. Reasoning is what stands
// between <think> and </think>, where an answer starts with it or the prompt had opened it. The marks go, and with them
// the line break behind the first and before the second, and up to two behind the second. What may yet turn out to be
// part of a mark is held back; so is a UTF-8 sequence that is not whole.
//
// Calls are looked for where the prompt was made with tools, in the form that its template writes. The white space
// before and between them goes. Where the text is cut when it comes does not show in what is told, all pieces joined.
type Splitter struct {
	state  splitState
	stream tokenizer.Stream
	held   string // text that is not told yet
	breaks int    // line breaks that may still be dropped at the start of what comes
	end    bool   // no text follows
	events []Event
	bytes  []byte

	chat      *Chat
	form      *callForm // nil where no calls are looked for
	tools     []string
	call      call
	count     int  // calls that were begun before
	inSection bool // the form's section is open
	called    bool // it holds a call
	wrote     bool // content was told, behind the last call
}

type splitState int

const (
	atStart splitState = iota // nothing but white space so far
	inReasoning
	inContent
	betweenCalls // inside of a section
	inCall
)

// Event is a piece of an answer.
type Event struct {
	Kind EventKind
	Text string // of Reasoning, Content, CallArguments and CallBroken
	Call int    // place of the call in the answer, from 0; of the kinds that start with Call
	ID   string // of CallBegin: what the model wrote, else call_ and the place
	Name string // of CallBegin: the function's
}

// EventKind says what an Event is.
type EventKind int

const (
	Reasoning     EventKind = iota
	Content                 // text of the answer
	CallBegin               // a call's name is known
	CallArguments           // more of the call's arguments, which joined are a JSON object
	CallEnd                 // the call is whole
	// CallBroken takes back a call that has begun: it was cut off, or is not JSON. Text is all of it as the model wrote
	// it, and belongs to the content. A call that has not begun yet is Content at once.
	CallBroken
)

// blanks are what may stand around the marks of calls.
const blanks = " \t\r\n"

// NewSplitter makes a splitter for the answer to p.
func NewSplitter(p Prompt) *Splitter {
	s := &Splitter{chat: p.chat}
	if p.Thinking {
		s.state, s.breaks = inReasoning, 1
	}
	if len(p.tools) > 0 {
		s.form, s.tools = p.chat.reads.calls, p.tools
	}
	return s
}

// Token takes the next token, for a Prompt that a Chat made, and returns what it settles. The list is valid until the
// next call.
func (s *Splitter) Token(id int) []Event {
	s.bytes = s.AppendToken(s.bytes[:0], id)
	return s.Text(s.bytes)
}

// AppendToken appends the bytes that Token reads: those of text, and of the marks around reasoning and calls.
func (s *Splitter) AppendToken(dst []byte, id int) []byte { return s.chat.appendToken(dst, id, s.form) }

// Text is Token for the bytes of further tokens.
func (s *Splitter) Text(b []byte) []Event {
	s.held += s.stream.Next(b)
	return s.split()
}

// Finish ends the answer and returns what was held back. Reasoning that was cut off stays reasoning, and a call that was
// cut off is content.
func (s *Splitter) Finish() []Event {
	s.held += s.stream.Flush()
	s.end = true
	return s.split()
}

// Write is Text for callers that know no tools: all that is not reasoning is content, and calls are left out.
func (s *Splitter) Write(b []byte) (reasoning, content string) { return plain(s.Text(b)) }

// Close is Finish for such callers.
func (s *Splitter) Close() (reasoning, content string) { return plain(s.Finish()) }

func plain(events []Event) (reasoning, content string) {
	for _, e := range events {
		switch e.Kind {
		case Reasoning:
			reasoning += e.Text
		case Content, CallBroken:
			content += e.Text
		}
	}
	return reasoning, content
}

// Thinking reports whether the answer stands inside its reasoning.
func (s *Splitter) Thinking() bool { return s.state == inReasoning }

// tell adds text to what is returned.
func (s *Splitter) tell(kind EventKind, text string) {
	if text == "" {
		return
	}
	if kind == Content {
		s.wrote = true
	}
	if n := len(s.events); n > 0 && s.events[n-1].Kind == kind {
		s.events[n-1].Text += text
		return
	}
	e := Event{Kind: kind, Text: text}
	if kind == CallArguments {
		e.Call = s.count
	}
	s.events = append(s.events, e)
}

// split moves on as far as the held text allows; at the end all of it is settled.
func (s *Splitter) split() []Event {
	s.events = s.events[:0]
	if s.state == atStart {
		s.start()
	}
	if s.state == inReasoning {
		s.tell(Reasoning, s.reason())
	}
	if s.state >= inContent {
		s.dropBreaks()
	}
	for moved := true; moved; {
		switch s.state {
		case inContent:
			moved = s.content()
		case betweenCalls:
			moved = s.between()
		case inCall:
			moved = s.callStep()
		default:
			moved = false
		}
	}
	return s.events
}

// start decides whether the answer begins with <think>.
func (s *Splitter) start() {
	text := strings.TrimLeft(s.held, blanks)
	switch {
	case strings.HasPrefix(text, thinkOpen):
		s.state, s.breaks = inReasoning, 1
		s.held = text[len(thinkOpen):]
	case s.end || !strings.HasPrefix(thinkOpen, text):
		s.state = inContent
	}
}

// reason returns the reasoning up to </think>, or as much as cannot belong to it.
func (s *Splitter) reason() string {
	s.dropBreaks()
	if at := strings.Index(s.held, thinkClose); at >= 0 {
		text := strings.TrimSuffix(s.held[:at], "\n")
		s.held = s.held[at+len(thinkClose):]
		s.state, s.breaks = inContent, 2
		return text
	}
	keep := len(s.held)
	if !s.end {
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

// content tells content up to a call, and reports whether there is one.
func (s *Splitter) content() bool {
	if s.form == nil {
		s.tell(Content, s.held)
		s.held = ""
		return false
	}
	if s.form.bare && !s.wrote {
		skip := blanks
		if s.count > 0 {
			skip += ";" // what Llama 3.2 puts between calls
		}
		switch lead := strings.TrimLeft(s.held, skip); {
		case lead == "" && !s.end:
			return false
		case strings.HasPrefix(lead, "{"):
			s.open(len(s.held)-len(lead), inCall)
			s.call.bare = true
			return true
		}
	}
	at, n, state := len(s.held), 0, inContent
	for _, mark := range []string{s.form.section, s.form.open} {
		if i := strings.Index(s.held, mark); mark != "" && i >= 0 && i < at {
			at, n, state = i, len(mark), betweenCalls
			if mark == s.form.open {
				state = inCall
			}
		}
	}
	if state != inContent {
		before := strings.TrimRight(s.held[:at], blanks)
		s.tell(Content, before)
		s.held = s.held[len(before):]
		s.open(at+n-len(before), state)
		return true
	}
	if s.end {
		if s.count == 0 || s.wrote || strings.TrimLeft(s.held, blanks) != "" {
			s.tell(Content, s.held)
		}
		s.held = ""
		return false
	}
	at -= max(partial(s.held, s.form.section), partial(s.held, s.form.open))
	before := strings.TrimRight(s.held[:at], blanks)
	s.tell(Content, before)
	s.held = s.held[len(before):]
	return false
}

// open takes n bytes of white space and mark, behind which calls begin.
func (s *Splitter) open(n int, state splitState) {
	s.call = call{}
	s.take(n)
	s.state, s.inSection, s.called = state, state == betweenCalls, false
}

// between reads what follows the start of a section, or a call inside of one.
func (s *Splitter) between() bool {
	s.space()
	open, end := s.form.open, s.form.end
	switch {
	case strings.HasPrefix(s.held, open):
		s.take(len(open))
		s.state = inCall
		return true
	case !s.end && (strings.HasPrefix(open, s.held) || strings.HasPrefix(end, s.held)):
		return false
	case strings.HasPrefix(s.held, end):
		s.take(len(end))
	case s.called: // the section ends without its mark
		s.held = s.call.raw.String() + s.held
	}
	if !s.called {
		s.tell(Content, s.call.raw.String())
	}
	s.state = inContent
	return true
}

// callStep reads the next part of a call, and reports whether there was all of it.
func (s *Splitter) callStep() bool {
	v := s.form.steps[s.call.step](s)
	if v == waiting && s.end {
		v = broken
	}
	if v == done {
		if s.call.step++; s.call.step == len(s.form.steps) {
			v = complete
		}
	}
	switch v {
	case waiting:
		return false
	case complete:
		s.events = append(s.events, Event{Kind: CallEnd, Call: s.count})
		s.count++
		s.called, s.wrote = true, false
		s.state = inContent
		if s.inSection {
			s.state = betweenCalls
		}
		s.call = call{}
	case broken:
		s.state = inContent
		if !s.call.begun {
			s.tell(Content, s.call.raw.String())
			break
		}
		s.events = append(s.events, Event{Kind: CallBroken, Text: s.call.raw.String(), Call: s.count})
		s.count++
		s.wrote = true
	}
	return true
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
