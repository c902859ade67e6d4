package chat

import (
	"slices"
	"strings"

	"retort/internal/format/jinja"
	"retort/internal/format/tokenizer"
)

// The marks around reasoning in DeepSeek, Qwen and their kin.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// opensThinking reports whether the template's own text at the end of a prompt leaves a thinking block open.
func opensThinking(text jinja.Marked) bool {
	tail := ownTail(text)
	at := strings.LastIndex(tail, thinkOpen)
	return at >= 0 && strings.TrimSpace(tail[at+len(thinkOpen):]) == ""
}

// ownTail is the template's own text behind the last of a message.
func ownTail(text jinja.Marked) string {
	if n := len(text.Data); n > 0 {
		return text.Text[text.Data[n-1].End:]
	}
	return text.Text
}

// probeThinking finds out what the template writes behind reasoning: from a turn that has some, or else from the empty
// block that it writes where no thinking is wanted, or else it is what Qwen and R1 write themselves.
func (c *Chat) probeThinking(user Message) {
	c.reads.closing = "\n" + thinkClose + "\n\n"
	thought := Message{Role: "assistant", Content: probeText, Reasoning: probeResult}
	if text, err := c.render([]Message{user, thought}, Options{Thinking: ThinkOn, Finished: true}); err == nil {
		_, behind, _ := strings.Cut(text.Text, probeResult)
		behind, _, _ = strings.Cut(behind, probeText)
		if strings.Contains(behind, thinkClose) {
			c.reads.closing = behind
			return
		}
	}
	if text, err := c.render([]Message{user}, Options{Thinking: ThinkOff}); err == nil {
		_, block, _ := strings.Cut(ownTail(text), thinkOpen)
		if strings.Contains(block, thinkClose) {
			c.reads.closing = strings.TrimPrefix(block, "\n")
		}
	}
}

// CloseThinking returns the tokens that end reasoning as the model's template does, and leave the model at the start
// of its content: what a caller puts behind an answer that has thought long enough. Outside of reasoning it is nil.
func (s *Splitter) CloseThinking() []int {
	if !s.Thinking() || s.chat == nil {
		return nil
	}
	text := s.chat.reads.closing
	if strings.HasSuffix(s.held, "\n") {
		text = strings.TrimPrefix(text, "\n")
	}
	return s.chat.tok.Encode(text, tokenizer.Options{Special: true})
}

// Straddling lists the tokens that, coming next, would end the reasoning and begin the content at once. A grammar that
// binds the content starts with a token, so where there is one these must not be chosen: then reasoning ends with a
// token, Thinking is false behind it, and all that the next tokens hold is content, save for up to two line breaks at
// its start. Outside of reasoning the list is empty.
func (s *Splitter) Straddling() []int {
	if !s.Thinking() || s.chat == nil {
		return nil
	}
	had := s.held[len(s.held)-partial(s.held, thinkClose):]
	var out []int
	for _, e := range s.chat.enders() {
		if _, behind, ok := strings.Cut(had+e.text, thinkClose); ok && content(behind) {
			out = append(out, e.id)
		}
	}
	return out
}

// content reports whether a Splitter would tell anything of text behind </think>.
func content(text string) bool { return strings.TrimPrefix(strings.TrimPrefix(text, "\n"), "\n") != "" }

// ender is a token that may hold the end of </think> and content behind it.
type ender struct {
	id   int
	text string
}

// findEnders lists them.
func (c *Chat) findEnders() []ender {
	var out []ender
	var buf []byte
	for id := range c.tok.Vocab() {
		buf = c.AppendToken(buf[:0], id)
		text := string(buf)
		at := strings.IndexByte(text, '>')
		ends := at >= 0 && strings.HasSuffix(thinkClose, text[:at+1]) && content(text[at+1:])
		if at = strings.Index(text, thinkClose); ends || at >= 0 && content(text[at+len(thinkClose):]) {
			out = append(out, ender{id, text})
		}
	}
	return slices.Clip(out)
}
