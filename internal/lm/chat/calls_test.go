package chat

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"retort/internal/format/tokenizer"
	"retort/internal/numtest"
)

// published reads a template of shared/data/templates.
func published(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(numtest.Shared(t, "data/templates/"+name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var weather = []Tool{
	{Name: "get_weather", Description: "Weather of a city", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}`)},
	{Name: "add", Parameters: json.RawMessage(`{"type":"object","properties":{"b":{"type":"number"},"a":{"type":"number"}}}`)},
}

// families are the published templates with what New must find out about each.
var families = []struct {
	file  string
	form  *callForm
	tools bool // the template shows tools
	reads reads
	one   bool // it refuses two calls in a message
}{
	{"Qwen-Qwen2.5-7B-Instruct", hermes, true, reads{noDeveloper: true}, false},
	{"Qwen-Qwen3-0.6B", hermes, true, reads{noDeveloper: true}, false},
	{"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", deepSeekV3, false, reads{noDeveloper: true, textArguments: true, nullContent: true, callsApart: true}, false},
	{"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", deepSeekV3, false, reads{noDeveloper: true}, false},
	{"deepseek-ai-DeepSeek-V3.1", deepSeekV31, false, reads{noDeveloper: true}, false},
	{"deepseek-ai-DeepSeek-V3.2", deepSeekDSML("function_calls"), true, reads{noDeveloper: true}, false},
	{"deepseek-ai-DeepSeek-V4", deepSeekDSML("tool_calls"), true, reads{}, false},
	{"llama-cpp-deepseek-r1", deepSeekV3, true, reads{noDeveloper: true, callsApart: true}, false},
	{"meta-llama-Llama-3.1-8B-Instruct", llama, true, reads{callsApart: true}, true},
	{"moonshotai-Kimi-K2", kimi, true, reads{}, false},
}

// TestProbe: what New asks each published template, and what it answers.
func TestProbe(t *testing.T) {
	tok, _ := load(t, "tokenizers/deepseek-v3")
	files, _ := filepath.Glob(numtest.Shared(t, "data/templates") + "/*.jinja")
	if len(files) != len(families) {
		t.Errorf("%d templates, %d are tested", len(files), len(families))
	}
	for _, f := range families {
		c := newChat(t, published(t, f.file), tok)
		got := c.reads
		if got.calls == nil || got.calls.section != f.form.section || got.calls.open != f.form.open || len(got.calls.steps) != len(f.form.steps) {
			t.Errorf("%s: form %+v, want %+v", f.file, got.calls, f.form)
		}
		got.calls, got.closing, f.reads.parts = nil, "", map[string]bool{"tool": false} // TestCloseThinking looks at closing
		if !reflect.DeepEqual(got, f.reads) {
			t.Errorf("%s: reads %+v, want %+v", f.file, got, f.reads)
		}
		_, err := c.Prompt([]Message{{Role: "user", Content: "hi"}}, Options{Tools: weather})
		if f.tools && err != nil || !f.tools && (err == nil || !strings.Contains(err.Error(), "does not show tool 1 (get_weather)")) {
			t.Errorf("%s: with tools: %v", f.file, err)
		}
	}
}

// splitterFor makes a splitter that looks for the calls of a form.
func splitterFor(form *callForm, thinking bool) *Splitter {
	p := Prompt{Thinking: thinking, chat: &Chat{reads: reads{calls: form}}}
	for _, tool := range weather {
		p.tools = append(p.tools, tool.Name)
	}
	return NewSplitter(p)
}

// answer feeds parts to s and joins what it tells.
func answer(t testing.TB, s *Splitter, parts ...string) (Message, []Event) {
	t.Helper()
	m := Message{Role: "assistant"}
	var all []Event
	add := func(events []Event) {
		for _, e := range events {
			m.Add(e)
			if n := len(all); n > 0 && all[n-1].Kind == e.Kind && e.Kind != CallBegin && e.Kind != CallEnd && e.Kind != CallBroken {
				all[n-1].Text += e.Text
				continue
			}
			all = append(all, e)
		}
	}
	for _, part := range parts {
		add(s.Text([]byte(part)))
	}
	add(s.Finish())
	return m, all
}

// TestCallsComeBack: what a template writes of a message with calls is read as that message.
func TestCallsComeBack(t *testing.T) {
	tok, _ := load(t, "tokenizers/deepseek-v3")
	lists := [][]ToolCall{
		{{Name: "get_weather", Arguments: `{"city": "北京 <b>\"\n", "days": 2, "deep": {"a": [1, -2.5e-07, null, true, {}, []], "</tool_call>": "<｜tool▁call▁end｜>\\"}}`}},
		{{Name: "add", Arguments: `{}`}},
		{{Name: "get_weather", Arguments: `{"city": ""}`}, {Name: "add", Arguments: `{"a": 1, "b": 0}`}},
		{{Name: "add", Arguments: `{"a": 1}`}, {Name: "add", Arguments: `{"a": 1}`}, {Name: "add", Arguments: `{"a": 2}`}},
	}
	for _, f := range families {
		c := newChat(t, published(t, f.file), tok)
		for _, calls := range lists {
			if f.one && len(calls) > 1 {
				continue
			}
			for _, content := range []string{"", "I shall look."} {
				if f.file == "deepseek-ai-DeepSeek-R1-Distill-Llama-8B" && len(calls) != 2 {
					continue // it closes the list behind the second call, and only there
				}
				if content != "" && (c.reads.callsApart || f.file == "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B") {
					continue // it writes the content elsewhere
				}
				want := Message{Role: "assistant", Content: content, ToolCalls: calls}
				text, err := c.render([]Message{{Role: "user", Content: "hi"}, want}, Options{Finished: true})
				if err != nil {
					t.Fatal(f.file, err)
				}
				_, said, _ := strings.Cut(text.Text, "hi")
				for _, header := range []string{"<|im_start|>assistant\n", "<｜Assistant｜>", "<|im_assistant|>assistant<|im_middle|>", "<|start_header_id|>assistant<|end_header_id|>\n\n"} {
					if _, after, ok := strings.Cut(said, header); ok {
						said = after
					}
				}
				said = strings.TrimPrefix(strings.TrimPrefix(said, "<think>"), "</think>")
				said = strings.TrimPrefix(said, "\n\n</think>\n\n")
				for _, end := range []string{"<|im_end|>", "<｜end▁of▁sentence｜>", "<|eot_id|>"} {
					said, _, _ = strings.Cut(said, end)
				}
				got, _ := answer(t, splitterFor(c.reads.calls, false), said)
				got.Content = strings.TrimPrefix(got.Content, "</think>")
				for i := range want.ToolCalls {
					want.ToolCalls[i].ID = fmt.Sprintf("call_%d", i)
					if c.reads.calls == kimi {
						want.ToolCalls[i].ID = fmt.Sprintf("functions.%s:%d", want.ToolCalls[i].Name, i)
					}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %q\n got %+v\nwant %+v", f.file, said, got, want)
				}
			}
		}
	}
}

// TestCallTokens: marks that are control tokens are seen where tools were given, and else vanish as before.
func TestCallTokens(t *testing.T) {
	tok, _ := load(t, "tokenizers/deepseek-v3")
	c := newChat(t, published(t, "llama-cpp-deepseek-r1"), tok)
	text := "</think>\n\nSo.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{\"a\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
	ids := tok.Encode(text, tokenizer.Options{Special: true})
	for _, list := range [][]Tool{weather, nil} {
		p := prompt(t, c, []Message{{Role: "user", Content: "1+0?"}}, Options{Tools: list})
		s := NewSplitter(p)
		m := Message{Role: "assistant"}
		for _, id := range append(tok.Encode("Hm", tokenizer.Options{}), ids...) {
			for _, e := range s.Token(id) {
				m.Add(e)
			}
		}
		for _, e := range s.Finish() {
			m.Add(e)
		}
		want := Message{Role: "assistant", Reasoning: "Hm", Content: "So.", ToolCalls: []ToolCall{{"call_0", "add", `{"a": 1}`}}}
		if list == nil {
			want.Content, want.ToolCalls = "So.functionadd\n```json\n{\"a\": 1}\n```", nil
		}
		if !reflect.DeepEqual(m, want) {
			t.Errorf("%d tools: got %+v\nwant %+v", len(list), m, want)
		}
	}
}
