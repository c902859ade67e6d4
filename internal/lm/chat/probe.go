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

// probe finds out how the template wants its input: render tells what it does not show, so for each role the first form
// that shows all is taken. Where none does, the plain one stays and render's error is the user's.
//
// The questions are those of minja and of llama.cpp's common/jinja/caps.cpp.
func (c *Chat) probe() {
	c.reads.parts = map[string]bool{}
	works := func(msgs ...Message) bool {
		_, err := c.render(msgs, Options{})
		return err == nil
	}
	user := Message{Role: "user", Content: probeUser}
	// one asks for a role, first as it is, then in parts, then with other switches on.
	one := func(role string, others []*bool, msgs ...Message) {
		if works(msgs...) {
			return
		}
		c.reads.parts[role] = true
		if works(msgs...) {
			return
		}
		delete(c.reads.parts, role)
		for _, on := range others {
			*on = true
			if works(msgs...) {
				return
			}
			*on = false
		}
	}
	one("user", nil, user)
	one("system", []*bool{&c.reads.noSystem}, Message{Role: "system", Content: probeSystem}, user)
	one("developer", []*bool{&c.reads.noDeveloper}, Message{Role: "developer", Content: probeSystem}, user)
	one("assistant", nil, user, Message{Role: "assistant", Content: probeText}, user)
	c.probeCalls(user)
	c.probeThinking(user)
}

// probeCalls asks for calls and their results.
func (c *Chat) probeCalls(user Message) {
	call := []ToolCall{{ID: "call00001", Name: probeName, Arguments: `{"` + probeKey + `": "x"}`}}
	calling := Message{Role: "assistant", ToolCalls: call}
	result := Message{Role: "tool", Content: probeResult, Name: probeName, ToolCallID: call[0].ID}
	found := false
search:
	for _, msgs := range [][]Message{{user, calling, result}, {user, calling}} {
		for i := range 8 {
			c.reads.textArguments, c.reads.nullContent = i&1 != 0, i&2 != 0
			if i&4 != 0 {
				c.reads.parts["tool"] = true
			}
			text, err := c.render(msgs, Options{})
			// Arguments printed as Python prints a dict, or as JSON inside of JSON, are not what the model learned.
			if err == nil && strings.Contains(text.Text, `"`+probeKey+`"`) {
				c.reads.calls = findForm(between(text))
				found = true
				break search
			}
		}
		delete(c.reads.parts, "tool")
	}
	if !found {
		c.reads.textArguments, c.reads.nullContent = false, false
		return
	}
	calling.Content = probeText
	if _, err := c.render([]Message{user, calling, result}, Options{}); err != nil {
		c.reads.callsApart = true
		if _, err := c.render([]Message{user, calling, result}, Options{}); err != nil {
			c.reads.callsApart = false
		}
	}
}

// between is what a rendered probe has behind the user's text and before the tool's result.
func between(text jinja.Marked) string {
	_, s, _ := strings.Cut(text.Text, probeUser)
	s, _, _ = strings.Cut(s, probeResult)
	return s
}
