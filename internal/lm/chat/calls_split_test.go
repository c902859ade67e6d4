package chat

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	v3Open  = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
	v3Close = "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)

var (
	v32 = deepSeekDSML("function_calls")
	v4  = deepSeekDSML("tool_calls")
)

// dsmlTags writes ‹name …› as DeepSeek's tags.
func dsmlTags(s string) string {
	return strings.NewReplacer("‹/", "</"+dsml, "‹", "<"+dsml, "›", ">").Replace(s)
}

// said are answers with tools, and what is read of them. Where a call is broken, all of its text is content.
var said = []struct {
	name    string
	form    *callForm
	text    string
	content string
	calls   []ToolCall
}{
	{"no call", hermes, " Hello  \n", " Hello  \n", nil},
	{"blank", hermes, " \n ", " \n ", nil},
	{"nothing", llama, "", "", nil},
	{"blank bare", llama, " \n", " \n", nil},
	{"two", hermes, "So:\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>\n<tool_call>{\"name\":\"add\",\"arguments\":{}}</tool_call>\n", "So:",
		[]ToolCall{{"call_0", "add", `{"a": 1}`}, {"call_1", "add", `{}`}}},
	{"text behind", hermes, "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>\n\nDone.", "\n\nDone.", []ToolCall{{"call_0", "add", `{}`}}},
	{"keys in any order", hermes, `<tool_call>{"arguments": {"name": "x"}, "more": [{"name": 1}, 2], "id": "id7", "name": "add"}</tool_call>`, "", []ToolCall{{"id7", "add", `{"name": "x"}`}}},
	{"id first", hermes, `<tool_call>{"id": "id7", "name": "add", "parameters": {}}</tool_call>`, "", []ToolCall{{"id7", "add", `{}`}}},
	{"id last", hermes, `<tool_call>{"name": "add", "arguments": {}, "id": "id7"}</tool_call>`, "", []ToolCall{{"call_0", "add", `{}`}}},
	{"escaped name", hermes, `<tool_call>{"n\u0061me": "\u0061dd", "arguments": {}}</tool_call>`, "", []ToolCall{{"call_0", "add", `{}`}}},
	{"no arguments", hermes, `<tool_call>{"name": "add"}</tool_call>`, "", []ToolCall{{"call_0", "add", `{}`}}},
	{"null arguments", hermes, `<tool_call>{"name": "add", "arguments": null}</tool_call>`, "", []ToolCall{{"call_0", "add", `{}`}}},
	{"arguments in a string", hermes, `<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>`, "", []ToolCall{{"call_0", "add", `{"a": 1}`}}},
	{"arguments in a string first", hermes, `<tool_call>{"arguments": "{\"a\": 1}", "name": "add"}</tool_call>`, "", []ToolCall{{"call_0", "add", `{"a": 1}`}}},
	{"a string that is no object", hermes, `<tool_call>{"name": "add", "arguments": "{} x"}</tool_call>`, `<tool_call>{"name": "add", "arguments": "{} x"}</tool_call>`, nil},
	{"arguments that are a list", hermes, `<tool_call>{"name": "add", "arguments": [1]}</tool_call>`, `<tool_call>{"name": "add", "arguments": [1]}</tool_call>`, nil},
	{"the mark in a string", hermes, `<tool_call>{"name": "add", "arguments": {"a": "</tool_call>"}}</tool_call>`, "", []ToolCall{{"call_0", "add", `{"a": "</tool_call>"}`}}},
	{"the mark alone", hermes, "a <tool_call> b", "a <tool_call> b", nil},
	{"a broken one, then a whole one", hermes, `x <tool_call>{"name": "add", "arguments": {a}}</tool_call> <tool_call>{"name": "add", "arguments": {}}</tool_call>`,
		`x <tool_call>{"name": "add", "arguments": {a}}</tool_call>`, []ToolCall{{"call_1", "add", "{}"}}},
	{"one opened twice", hermes, `<tool_call> <tool_call>{"name": "add", "arguments": {}}</tool_call>`, `<tool_call> `, []ToolCall{{"call_0", "add", "{}"}}},
	{"cut off", hermes, `<tool_call>{"name": "add", "arguments": {"a": 1`, `<tool_call>{"name": "add", "arguments": {"a": 1`, nil},
	{"cut off behind the arguments", hermes, `ok <tool_call>{"name": "add", "arguments": {"a": 1}} </tool_`, `ok <tool_call>{"name": "add", "arguments": {"a": 1}} </tool_`, nil},
	{"cut off in the mark", hermes, `ok <tool_ca`, `ok <tool_ca`, nil},
	{"without a name", hermes, `<tool_call>{"arguments": {}}</tool_call>`, `<tool_call>{"arguments": {}}</tool_call>`, nil},
	{"a name that is no text", hermes, `<tool_call>{"name": 1, "arguments": {}}</tool_call>`, `<tool_call>{"name": 1, "arguments": {}}</tool_call>`, nil},
	{"a key twice", hermes, `<tool_call>{"name": "add", "name": "x", "arguments": {}}</tool_call>`, `<tool_call>{"name": "add", "name": "x", "arguments": {}}</tool_call>`, nil},
	{"arguments twice", hermes, `<tool_call>{"name": "add", "arguments": {}, "parameters": {}}</tool_call>`, `<tool_call>{"name": "add", "arguments": {}, "parameters": {}}</tool_call>`, nil},

	{"v3", deepSeekV3, "Hm.\n" + v3Open + "function<｜tool▁sep｜>add\n```json\n{\"a\": \"```\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{}\n```" + v3Close, "Hm.",
		[]ToolCall{{"call_0", "add", "{\"a\": \"```\"}"}, {"call_1", "add", `{}`}}},
	{"v3 no fence", deepSeekV3, v3Open + "function<｜tool▁sep｜>add\n{}" + v3Close, v3Open + "function<｜tool▁sep｜>add\n{}" + v3Close, nil},
	{"v3 list not closed", deepSeekV3, v3Open + "function<｜tool▁sep｜>add\n```json\n{}\n```<｜tool▁call▁end｜>\n", "", []ToolCall{{"call_0", "add", `{}`}}},
	{"v3 text in the list", deepSeekV3, v3Open + "function<｜tool▁sep｜>add\n```json\n{}\n```<｜tool▁call▁end｜>\nbut", "\nbut", []ToolCall{{"call_0", "add", `{}`}}},
	{"v3.1", deepSeekV31, v3Open + "add<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{}" + v3Close, "",
		[]ToolCall{{"call_0", "add", `{"a":1}`}, {"call_1", "get_weather", `{}`}}},
	{"v3.1 list not opened", deepSeekV31, "x <｜tool▁call▁begin｜>add<｜tool▁sep｜>{}<｜tool▁call▁end｜>", "x", []ToolCall{{"call_0", "add", `{}`}}},
	{"v3.1 empty list", deepSeekV31, "a <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜>b", "a <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜>b", nil},
	{"v3.1 text in the list", deepSeekV31, "<｜tool▁calls▁begin｜> no", "<｜tool▁calls▁begin｜> no", nil},
	{"v3.1 list cut off", deepSeekV31, "a <｜tool▁calls▁begin｜><｜tool", "a <｜tool▁calls▁begin｜><｜tool", nil},
	{"v3.1 no name", deepSeekV31, v3Open + " <｜tool▁sep｜>{}" + v3Close, v3Open + " <｜tool▁sep｜>{}" + v3Close, nil},
	{"v3.1 endless name", deepSeekV31, v3Open + strings.Repeat("a", maxName+1) + "<｜tool▁sep｜>{}" + v3Close, v3Open + strings.Repeat("a", maxName+1) + "<｜tool▁sep｜>{}" + v3Close, nil},
	{"v3.1 longest name", deepSeekV31, v3Open + strings.Repeat("a", maxName) + "<｜tool▁sep｜>{}" + v3Close, "", []ToolCall{{"call_0", strings.Repeat("a", maxName), "{}"}}},

	{"kimi", kimi, "<|tool_calls_section_begin|><|tool_call_begin|>functions.add:0<|tool_call_argument_begin|>{\"a\": 1}<|tool_call_end|><|tool_call_begin|>functions.get_weather:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", "",
		[]ToolCall{{"functions.add:0", "add", `{"a": 1}`}, {"functions.get_weather:1", "get_weather", `{}`}}},
	{"kimi without an index", kimi, "<|tool_call_begin|>add<|tool_call_argument_begin|>{}<|tool_call_end|>", "<|tool_call_begin|>add<|tool_call_argument_begin|>{}<|tool_call_end|>", nil},

	{"v3.2", v32, dsmlTags("I look.\n\n‹function_calls›\n‹invoke name=\"get_weather\"›\n‹parameter name=\"city\" string=\"true\"›a \"b\"\n\\c\t\x01</x>‹/parameter›\n" +
		"‹parameter name=\"q\"x\" string=\"false\"› [1, {\"k\": null}] ‹/parameter›\n‹parameter name=\"n\" string=\"false\"›-2.5e3‹/parameter›\n‹/invoke›\n‹invoke name=\"add\"›\n‹/invoke›\n‹/function_calls›"), "I look.",
		[]ToolCall{{"call_0", "get_weather", `{"city": "a \"b\"\n\\c\t\u0001</x>", "q\"x": [1, {"k": null}], "n": -2.5e3}`}, {"call_1", "add", "{}"}}},
	{"v4 of v3.2", v4, dsmlTags("‹function_calls›"), dsmlTags("‹function_calls›"), nil},
	{"v4", v4, dsmlTags("‹tool_calls›‹invoke name=\"add\"›‹parameter name=\"a\" string=\"true\"›‹/parameter›‹/invoke›‹/tool_calls›"), "", []ToolCall{{"call_0", "add", `{"a": ""}`}}},
	{"v4 Python's words", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"false\"›True‹/parameter›‹/invoke›"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"false\"›True‹/parameter›‹/invoke›"), nil},
	{"v4 no kind", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\"›1‹/parameter›‹/invoke›"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\"›1‹/parameter›‹/invoke›"), nil},
	{"v4 other kind", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"no\"›1‹/parameter›‹/invoke›"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"no\"›1‹/parameter›‹/invoke›"), nil},
	{"v4 endless key", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"" + strings.Repeat("a", maxName) + "\" string=\"true\"›"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"" + strings.Repeat("a", maxName) + "\" string=\"true\"›"), nil},
	{"v4 cut off in a text", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"true\"›x‹/para"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"true\"›x‹/para"), nil},
	{"v4 two values", v4, dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"false\"›1 2‹/parameter›‹/invoke›"), dsmlTags("‹invoke name=\"add\"›‹parameter name=\"a\" string=\"false\"›1 2‹/parameter›‹/invoke›"), nil},

	{"llama", llama, ` {"name": "add", "parameters": {"a": 1}}`, "", []ToolCall{{"call_0", "add", `{"a": 1}`}}},
	{"llama two", llama, `{"type": "function", "name": "add", "parameters": {}}; {"name": "add", "parameters": {"a": 2}}`, "", []ToolCall{{"call_0", "add", `{}`}, {"call_1", "add", `{"a": 2}`}}},
	{"llama no call behind", llama, `{"name": "add", "parameters": {}};`, ";", []ToolCall{{"call_0", "add", `{}`}}},
	{"llama's own JSON", llama, `{"name": "Ann", "parameters": {}}`, `{"name": "Ann", "parameters": {}}`, nil},
	{"llama's JSON of other keys", llama, `{"name": "add", "age": 3}`, `{"name": "add", "age": 3}`, nil},
	{"llama's JSON without arguments", llama, `{"name": "add"}`, `{"name": "add"}`, nil},
	{"llama broken, then again", llama, `{"name": "add", "parameters": { {"name": "add", "parameters": {}}`, `{"name": "add", "parameters": { {"name": "add", "parameters": {}}`, nil},
	{"llama later", llama, `See {"name": "add", "parameters": {}}`, `See {"name": "add", "parameters": {}}`, nil},
	{"llama's tag", llama, "Hm\n<|python_tag|>{\"name\": \"add\", \"parameters\": {}}", "Hm", []ToolCall{{"call_0", "add", `{}`}}},
	{"llama's Python", llama, `<|python_tag|>get_weather.call(city="a, "b"", unit="x\")` + "\n", "", []ToolCall{{"call_0", "get_weather", `{"city": "a, \"b\"", "unit": "x\\"}`}}},
	{"llama's Python without arguments", llama, `<|python_tag|>add.call()`, "", []ToolCall{{"call_0", "add", `{}`}}},
	{"llama's Python of no tool", llama, `<|python_tag|>print.call(a="b")`, `<|python_tag|>print.call(a="b")`, nil},
	{"llama's Python, any", llama, "<|python_tag|>print(1)\n", "<|python_tag|>print(1)\n", nil},
	{"llama's Python, odd", llama, `<|python_tag|>add.call(1)`, `<|python_tag|>add.call(1)`, nil},
	{"llama's Python, open", llama, `<|python_tag|>add.call(a="b)`, `<|python_tag|>add.call(a="b)`, nil},
}

// TestCalls reads each answer whole, byte by byte and cut in two anywhere: what is told is the same.
func TestCalls(t *testing.T) {
	for _, c := range said {
		t.Run(c.name, func(t *testing.T) {
			want := Message{Role: "assistant", Content: c.content, ToolCalls: c.calls}
			var first []Event
			check := func(parts ...string) {
				t.Helper()
				got, events := answer(t, splitterFor(c.form, false), parts...)
				if got.ToolCalls = got.ToolCalls[:len(got.ToolCalls):len(got.ToolCalls)]; len(got.ToolCalls) == 0 {
					got.ToolCalls = nil
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%q:\n got %+v\nwant %+v", parts, got, want)
				}
				if first == nil {
					first = events
				}
				if !reflect.DeepEqual(events, first) {
					t.Fatalf("%q:\nevents %+v\n whole %+v", parts, events, first)
				}
				checkEvents(t, events)
			}
			check(c.text)
			check(strings.Split(c.text, "")...)
			bytes := make([]string, len(c.text))
			for i := range bytes {
				bytes[i] = c.text[i : i+1]
				check(c.text[:i], c.text[i:])
			}
			check(bytes...)
		})
	}
}

// checkEvents holds events to the order that Event promises.
func checkEvents(t testing.TB, events []Event) {
	t.Helper()
	open, next, args := false, 0, ""
	for _, e := range events {
		inside := e.Kind == CallArguments || e.Kind == CallEnd || e.Kind == CallBroken
		if open != inside || inside && e.Call != next || !utf8.ValidString(e.Text) {
			t.Fatalf("event %+v out of place in %+v", e, events)
		}
		switch e.Kind {
		case CallBegin:
			if e.Call != next || e.ID == "" || e.Name == "" {
				t.Fatalf("event %+v, want call %d", e, next)
			}
			open, args = true, ""
		case CallArguments:
			args += e.Text
		case CallEnd, CallBroken:
			var object map[string]any
			if err := json.Unmarshal([]byte(args), &object); e.Kind == CallEnd && err != nil {
				t.Fatalf("arguments %q: %v", args, err)
			}
			open = false
			next++
		}
	}
	if open {
		t.Fatalf("a call is open behind %+v", events)
	}
}

// TestCallsStream: arguments come as the model writes them, and content is held back no longer than it must.
func TestCallsStream(t *testing.T) {
	s := splitterFor(hermes, false)
	for _, step := range []struct {
		in   string
		want []Event
	}{
		{"I ", []Event{{Kind: Content, Text: "I"}}},
		{"see < \n", []Event{{Kind: Content, Text: " see <"}}},
		{"<tool", nil},
		{"_call>\n{\"name\": \"add\", ", nil},
		{`"arguments": {`, []Event{{Kind: CallBegin, ID: "call_0", Name: "add"}, {Kind: CallArguments, Text: "{"}}},
		{`"a": 12`, []Event{{Kind: CallArguments, Text: `"a": 12`}}},
		{"}}", []Event{{Kind: CallArguments, Text: "}"}}},
		{"\n</tool_call>", []Event{{Kind: CallEnd}}},
		{"\n", nil},
	} {
		got := s.Text([]byte(step.in))
		if len(got)+len(step.want) > 0 && !reflect.DeepEqual(got, step.want) {
			t.Errorf("%q: %+v, want %+v", step.in, got, step.want)
		}
	}
	s = splitterFor(v4, false)
	s.Text([]byte(dsmlTags("‹tool_calls›‹invoke name=\"add\"›‹parameter name=\"a\" string=\"true\"›long")))
	if got := s.Text([]byte(" text</")); len(got) != 1 || got[0].Text != " text" {
		t.Errorf("text of an argument: %+v", got)
	}
}

// TestWithoutTools: without tools nothing is a call.
func TestWithoutTools(t *testing.T) {
	for _, c := range said {
		if r, content := whole(t, Prompt{}, c.text); r != "" || content != c.text {
			t.Errorf("%q: %q, %q", c.text, r, content)
		}
	}
}

// TestCallsBehindReasoning: calls are looked for in the content alone.
func TestCallsBehindReasoning(t *testing.T) {
	text := `I could <tool_call>{"name": "add", "arguments": {}}</tool_call>` + "\n</think>\n\n" + `<tool_call>{"name": "add", "arguments": {"a": 2}}</tool_call>`
	for i := range text {
		got, _ := answer(t, splitterFor(hermes, true), text[:i], text[i:])
		want := Message{Role: "assistant", Reasoning: `I could <tool_call>{"name": "add", "arguments": {}}</tool_call>`, ToolCalls: []ToolCall{{"call_0", "add", `{"a": 2}`}}}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d: %+v", i, got)
		}
	}
}

// FuzzCalls: the cut does not show, arguments are JSON, and where no call is read no byte is lost.
func FuzzCalls(f *testing.F) {
	forms := []*callForm{hermes, deepSeekV3, deepSeekV31, kimi, v32, v4, llama}
	for _, c := range said {
		for i, form := range forms {
			if form == c.form {
				f.Add(c.text, 7, uint8(i))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string, n int, form uint8) {
		fm := forms[int(form)%len(forms)]
		got, events := answer(t, splitterFor(fm, false), text)
		checkEvents(t, events)
		cut := max(0, min(n, len(text)))
		if _, other := answer(t, splitterFor(fm, false), text[:cut], text[cut:]); !reflect.DeepEqual(other, events) {
			t.Errorf("%q cut at %d:\n got %+v\nwhole %+v", text, cut, other, events)
		}
		if len(got.ToolCalls) == 0 && got.Reasoning == "" && utf8.ValidString(text) && !strings.Contains(text, thinkOpen) && got.Content != text {
			t.Errorf("%q: content %q", text, got.Content)
		}
	})
}

// TestJSONScan holds the scanner to encoding/json.
func TestJSONScan(t *testing.T) {
	for _, text := range scanSeeds {
		scanAgrees(t, text)
	}
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if n := scanEnd(deep + " "); n != len(deep) {
		t.Errorf("%d brackets: %d", maxDepth, n)
	}
	if n := scanEnd("[" + deep + "]"); n != -1 {
		t.Errorf("%d brackets: %d", maxDepth+1, n)
	}
}

var scanSeeds = []string{`{}`, `[]`, `{"a":1}`, `{"a" : [1 , 2.5 , -0, 0.1e+5,1E-3, true,false ,null,"x\u00eF\"\\\/\b\f\n\r\t"]} `, `0 `, `-1 `, `01 `, `1. `, `-`, `-a`, `1e `, `1e+ `, `.5`, `{"a":1,}`,
	`[1,]`, `[,1]`, `{,}`, `{"a"}`, `{"a":}`, `{1:2}`, `{"a":1 "b":2}`, `[1 2]`, `[1}`, `{"a":1]`, `tru `, `nul`, `trux`, `"\x"`, `"\u12g4"`, "\"\n\"", "\"\x1f\"", `"é"`, `[1e5]`, `[0]`, `[-]`, `[0e1]`, `[00]`,
	`{"a":{}}`, `{"a":[]}`, `[[],[]]`, `{{}}`, `{"a":1}}`, ``, ` `, `"a`, `[1.5,2]`, `[1e]`, `[1.]`, `{"":0}`, `'a'`, `{"a":0 }`, `]`, `}`, `:`, `,`, `"\u0000\uD83D\uDE00"`}

// scanEnd is where a value ends in text, -1 where it does not.
func scanEnd(text string) int {
	var scan jsonScan
	for i := range len(text) {
		switch scan.step(text[i]) {
		case ended:
			return i + 1
		case passed:
			return i
		case invalid:
			return -1
		}
	}
	return -1
}

func scanAgrees(t *testing.T, text string) {
	t.Helper()
	want := -1
	d := json.NewDecoder(strings.NewReader(text + " "))
	var raw json.RawMessage
	if d.Decode(&raw) == nil {
		want = int(d.InputOffset())
	}
	if got := scanEnd(text + " "); got != want {
		t.Errorf("%q: a value ends at %d, want %d", text, got, want)
	}
}

// FuzzJSONScan holds the scanner to encoding/json, on what is not too deep.
func FuzzJSONScan(f *testing.F) {
	for _, text := range scanSeeds {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "[")+strings.Count(text, "{") <= maxDepth {
			scanAgrees(t, text)
		}
	})
}
