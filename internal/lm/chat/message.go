package chat

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Message is one turn.
type Message struct {
	Role      string // one of Roles
	Content   string
	Parts     []Part     // the content where a client sends it in parts; Content is not read then
	Reasoning string     // what an assistant thought before Content, without its marks; "" for none
	ToolCalls []ToolCall // what an assistant wants called, behind Content

	ToolCallID string // of the role tool: the call that Content answers
	Name       string // of the function that gave a tool's result, or of who speaks; few templates print it
}

// Roles are the roles a message may have. A template may refuse some.
var Roles = []string{"system", "developer", "user", "assistant", "tool"}

// Part is a piece of a message's content.
type Part struct {
	Type string // "text" is the only one
	Text string
}

// ToolCall is a function that an assistant wants called.
type ToolCall struct {
	ID, Name  string
	Arguments string // a JSON object; "" is an empty one
}

// Tool is a function that a model may ask for.
type Tool struct {
	Name, Description string
	Parameters        json.RawMessage // the JSON Schema of its arguments, shown with its keys in this order; nil for none
}

// text is the content as one string. Parts are told apart by a line break, as in llama.cpp.
func (m *Message) text() string {
	if m.Parts == nil {
		return m.Content
	}
	list := make([]string, len(m.Parts))
	for i, p := range m.Parts {
		list[i] = p.Text
	}
	return strings.Join(list, "\n")
}

// check finds what no template could show.
func (m *Message) check() error {
	if !slices.Contains(Roles, m.Role) {
		return fmt.Errorf("role %q, want one of %s", m.Role, strings.Join(Roles, ", "))
	}
	for i, p := range m.Parts {
		if p.Type != "text" {
			return fmt.Errorf("part %d: type %q, want text", i+1, p.Type)
		}
	}
	if len(m.ToolCalls) > 0 && m.Role != "assistant" {
		return fmt.Errorf("tool calls of role %s, want assistant", m.Role)
	}
	for i, call := range m.ToolCalls {
		if call.Name == "" {
			return fmt.Errorf("tool call %d has no name", i+1)
		}
	}
	return nil
}

// Add puts what an event tells into an assistant's message: with the events of a whole answer it becomes that answer.
func (m *Message) Add(e Event) {
	switch e.Kind {
	case Reasoning:
		m.Reasoning += e.Text
	case Content:
		m.Content += e.Text
	case CallBegin:
		m.ToolCalls = append(m.ToolCalls, ToolCall{ID: e.ID, Name: e.Name})
	case CallArguments:
		m.ToolCalls[len(m.ToolCalls)-1].Arguments += e.Text
	case CallBroken:
		m.ToolCalls = m.ToolCalls[:len(m.ToolCalls)-1]
		m.Content += e.Text
	}
}
