package chat

import "strings"

// callForm is how a family of templates writes the calls of an answer. White space may stand between all its parts.
type callForm struct {
	section, end string   // stand around all calls, "" where nothing does
	open         string   // starts a call
	steps        []step   // what a call is, behind open
	bare         bool     // an object with nothing around it, at the start of the content, is a call too
	marks        []string // of these, those that are tokens: where no calls are looked for, control tokens have no text
}

// step reads the next part of a call from the front of s.held. While it is waiting, it is called again with more behind.
type step func(s *Splitter) verdict

type verdict int

const (
	waiting  verdict = iota // for more text
	done                    // with this step
	complete                // with the whole call
	broken                  // what stands there is no call
)

// dsml is what DeepSeek's tags start with behind their bracket, a token of its own.
const dsml = "｜DSML｜"

// findForm recognises the form of a call that a template has written.
func findForm(text string) *callForm {
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("<｜tool▁call▁begin｜>") && has("```json"):
		return deepSeekV3
	case has("<｜tool▁call▁begin｜>"):
		return deepSeekV31
	case has("<" + dsml + "function_calls>"):
		return deepSeekDSML("function_calls")
	case has("<" + dsml + "tool_calls>"):
		return deepSeekDSML("tool_calls")
	case has("<|tool_call_argument_begin|>"):
		return kimi
	case has("<tool_call>") && has(`"arguments"`):
		return hermes
	case has(`{"name": "`) && has(`"parameters"`):
		return llama
	}
	return nil
}

var (
	// deepSeekV3 is DeepSeek's up to V3-0324 and R1: a type, a name, and arguments fenced as code.
	deepSeekV3 = &callForm{
		section: "<｜tool▁calls▁begin｜>", end: "<｜tool▁calls▁end｜>", open: "<｜tool▁call▁begin｜>",
		steps: []step{until("<｜tool▁sep｜>", nil), until("\n", (*Splitter).named), literal("```json"), object, literal("```"), literal("<｜tool▁call▁end｜>")},
		marks: []string{"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"},
	}
	// deepSeekV31 is DeepSeek V3.1's.
	deepSeekV31 = &callForm{
		section: "<｜tool▁calls▁begin｜>", end: "<｜tool▁calls▁end｜>", open: "<｜tool▁call▁begin｜>",
		steps: []step{until("<｜tool▁sep｜>", (*Splitter).named), object, literal("<｜tool▁call▁end｜>")},
		marks: deepSeekV3.marks,
	}
	// kimi is Kimi K2's, whose ids hold name and index: functions.NAME:0.
	kimi = &callForm{
		section: "<|tool_calls_section_begin|>", end: "<|tool_calls_section_end|>", open: "<|tool_call_begin|>",
		steps: []step{until("<|tool_call_argument_begin|>", (*Splitter).identified), object, literal("<|tool_call_end|>")},
		marks: []string{"<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>",
			"<|tool_calls_section_end|>"},
	}
	// hermes is that of Hermes, Qwen and many others: a JSON object in tags.
	hermes = &callForm{
		open:  "<tool_call>",
		steps: []step{jsonCall(false), literal("</tool_call>")},
		marks: []string{"<tool_call>", "</tool_call>"},
	}
	// llama is that of Llama 3: an answer that is a JSON object, or Python that calls a function.
	llama = &callForm{
		open:  "<|python_tag|>",
		steps: []step{pythonCall, jsonCall(true)},
		bare:  true,
		marks: []string{"<|python_tag|>"},
	}
)

// deepSeekDSML is that of DeepSeek V3.2 (function_calls) and V4 (tool_calls): tags, arguments one by one.
func deepSeekDSML(section string) *callForm {
	return &callForm{
		section: "<" + dsml + section + ">", end: "</" + dsml + section + ">", open: "<" + dsml + `invoke name="`,
		steps: []step{until(`">`, (*Splitter).named), parameters},
		marks: []string{dsml},
	}
}
