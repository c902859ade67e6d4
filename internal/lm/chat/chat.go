// Package chat turns a conversation into the tokens that a model expects, and what the model answers into reasoning,
// content and calls of tools.
//
// What people write stays text: the template is rendered with every message marked as data, and only text of the
// template itself can become a special token. A message that spells <|im_end|> or </think> is encoded as those
// characters, wherever the template puts it and however it cuts it.
//
// A template is asked at New how it wants its input (probe.go), and what it does not show of a conversation is an error.
//
// The package runs no model. Start with Prompt, then render.go, encode.go and splitter.go.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"retort/internal/format/jinja"
	"retort/internal/format/tokenizer"
)

// ErrNoTemplate is returned by New where a model brings no chat template: a base model, which continues text.
var ErrNoTemplate = errors.New("chat: the model has no chat template; --raw runs it without one")

// Thinking says whether a model that can should think before it answers.
type Thinking int

const (
	ThinkAuto Thinking = iota // as the template has it
	ThinkOn
	ThinkOff
)

// Options of a prompt. The zero value asks for an answer.
type Options struct {
	Thinking Thinking
	Effort   string // reasoning_effort of templates that know it; "" leaves it out
	// Finished renders the conversation alone, without opening the assistant's answer.
	Finished bool
	// Tools are what the model may call. With them, and only then, a Splitter looks for calls.
	Tools []Tool
	// Vars are further variables of the template; see jinja.FromJSON. All their text is data.
	Vars map[string]any
}

// Prompt is a conversation in tokens.
type Prompt struct {
	IDs []int
	// Thinking tells that the prompt ends inside a thinking block: the answer starts with reasoning.
	Thinking bool

	chat  *Chat
	tools []string // names of Options.Tools
}

// Chat is a model's template and tokenizer. It is safe for concurrent use.
type Chat struct {
	tok      *tokenizer.Tokenizer
	template *jinja.Template
	specials specials
	reads    reads
	think    map[int]string // the marks around reasoning that are tokens
	calls    map[int]string // the marks of calls that are tokens
	enders   func() []ender // see Splitter.Straddling
}

// New reads a model's chat template. An empty one is ErrNoTemplate.
func New(template string, tok *tokenizer.Tokenizer) (*Chat, error) {
	if strings.TrimSpace(template) == "" {
		return nil, ErrNoTemplate
	}
	t, err := jinja.Parse(template)
	if err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	c := &Chat{tok: tok, template: t, specials: findSpecials(tok)}
	c.probe()
	c.think = c.ids(thinkOpen, thinkClose)
	if c.reads.calls != nil {
		c.calls = c.ids(c.reads.calls.marks...)
	}
	c.enders = sync.OnceValue(c.findEnders)
	return c, nil
}

// ids are those of marks that are tokens.
func (c *Chat) ids(marks ...string) map[int]string {
	out := map[int]string{}
	for _, mark := range marks {
		if id, ok := c.tok.ID(mark); ok {
			out[id] = mark
		}
	}
	return out
}

// SetClock replaces the clock of templates that print a date. It may not be called while prompts are made.
func (c *Chat) SetClock(now func() time.Time) { c.template.Now = now }

// Prompt renders msgs and encodes the result. Where the vocabulary asks for a BOS and the template writes none, it is
// put in front.
func (c *Chat) Prompt(msgs []Message, o Options) (Prompt, error) {
	text, err := c.render(msgs, o)
	if err != nil {
		return Prompt{}, err
	}
	p := Prompt{Thinking: opensThinking(text), chat: c}
	for _, tool := range o.Tools {
		p.tools = append(p.tools, tool.Name)
	}
	if p.Thinking && o.Thinking == ThinkOff {
		// The template thinks always. An empty block is what Qwen's own template writes to prevent it.
		text.Text = strings.TrimRight(text.Text, "\n") + "\n\n" + thinkClose + "\n\n"
		p.Thinking = false
	}
	p.IDs = c.encode(text)
	if c.tok.AddBOS && c.tok.BOS >= 0 && (len(p.IDs) == 0 || p.IDs[0] != c.tok.BOS) {
		p.IDs = slices.Insert(p.IDs, 0, c.tok.BOS)
	}
	return p, nil
}

// AppendToken appends the text of a token that a model chose, for Splitter.Write: that of the marks around reasoning
// too, which some vocabularies call control tokens.
func (c *Chat) AppendToken(dst []byte, id int) []byte { return c.appendToken(dst, id, nil) }

// appendToken is AppendToken where calls of a form may come, whose marks are text too.
func (c *Chat) appendToken(dst []byte, id int, form *callForm) []byte {
	if mark, ok := c.think[id]; ok {
		return append(dst, mark...)
	}
	if form != nil {
		if mark, ok := c.calls[id]; ok {
			return append(dst, mark...)
		}
	}
	return c.tok.AppendToken(dst, id)
}
