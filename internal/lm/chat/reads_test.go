package chat

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Templates of the kinds that users met.
const (
	partsTemplate = "{% for m in messages %}<{{ m['role'] }}>{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
	// mixedTemplate reads the user's content as parts, and all others' as text.
	mixedTemplate  = "{% for m in messages %}<{{ m['role'] }}>{% if m['role'] == 'user' %}{% for p in m['content'] %}{{ p['text'] }}|{% endfor %}{% else %}{{ m['content'] + '' }}{% endif %}{{ '\n' }}{% endfor %}"
	eitherTemplate = "{% for m in messages %}<{{ m.role }}>{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}|{% endfor %}{% endif %}{{ '\n' }}{% endfor %}"
	// refusing is Gemma 2's way, dropping that of many fine-tunes.
	refusing = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role\nnot supported') }}{% endif %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must\n alternate') }}{% endif %}<{{ m.role }}>{{ m.content | trim }}{{ '\n' }}{% endfor %}"
	dropping = "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content + '\n' }}{% elif m.role == 'assistant' %}<assistant>{{ m.content + '\n' }}{% endif %}{% endfor %}"
	// lastOnly shows the last message alone.
	lastOnly = "{{ messages[-1].content }}"
)

// TestReads renders what does not fit a template's form: each text is shown, or the error names what is not.
func TestReads(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	system := Message{Role: "system", Content: "S"}
	user := Message{Role: "user", Content: "U"}
	inParts := Message{Role: "user", Parts: []Part{{"text", "P1"}, {"text", "P2"}}}
	assistant := Message{Role: "assistant", Content: "A"}
	result := Message{Role: "tool", Content: "R"}
	calling := Message{Role: "assistant", Content: "A", ToolCalls: []ToolCall{{"", "f", `{"x": 1}`}}}
	for _, c := range []struct {
		template string
		msgs     []Message
		want     string // the text, or error: and a part of the error
	}{
		{partsTemplate, []Message{system, user, assistant, result}, "<system>S\n<user>U\n<assistant>A\n<tool>R\n"},
		{partsTemplate, []Message{inParts}, "<user>P1P2\n"},
		{mixedTemplate, []Message{system, inParts, assistant}, "<system>S\n<user>P1|P2|\n<assistant>A\n"},
		{eitherTemplate, []Message{inParts, user}, "<user>P1\nP2\n<user>U\n"},
		{plainTemplate, []Message{inParts, assistant}, "P1\nP2A"},
		{partsTemplate, []Message{{Role: "user", Parts: []Part{{"image", ""}}}}, "error: chat: message 1: part 1: type \"image\", want text"},

		{refusing, []Message{system, user, assistant, inParts}, "<user>S\n\nU\n<assistant>A\n<user>P1\nP2\n"},
		{refusing, []Message{system, {Role: "developer", Content: "D"}, user}, "<user>S\n\nD\n\nU\n"},
		{refusing, []Message{system}, "<user>S\n"},
		{refusing, []Message{user, assistant, system}, "<user>U\n<assistant>A\n<user>S\n"},
		{refusing, []Message{user, assistant, system, inParts}, "<user>U\n<assistant>A\n<user>S\n\nP1\nP2\n"},
		{refusing, []Message{system, assistant}, "<user>S\n<assistant>A\n"},
		{refusing, []Message{user, user}, "error: chat: template: jinja: line 2: Roles must alternate"},
		{dropping, []Message{system, user}, "<user>S\n\nU\n"},
		{dropping, []Message{user, assistant, result}, "error: chat: the model's template does not show message 3 (tool)"},
		{dropping, []Message{user, {Role: "tool", Content: " \n\x1f"}}, "<user>U\n"},
		{dropping, []Message{user, calling}, "error: message 2 (assistant): tool call 1 (f)"},
		{dropping, []Message{{Role: "developer", Content: "D"}, user}, "<user>D\n\nU\n"},
		{lastOnly, []Message{assistant, user}, "error: message 1 (assistant)"},
		{lastOnly, []Message{{Role: "assistant", Content: "x</think>"}, user}, "U"},
		{lastOnly, []Message{{Role: "user", Content: "x</think>"}, user}, "error: message 1 (user)"},
		{plainTemplate, []Message{{Role: "user", Content: "U", ToolCalls: calling.ToolCalls}}, "error: message 1: tool calls of role user, want assistant"},
		{plainTemplate, []Message{{Role: "assistant", ToolCalls: []ToolCall{{}}}}, "error: message 1: tool call 1 has no name"},
		{plainTemplate, []Message{user, {Role: "assistant", ToolCalls: []ToolCall{{Name: "f", Arguments: "[1]"}}}}, `error: message 2 (assistant): tool call 1 (f): arguments are "[1]", want a JSON object`},
		{plainTemplate, []Message{user, {Role: "assistant", ToolCalls: []ToolCall{{Name: "f", Arguments: "{"}}}}, `error: message 2 (assistant): tool call 1 (f): arguments: `},
		{"{% for m in messages %}{{ m.content }},{{ m.name }},{{ m.tool_call_id }};{% endfor %}", []Message{user, {Role: "tool", Content: "R", Name: "N", ToolCallID: "I"}}, "U,,;R,N,I;"},
		// The name of a call shows, its arguments do not.
		{"{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}{% endfor %}", []Message{user, calling},
			"error: does not show the arguments of message 2 (assistant): tool call 1 (f)"},
		{"{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}{% endfor %}{% endfor %}",
			[]Message{user, {Role: "assistant", ToolCalls: []ToolCall{{Name: "f"}}}}, "Uf"},
	} {
		text, err := newChat(t, c.template, tok).render(c.msgs, Options{})
		if want, bad := strings.CutPrefix(c.want, "error: "); bad {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.40q, %+v: %v, want %q", c.template, c.msgs, err, want)
			}
			continue
		}
		if got := strings.TrimPrefix(text.Text, tok.Token(tok.BOS)); err != nil || got != c.want {
			t.Errorf("%.40q, %+v: %q, %v, want %q", c.template, c.msgs, got, err, c.want)
		}
	}
}

// TestArgumentForms: a template that joins arguments to text gets text, one that would print Python's dict too.
func TestArgumentForms(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	const head = "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}{{ c.function.name }}"
	const tail = "{% endfor %}{% endfor %}"
	msgs := []Message{{Role: "user", Content: "U"}, {Role: "assistant", ToolCalls: []ToolCall{{"", "f", `{"x":1, "y": "é"}`}}}}
	for body, want := range map[string]string{
		"{{ c.function.arguments | tojson }}": `Uf{"x": 1, "y": "é"}`,
		"{{ c.function.arguments }}":          `Uf{"x":1, "y": "é"}`,
		"{{ '' + c.function.arguments }}":     `Uf{"x":1, "y": "é"}`,
		"{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}{{ c.function.arguments | tojson }}{% endif %}": `Uf{"x": 1, "y": "é"}`,
	} {
		text, err := newChat(t, head+body+tail, tok).render(msgs, Options{})
		if err != nil || text.Text != want {
			t.Errorf("%s: %q, %v, want %q", body, text.Text, err, want)
		}
	}
}

// TestCallForms: what is said beside a call, and its reasoning, come once, however a template wants them.
func TestCallForms(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	const calls = "{% for c in m.tool_calls %}[{{ c.function.name }}{{ c.function.arguments | tojson }}]{% endfor %}"
	const head = "{% for m in messages %}|{% if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}"
	call := []ToolCall{{"", "f", `{"x": 1}`}}
	user := Message{Role: "user", Content: "U"}
	silent := Message{Role: "assistant", Reasoning: "T", ToolCalls: call}
	saying := Message{Role: "assistant", Content: "A", Reasoning: "T", ToolCalls: call}
	for _, c := range []struct{ template, silent, saying string }{
		{head + "{{ m.content }}" + calls + "{% endfor %}", `|U|(T)[f{"x": 1}]`, `|U|(T)A[f{"x": 1}]`},
		{head + "{% if m.tool_calls %}" + calls + "{% else %}{{ m.content }}{% endif %}{% endfor %}", `|U|(T)[f{"x": 1}]`, `|U|(T)A|[f{"x": 1}]`},
		{head + "{% if m.content is none %}" + calls + "{% else %}{{ m.content }}{% endif %}{% endfor %}", `|U|(T)[f{"x": 1}]`, `|U|(T)A|[f{"x": 1}]`},
		{head + "{% if m.content is none or m.content | length > 0 %}{{ m.content or '' }}" + calls + "{% endif %}{% endfor %}", `|U|(T)[f{"x": 1}]`, `|U|(T)A[f{"x": 1}]`},
	} {
		chat := newChat(t, c.template, tok)
		for _, m := range []struct {
			msg  Message
			want string
		}{{silent, c.silent}, {saying, c.saying}} {
			if text, err := chat.render([]Message{user, m.msg}, Options{}); err != nil || text.Text != m.want {
				t.Errorf("%s: %q, %v, want %q", c.template, text.Text, err, m.want)
			}
		}
	}
}

// TestToolsAreData passes special tokens as text wherever a client's text may stand in a conversation with tools.
func TestToolsAreData(t *testing.T) {
	tok, own := load(t, "tokenizers/minimind")
	c := newChat(t, own, tok)
	msgs := func(word string) []Message {
		return []Message{{Role: "user", Parts: []Part{{"text", word}, {"text", word}}},
			{Role: "assistant", Reasoning: word, ToolCalls: []ToolCall{{word, word, `{"` + word + `": ["` + word + `"]}`}}},
			{Role: "tool", Content: word, ToolCallID: word, Name: word}}
	}
	tools := func(word string) []Tool {
		return []Tool{{Name: word, Description: word, Parameters: []byte(`{"` + word + `":"` + word + `"}`)}}
	}
	want := prompt(t, c, msgs("x"), Options{Tools: tools("x")})
	for _, mark := range markIDs(tok) {
		word := tok.Token(mark)
		got := prompt(t, c, msgs(word), Options{Tools: tools(word)})
		for _, id := range markIDs(tok) {
			if g, w := times(got.IDs, id), times(want.IDs, id); g != w {
				t.Errorf("%q as text: token %s %d times, want %d", word, tok.Token(id), g, w)
			}
		}
		if s := tok.DecodeSpecial(got.IDs); strings.Count(s, word) < 9 {
			t.Errorf("%q is missing in %q", word, s)
		}
	}
}

// TestCloseThinking: what ends reasoning is what the template writes there, and a splitter takes it for the end.
func TestCloseThinking(t *testing.T) {
	tok, _ := load(t, "tokenizers/deepseek-v3")
	for file, want := range map[string]string{
		"Qwen-Qwen3-0.6B": "\n</think>\n\n", "deepseek-ai-DeepSeek-V3.1": "</think>", "deepseek-ai-DeepSeek-V3.2": "</think>", "deepseek-ai-DeepSeek-V4": "</think>",
		"llama-cpp-deepseek-r1": "\n</think>\n\n", "Qwen-Qwen2.5-7B-Instruct": "\n</think>\n\n",
	} {
		c := newChat(t, published(t, file), tok)
		if c.reads.closing != want {
			t.Errorf("%s: closing %q, want %q", file, c.reads.closing, want)
		}
		for _, thought := range []string{"", "Hm", "Hm\n"} {
			s := NewSplitter(Prompt{Thinking: true, chat: c})
			var m Message
			read := func(events []Event) {
				for _, e := range events {
					m.Add(e)
				}
			}
			read(s.Text([]byte(thought)))
			ids := s.CloseThinking()
			end := want
			if thought == "Hm\n" {
				end = strings.TrimPrefix(want, "\n")
			}
			if got := tok.DecodeSpecial(ids); got != end {
				t.Errorf("%s behind %q: %q, want %q", file, thought, got, end)
			}
			for _, id := range ids {
				read(s.Token(id))
			}
			if s.Thinking() || s.CloseThinking() != nil || s.Straddling() != nil {
				t.Errorf("%s: thinking behind %q", file, end)
			}
			read(s.Text([]byte("Yes")))
			if wanted := (Message{Reasoning: strings.TrimSuffix(thought, "\n"), Content: "Yes"}); !reflect.DeepEqual(m, wanted) {
				t.Errorf("%s: %+v, want %+v", file, m, wanted)
			}
		}
	}
}

// TestStraddling tries every token behind texts that end reasoning more or less: those that end it and tell content are
// the listed ones.
func TestStraddling(t *testing.T) {
	for _, name := range []string{"tokenizers/minimind", "models/smollm2-135m", "vocabs/gpt-2"} {
		t.Run(name, func(t *testing.T) {
			tok, _ := load(t, name)
			c := newChat(t, plainTemplate, tok)
			found := 0
			for _, had := range []string{"", "Hm", "a <", "a </", "</th", "\n</think", "</thi</think", "</think "} {
				s := NewSplitter(Prompt{Thinking: true, chat: c})
				s.Text([]byte(had))
				list := s.Straddling()
				found += len(list)
				for id := range tok.Vocab() {
					one := NewSplitter(Prompt{Thinking: true, chat: c})
					one.Text([]byte(had))
					_, said := plain(one.Token(id))
					if !one.Thinking() {
						_, rest := one.Close()
						said += rest
					}
					if got := slices.Contains(list, id); got != (said != "") {
						t.Errorf("behind %q token %q: listed %v, content %q", had, c.AppendToken(nil, id), got, said)
					}
				}
			}
			if found == 0 && name != "tokenizers/minimind" {
				t.Error("no token is listed")
			}
		})
	}
}

// TestClosingOfEmptyBlock: a template that shows no reasoning tells by the empty block it writes.
func TestClosingOfEmptyBlock(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	const template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n\\n' }}{% endif %}"
	if got := newChat(t, template, tok).reads.closing; got != "\n</think>\n\n\n" {
		t.Errorf("closing %q", got)
	}
}
