package chat

import (
	"strings"

	"retort/internal/format/jinja"
)

// reads is how a template wants its input. The zero value is what most want.
type reads struct {
	parts         map[string]bool // roles whose content it reads as a list of parts
	noSystem      bool            // it has no role system
	noDeveloper   bool            // it has no role developer: that is what OpenAI calls system
	textArguments bool            // the arguments of calls are text for it, not an object
	nullContent   bool            // it shows calls only where content is none
	callsApart    bool            // it shows calls only where the message says nothing else
	closing       string          // what it writes between reasoning and content
	calls         *callForm       // how it writes calls, nil where that is none of the forms known here
}

// The texts of a probe: no template holds them.
const (
	probeUser   = "retortProbeUser"
	probeText   = "retortProbeText"
	probeSystem = "retortProbeSystem"
	probeName   = "retort_probe_name"
	probeKey    = "retort_probe_key"
	probeResult = "retortProbeResult"
)

// probe finds out how the template wants its input: render tells what it does not show, so of the forms of each kind of
// message the first that shows all is taken. Where none does, the plain one stays, and render's error is the user's.
//
// The questions are those of minja and of llama.cpp's common/jinja/caps.cpp.
func (c *Chat) probe() {
	c.reads.parts = map[string]bool{}
	user := Message{Role: "user", Content: probeUser}
	said := Message{Role: "assistant", Content: probeText}
	result := Message{Role: "tool", Content: probeResult, Name: probeName, ToolCallID: "call00001"}
	c.probeRole("user", nil, user)
	c.probeRole("system", &c.reads.noSystem, Message{Role: "system", Content: probeSystem}, user)
	c.probeRole("developer", &c.reads.noDeveloper, Message{Role: "developer", Content: probeSystem}, user)
	c.probeRole("assistant", nil, user, said, user)
	if !c.probeCalls(user, result) {
		c.probeRole("tool", nil, user, said, result)
	}
	c.probeThinking(user)
}

// works reports whether a conversation shows.
func (c *Chat) works(msgs ...Message) bool {
	_, err := c.render(msgs, Options{})
	return err == nil
}

// probeRole asks for a role in msgs, first as it is, then in parts, then with a switch on, nil for none.
func (c *Chat) probeRole(role string, on *bool, msgs ...Message) {
	if c.works(msgs...) {
		return
	}
	c.reads.parts[role] = true
	if c.works(msgs...) {
		return
	}
	delete(c.reads.parts, role)
	if on != nil {
		*on = true
		*on = c.works(msgs...)
	}
}

// probeCalls asks for calls, and for their results if it can. It reports whether it could.
func (c *Chat) probeCalls(user, result Message) bool {
	calling := Message{Role: "assistant", ToolCalls: []ToolCall{{result.ToolCallID, probeName, `{"` + probeKey + `": "x"}`}}}
	msgs := []Message{user, calling, result}
	answered := c.probeForms(msgs)
	if !answered {
		msgs = msgs[:2]
		if !c.probeForms(msgs) {
			return false
		}
	}
	if msgs[1].Content = probeText; !c.works(msgs...) {
		c.reads.callsApart = true
		c.reads.callsApart = c.works(msgs...)
	}
	return answered
}

// probeForms looks for the form of arguments, content and results that shows a call.
func (c *Chat) probeForms(msgs []Message) bool {
	for i := range 8 {
		c.reads.textArguments, c.reads.nullContent, c.reads.parts["tool"] = i&1 != 0, i&2 != 0, i&4 != 0
		text, err := c.render(msgs, Options{})
		// Arguments printed as Python prints a dict, or as JSON inside of JSON, are not what the model learned.
		if err == nil && strings.Contains(text.Text, `"`+probeKey+`"`) {
			c.reads.calls = findForm(between(text))
			return true
		}
	}
	c.reads.textArguments, c.reads.nullContent = false, false
	delete(c.reads.parts, "tool")
	return false
}

// between is what a rendered probe has behind the user's text and before the tool's result.
func between(text jinja.Marked) string {
	_, s, _ := strings.Cut(text.Text, probeUser)
	s, _, _ = strings.Cut(s, probeResult)
	return s
}
