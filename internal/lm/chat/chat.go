// Package chat turns a conversation into the tokens that a model expects, and what the model answers into reasoning
// and content.
//
// What people write stays text: the template is rendered with every message marked as data, and only text of the
// template itself can become a special token. A message that spells <|im_end|> or </think> is encoded as those
// characters, wherever the template puts it and however it cuts it.
//
// The package runs no model. Start with Prompt, then encode.go and splitter.go.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"retort/internal/format/jinja"
	"retort/internal/format/tokenizer"
)

// ErrNoTemplate is returned by New where a model brings no chat template: a base model, which continues text.
var ErrNoTemplate = errors.New("chat: the model has no chat template; --raw runs it without one")

// The marks around reasoning in DeepSeek, Qwen and their kin.
const (
	thinkOpen  = "<think>"
	thinkClose = "</think>"
)

// Message is one turn.
type Message struct {
	Role      string // one of Roles
	Content   string
	Reasoning string // what an assistant thought before Content, without its marks; "" for none
}

// Roles are the roles a message may have. A template may refuse some.
var Roles = []string{"system", "developer", "user", "assistant", "tool"}

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
	// Vars are further variables of the template, such as tools; see jinja.FromJSON. All their text is data.
	Vars map[string]any
}

// Prompt is a conversation in tokens.
type Prompt struct {
	IDs []int
	// Thinking tells that the prompt ends inside a thinking block: the answer starts with reasoning.
	Thinking bool
}

// Chat is a model's template and tokenizer. It is safe for concurrent use.
type Chat struct {
	tok      *tokenizer.Tokenizer
	template *jinja.Template
	specials specials
	think    map[int]string // ids of the marks around reasoning, where they are tokens
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
	c := &Chat{tok: tok, template: t, specials: findSpecials(tok), think: map[int]string{}}
	for _, mark := range []string{thinkOpen, thinkClose} {
		if id, ok := tok.ID(mark); ok {
			c.think[id] = mark
		}
	}
	return c, nil
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
	p := Prompt{Thinking: opensThinking(text)}
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

// render fills in the template with the variables that transformers' apply_chat_template passes.
func (c *Chat) render(msgs []Message, o Options) (jinja.Marked, error) {
	list := make([]any, len(msgs))
	for i, msg := range msgs {
		if !slices.Contains(Roles, msg.Role) {
			return jinja.Marked{}, fmt.Errorf("chat: message %d: role %q, want one of %s", i+1, msg.Role, strings.Join(Roles, ", "))
		}
		m := &jinja.Map{}
		m.Set("role", msg.Role)
		m.Set("content", jinja.Data(msg.Content))
		if msg.Reasoning != "" {
			m.Set("reasoning_content", jinja.Data(msg.Reasoning))
		}
		list[i] = m
	}
	vars := map[string]any{"tools": nil, "documents": nil}
	for name, v := range o.Vars {
		vars[name] = jinja.AsData(v)
	}
	vars["messages"] = list
	vars["add_generation_prompt"] = !o.Finished
	for name, id := range map[string]int{"bos_token": c.tok.BOS, "eos_token": c.tok.EOS, "pad_token": c.tok.PAD, "unk_token": c.tok.UNK} {
		if id >= 0 {
			vars[name] = c.tok.Token(id)
		} else {
			delete(vars, name)
		}
	}
	if o.Thinking != ThinkAuto {
		for _, name := range []string{"enable_thinking", "thinking", "open_thinking"} { // Qwen, DeepSeek, minimind
			vars[name] = o.Thinking == ThinkOn
		}
	}
	if o.Effort != "" {
		vars["reasoning_effort"] = jinja.Data(o.Effort)
	}
	text, err := c.template.Mark(vars)
	if err != nil {
		return text, fmt.Errorf("chat: template: %w", err)
	}
	return text, nil
}

// opensThinking reports whether the template's own text at the end of a prompt leaves a thinking block open.
func opensThinking(text jinja.Marked) bool {
	tail := text.Text
	if n := len(text.Data); n > 0 {
		tail = tail[text.Data[n-1].End:]
	}
	at := strings.LastIndex(tail, thinkOpen)
	return at >= 0 && strings.TrimSpace(tail[at+len(thinkOpen):]) == ""
}

// AppendToken appends the text of a token that a model chose, for a Splitter: that of the marks around reasoning too,
// which some vocabularies call control tokens.
func (c *Chat) AppendToken(dst []byte, id int) []byte {
	if mark, ok := c.think[id]; ok {
		return append(dst, mark...)
	}
	return c.tok.AppendToken(dst, id)
}
