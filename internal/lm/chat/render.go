package chat

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"retort/internal/format/jinja"
)

// conversation is what a template is given, and what it must show of it.
type conversation struct {
	messages []any
	tools    any // nil for none
	owed     []owed
}

// owed is text that a rendered conversation must hold. Its place in conversation.owed is its tag less one.
type owed struct {
	what  string // for the error
	blank bool   // there is nothing to be seen, so nothing is missed
}

// owe gives a tag to text that must be shown.
func (v *conversation) owe(text, format string, a ...any) int {
	v.owed = append(v.owed, owed{fmt.Sprintf(format, a...), blank(text)})
	return len(v.owed)
}

// blank reports whether Python's strip leaves nothing of text.
func blank(text string) bool {
	return strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }) == ""
}

// missing names what text does not show, "" where all is there. One byte is enough: templates trim, escape and cut what
// they print.
func (v *conversation) missing(text jinja.Marked) string {
	seen := make([]bool, len(v.owed)+1)
	for _, sp := range text.Data {
		seen[sp.Tag] = true
	}
	for i, o := range v.owed {
		if !seen[i+1] && !o.blank {
			return o.what
		}
	}
	return ""
}

// render fills in the template with the variables that transformers' apply_chat_template passes. It is an error where
// a message's content, a call, a result or a tool does not show in the result. Reasoning need not: templates leave that
// of earlier turns out.
func (c *Chat) render(msgs []Message, o Options) (jinja.Marked, error) {
	v, err := c.converse(msgs, o.Tools)
	if err != nil {
		return jinja.Marked{}, fmt.Errorf("chat: %w", err)
	}
	text, err := c.template.Mark(c.variables(v, o))
	if err != nil {
		var e *jinja.Error
		if errors.As(err, &e) {
			e.Msg = strings.Join(strings.Fields(e.Msg), " ") // a template may raise lines
		}
		return text, fmt.Errorf("chat: template: %w", err)
	}
	if what := v.missing(text); what != "" {
		return text, fmt.Errorf("chat: the model's template does not show %s", what)
	}
	return text, nil
}

// variables are the names that a template may read.
func (c *Chat) variables(v *conversation, o Options) map[string]any {
	vars := map[string]any{"tools": nil, "documents": nil}
	for name, v := range o.Vars {
		vars[name] = jinja.AsData(v)
	}
	if v.tools != nil {
		vars["tools"] = v.tools
	}
	vars["messages"] = v.messages
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
	return vars
}

// converse makes the variables of a conversation, in the form that the template reads.
func (c *Chat) converse(msgs []Message, tools []Tool) (*conversation, error) {
	v := &conversation{messages: []any{}}
	for i := range msgs {
		if err := msgs[i].check(); err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
	}
	for _, t := range c.reads.turns(msgs) {
		m, err := c.message(v, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name(), err)
		}
		v.messages = append(v.messages, m)
	}
	var list []any
	for i, tool := range tools {
		t, err := v.tool(tool, i)
		if err != nil {
			return nil, fmt.Errorf("tool %d (%s): %w", i+1, tool.Name, err)
		}
		list = append(list, t)
	}
	if list != nil {
		v.tools = list
	}
	return v, nil
}

// turn is a message as the template is shown it.
type turn struct {
	Message
	at   int    // the message's place in the conversation
	role string // that it had there
}

func (t *turn) name() string { return fmt.Sprintf("message %d (%s)", t.at+1, t.role) }

// turns gives messages roles that the template shows. Where it has no system role, that text goes before the text of
// the user's turn that follows, with a blank line between (llama.cpp puts one line break), or is a turn of a user's own
// where none follows.
func (r *reads) turns(msgs []Message) []turn {
	var out []turn
	var system *turn // waits for a user
	for i, msg := range msgs {
		t := turn{msg, i, msg.Role}
		if t.Role == "developer" && r.noDeveloper {
			t.Role = "system"
		}
		if t.Role == "system" && r.noSystem {
			t.Role = "user"
			if system != nil {
				t.Content, t.Parts = system.text()+"\n\n"+t.text(), nil
			}
			system = &t
			continue
		}
		switch {
		case system != nil && t.Role == "user":
			t.Content, t.Parts = system.text()+"\n\n"+t.text(), nil
		case system != nil:
			out = append(out, *system)
		}
		system = nil
		if r.callsApart && len(t.ToolCalls) > 0 && t.text() != "" {
			said := t
			said.ToolCalls = nil
			t.Content, t.Parts, t.Reasoning = "", nil, ""
			out = append(out, said)
		}
		out = append(out, t)
	}
	if system != nil {
		out = append(out, *system)
	}
	return out
}

// message makes the variable of one turn.
func (c *Chat) message(v *conversation, t turn) (*jinja.Map, error) {
	m := &jinja.Map{}
	m.Set("role", t.Role)
	text := t.text()
	owed := text
	if t.Role == "assistant" && strings.Contains(text, thinkClose) {
		owed = "" // templates cut off what stands before the mark, and that may be all
	}
	tag := v.owe(owed, "%s", t.name())
	switch {
	case c.reads.parts[t.Role]:
		m.Set("content", parts(t.Message, tag))
	case c.reads.nullContent && text == "" && len(t.ToolCalls) > 0:
		m.Set("content", nil)
	default:
		m.Set("content", jinja.Tag(text, tag))
	}
	if t.Reasoning != "" {
		m.Set("reasoning_content", jinja.Data(t.Reasoning))
	}
	if t.ToolCallID != "" {
		m.Set("tool_call_id", jinja.Data(t.ToolCallID))
	}
	if t.Name != "" {
		m.Set("name", jinja.Data(t.Name))
	}
	var calls []any
	for i, call := range t.ToolCalls {
		got, err := c.call(v, call, fmt.Sprintf("%s: tool call %d (%s)", t.name(), i+1, call.Name))
		if err != nil {
			return nil, fmt.Errorf("tool call %d (%s): %w", i+1, call.Name, err)
		}
		calls = append(calls, got)
	}
	if calls != nil {
		m.Set("tool_calls", calls)
	}
	return m, nil
}

// parts is a message's content as a list.
func parts(msg Message, tag int) []any {
	if msg.Parts == nil {
		msg.Parts = []Part{{"text", msg.Content}}
	}
	list := make([]any, len(msg.Parts))
	for i, p := range msg.Parts {
		part := &jinja.Map{}
		part.Set("type", "text")
		part.Set("text", jinja.Tag(p.Text, tag))
		list[i] = part
	}
	return list
}

// call makes the variable of a tool call, OpenAI's object with arguments as text or as the object they are.
func (c *Chat) call(v *conversation, call ToolCall, what string) (*jinja.Map, error) {
	text := call.Arguments
	if strings.TrimSpace(text) == "" {
		text = "{}"
	}
	args, err := jinja.FromJSON([]byte(text), false)
	if err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	object, ok := args.(*jinja.Map)
	if !ok {
		return nil, fmt.Errorf("arguments are %.40q, want a JSON object", text)
	}
	owed := text
	if object.Len() == 0 {
		owed = ""
	}
	tag := v.owe(owed, "the arguments of %s", what)
	f := &jinja.Map{}
	f.Set("name", jinja.Tag(call.Name, v.owe(call.Name, "%s", what)))
	if c.reads.textArguments {
		f.Set("arguments", jinja.Tag(text, tag))
	} else {
		f.Set("arguments", jinja.Tag(object, tag))
	}
	m := &jinja.Map{}
	if call.ID != "" {
		m.Set("id", jinja.Data(call.ID))
	}
	m.Set("type", "function")
	m.Set("function", f)
	return m, nil
}

// tool makes the variable of a tool.
func (v *conversation) tool(t Tool, i int) (*jinja.Map, error) {
	tag := v.owe("x", "tool %d (%s)", i+1, t.Name)
	f := &jinja.Map{}
	f.Set("name", jinja.Tag(t.Name, tag))
	if t.Description != "" {
		f.Set("description", jinja.Data(t.Description))
	}
	if t.Parameters != nil {
		schema, err := jinja.FromJSON(t.Parameters, true)
		if err != nil {
			return nil, fmt.Errorf("parameters: %w", err)
		}
		f.Set("parameters", schema)
	}
	m := &jinja.Map{}
	m.Set("type", "function")
	m.Set("function", f)
	return m, nil
}
