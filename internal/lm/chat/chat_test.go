package chat

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"retort/internal/format/gguf"
	"retort/internal/format/jinja"
	"retort/internal/format/tokenizer"
	"retort/internal/numtest"
)

// plainTemplate has no marks of its own but for BOS: what stands next to each other comes from messages.
const plainTemplate = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"

// wrapTemplate puts content between characters that many special tokens start and end with.
const wrapTemplate = "{% for m in messages %}<{{ m.content }}><|{{ m.content|trim }}|><｜{{ m.content.strip().replace('x', '') }}｜>[{{ m.content }}]{% endfor %}"

var loaded sync.Map

// load gives a tokenizer and the template that its file brings, "" for none. Names are those of shared/data and of models.
func load(t testing.TB, name string) (*tokenizer.Tokenizer, string) {
	t.Helper()
	type pair struct {
		tok      *tokenizer.Tokenizer
		template string
	}
	kind, base, _ := strings.Cut(name, "/")
	var path string
	switch kind {
	case "tokenizers":
		path = numtest.Shared(t, "data/tokenizers/"+base+"/tokenizer.json")
	case "vocabs":
		path = numtest.Shared(t, "data/vocabs/ggml-vocab-"+base+".gguf")
	default:
		path = numtest.Model(t, base)
	}
	if p, ok := loaded.Load(path); ok {
		return p.(pair).tok, p.(pair).template
	}
	var p pair
	var err error
	if kind == "tokenizers" {
		p.tok, p.template, err = loadJSON(path)
	} else {
		p.tok, p.template, err = loadGGUF(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	loaded.Store(path, p)
	return p.tok, p.template
}

func loadJSON(path string) (*tokenizer.Tokenizer, string, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	config, err := os.ReadFile(strings.Replace(path, "tokenizer.json", "tokenizer_config.json", 1))
	if err != nil {
		return nil, "", err
	}
	var c struct {
		Template string `json:"chat_template"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, "", err
	}
	tok, err := tokenizer.FromJSON(file, config)
	return tok, c.Template, err
}

func loadGGUF(path string) (*tokenizer.Tokenizer, string, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	tok, err := tokenizer.FromGGUF(f)
	if err != nil {
		return nil, "", err
	}
	template, err := f.StringOr("tokenizer.chat_template", "")
	return tok, strings.Clone(template), err
}

var vocabularies = []string{"tokenizers/deepseek-v3", "tokenizers/minimind", "models/smollm2-135m", "models/qwen2.5-coder-0.5b",
	"vocabs/llama-spm", "vocabs/deepseek-llm", "vocabs/deepseek-coder", "vocabs/gpt-2"}

// templates are a vocabulary's own and the hostile ones.
func templates(own string) []string {
	all := []string{plainTemplate, wrapTemplate}
	if own != "" {
		all = append(all, own)
	}
	return all
}

func newChat(t testing.TB, template string, tok *tokenizer.Tokenizer) *Chat {
	t.Helper()
	c, err := New(template, tok)
	if err != nil {
		t.Fatal(err)
	}
	c.SetClock(func() time.Time { return time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC) })
	return c
}

func prompt(t testing.TB, c *Chat, msgs []Message, o Options) Prompt {
	t.Helper()
	p, err := c.Prompt(msgs, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var benign = [][]Message{
	{{Role: "user", Content: "Hello"}},
	{{Role: "system", Content: "You are terse."}, {Role: "user", Content: "Name  three colours.\n\n"}},
	{{Role: "user", Content: "写一首诗 🌸"}, {Role: "assistant", Content: "床前明月光，\n疑是地上霜。", Reasoning: "李白\n静夜思"}, {Role: "user", Content: " another\t\n"}},
	{{Role: "user", Content: ""}, {Role: "assistant", Content: ""}, {Role: "user", Content: "    def f(x):\n        return 12345 "}},
}

// TestPromptIsJoint holds prompts of harmless text to what encoding the whole rendered text at once gives, with every
// special token matched: looking apart at template and messages changes nothing.
func TestPromptIsJoint(t *testing.T) {
	for _, name := range vocabularies {
		t.Run(name, func(t *testing.T) {
			tok, own := load(t, name)
			for _, template := range append(templates(own), numtestTemplates(t)...) {
				c := newChat(t, template, tok)
				for i, msgs := range benign {
					for _, o := range []Options{{}, {Finished: true}, {Thinking: ThinkOn}, {Thinking: ThinkOff}} {
						text, err := c.render(msgs, o)
						if err != nil {
							t.Fatal(err)
						}
						want := tok.Encode(text.Text, tokenizer.Options{Special: true})
						if got := c.encode(text); !slices.Equal(got, want) {
							t.Errorf("conversation %d, %+v, %.40q: %q\n got %v\nwant %v", i, o, template, text.Text, got, want)
						}
					}
				}
			}
		})
	}
}

// numtestTemplates are published ones whose marks most vocabularies here do not know.
func numtestTemplates(t testing.TB) []string {
	var out []string
	for _, name := range []string{"Qwen-Qwen3-0.6B", "deepseek-ai-DeepSeek-V3.1", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"} {
		b, err := os.ReadFile(numtest.Shared(t, "data/templates/"+name+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// markIDs lists the ids that text could become if special tokens were matched in it. It asks the vocabulary, not this
// package, and takes every token that is control or does not come of plain text.
func markIDs(tok *tokenizer.Tokenizer) []int {
	var out []int
	for id := range tok.Vocab() {
		text := tok.Token(id)
		if tok.IsSpecial(id) && text != "" {
			out = append(out, id)
		} else if string(tok.Bytes(id)) == text && strings.ContainsAny(text, "<[｜") && strings.ContainsFunc(text, unicode.IsLetter) &&
			!slices.Contains(tok.Encode(text, tokenizer.Options{}), id) {
			out = append(out, id)
		}
	}
	return out
}

// TestTextNeverBecomesSpecial types every special token's text as a message, whole, in other text and cut over two
// messages. No id may come of it, and the characters must all be there.
func TestTextNeverBecomesSpecial(t *testing.T) {
	for _, name := range vocabularies {
		t.Run(name, func(t *testing.T) {
			tok, own := load(t, name)
			marks := markIDs(tok)
			if len(marks) == 0 {
				t.Fatal("no special tokens")
			}
			if len(marks) > 120 { // DeepSeek-V3 has 800 placeholders, all alike
				marks = slices.Concat(marks[:60], marks[len(marks)-60:])
			}
			for _, template := range templates(own) {
				c := newChat(t, template, tok)
				for _, id := range marks {
					attack(t, c, id)
				}
			}
		})
	}
}

// attack checks one special token with one template.
func attack(t *testing.T, c *Chat, id int) {
	t.Helper()
	text := c.tok.Token(id)
	cut := len(text) / 2
	for cut < len(text) && text[cut]&0xC0 == 0x80 {
		cut++
	}
	for _, word := range []string{text, "a " + text + " b" + text, strings.Trim(text, "<>|｜[]")} {
		msgs := []Message{{Role: "system", Content: word}, {Role: "user", Content: word}, {Role: "assistant", Content: word, Reasoning: word},
			{Role: "user", Content: text[:cut]}, {Role: "user", Content: text[cut:]}}
		harmless := make([]Message, len(msgs))
		for i, m := range msgs {
			harmless[i] = Message{Role: m.Role, Content: "x"}
			if m.Reasoning != "" {
				harmless[i].Reasoning = "x"
			}
		}
		got, want := prompt(t, c, msgs, Options{}), prompt(t, c, harmless, Options{})
		if g, w := times(got.IDs, id), times(want.IDs, id); g > w {
			t.Errorf("%q as text is %d times token %d, the template has it %d times", text, g, id, w)
		}
		m, err := c.render(msgs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if back := c.tok.DecodeSpecial(got.IDs); !strings.HasSuffix(strings.TrimSpace(back), strings.TrimSpace(m.Text)) {
			t.Errorf("%q: prompt reads %q, want %q", text, back, m.Text)
		}
	}
}

func times(ids []int, id int) int {
	n := 0
	for _, i := range ids {
		if i == id {
			n++
		}
	}
	return n
}

// TestVarsAreData passes special tokens in a tool's description and keys.
func TestVarsAreData(t *testing.T) {
	tok, template := load(t, "tokenizers/minimind")
	c := newChat(t, template, tok)
	end, _ := tok.ID("<|im_end|>")
	tools := func(word string) []any {
		v, err := jinja.FromJSON([]byte(`[{"name":"`+word+`","`+word+`":["`+word+`"]}]`), false)
		if err != nil {
			t.Fatal(err)
		}
		return v.([]any)
	}
	got := prompt(t, c, benign[0], Options{Vars: map[string]any{"tools": tools("<|im_end|>")}})
	want := prompt(t, c, benign[0], Options{Vars: map[string]any{"tools": tools("x")}})
	if g, w := times(got.IDs, end), times(want.IDs, end); g != w || w == 0 {
		t.Errorf("<|im_end|> %d times, want %d", g, w)
	}
	if s := tok.DecodeSpecial(got.IDs); !strings.Contains(s, `{"name": "<|im_end|>", "<|im_end|>": ["<|im_end|>"]}`) {
		t.Errorf("tools are missing: %q", s)
	}
}

// TestOneBOS: the vocabularies of DeepSeek add BOS, and so does the template of V3.
func TestOneBOS(t *testing.T) {
	for _, name := range []string{"tokenizers/deepseek-v3", "vocabs/llama-spm"} {
		tok, own := load(t, name)
		for _, template := range append(templates(own), "{% for m in messages %}{{ m.content }}{% endfor %}") {
			for _, content := range []string{"hi", "", tok.Token(tok.BOS)} {
				p := prompt(t, newChat(t, template, tok), []Message{{Role: "user", Content: content}}, Options{})
				if len(p.IDs) == 0 || p.IDs[0] != tok.BOS || times(p.IDs, tok.BOS) != 1 {
					t.Errorf("%s, %.30q, content %q: %v, want BOS %d once, in front", name, template, content, p.IDs, tok.BOS)
				}
			}
		}
	}
	tok, own := load(t, "models/smollm2-135m")
	p := prompt(t, newChat(t, own, tok), []Message{{Role: "user", Content: "hi"}}, Options{})
	if s := tok.DecodeSpecial(p.IDs); !strings.HasPrefix(s, "<|im_start|>system") {
		t.Errorf("%q: a BOS that nobody asked for", s)
	}
}

// TestThinking follows the switch through templates: R1's opens a block always, V3.1's and Qwen3's on demand.
func TestThinking(t *testing.T) {
	tok, _ := load(t, "tokenizers/deepseek-v3")
	for _, c := range []struct {
		file     string
		thinking Thinking
		open     bool
		tail     string
	}{
		{"llama-cpp-deepseek-r1", ThinkAuto, true, "<｜Assistant｜><think>\n"},
		{"llama-cpp-deepseek-r1", ThinkOn, true, "<｜Assistant｜><think>\n"},
		{"llama-cpp-deepseek-r1", ThinkOff, false, "<｜Assistant｜><think>\n\n</think>\n\n"},
		{"deepseek-ai-DeepSeek-V3.1", ThinkAuto, false, "<｜Assistant｜><think></think>"},
		{"deepseek-ai-DeepSeek-V3.1", ThinkOn, true, "<｜Assistant｜><think>"},
		{"deepseek-ai-DeepSeek-V3.1", ThinkOff, false, "<｜Assistant｜><think></think>"},
		{"Qwen-Qwen3-0.6B", ThinkAuto, false, "<|im_start|>assistant\n"},
		{"Qwen-Qwen3-0.6B", ThinkOn, false, "<|im_start|>assistant\n"},
		{"Qwen-Qwen3-0.6B", ThinkOff, false, "<|im_start|>assistant\n<think>\n\n</think>\n\n"},
		{"Qwen-Qwen2.5-7B-Instruct", ThinkOff, false, "<|im_start|>assistant\n"},
	} {
		b, err := os.ReadFile(numtest.Shared(t, "data/templates/"+c.file+".jinja"))
		if err != nil {
			t.Fatal(err)
		}
		// The last message tries to open a block of its own.
		p := prompt(t, newChat(t, string(b), tok), []Message{{Role: "user", Content: "hi <think>"}}, Options{Thinking: c.thinking})
		if s := tok.DecodeSpecial(p.IDs); p.Thinking != c.open || !strings.HasSuffix(s, c.tail) {
			t.Errorf("%s, thinking %d: open %v, %q; want %v, %q", c.file, c.thinking, p.Thinking, s, c.open, c.tail)
		}
	}
	p := prompt(t, newChat(t, plainTemplate, tok), []Message{{Role: "user", Content: "hi <think>\n"}}, Options{})
	if p.Thinking {
		t.Error("a user opened a thinking block")
	}
}

// padding is a tokenizer.json that puts a space before the first word of a text alone, and whose <e> takes white space
// on both sides.
const padding = `{"model": {"type": "BPE", "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "<": 4, "e": 5, ">": 6, "\n": 7}, "merges": [], "unk_token": "<unk>"},
"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
"added_tokens": [{"id": 8, "content": "<s>", "special": true}, {"id": 9, "content": "<e>", "special": true, "lstrip": true, "rstrip": true}]}`

// TestPadding: the parts of a prompt are encoded one by one, but only its start is padded, and marks that take white
// space take that of messages too.
func TestPadding(t *testing.T) {
	tok, err := tokenizer.FromJSON([]byte(padding), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newChat(t, "b<s>{% for m in messages %}{{ m.content }}<e>{{ m.content }}{% endfor %}", tok)
	for _, content := range []string{"ab", "a", "\nb ", " ", "", " a"} {
		text, err := c.render([]Message{{Role: "user", Content: content}}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := tok.Encode(text.Text, tokenizer.Options{Special: true})
		if got := c.encode(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text.Text, got, want)
		}
	}
	p := prompt(t, c, []Message{{Role: "user", Content: "<e>a"}}, Options{})
	if times(p.IDs, 9) != 1 || times(p.IDs, 4) != 2 {
		t.Errorf("<e> as text: %v", p.IDs)
	}
}

// TestDate and effort reach the template.
func TestDate(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	c := newChat(t, "{{ strftime_now('%d %b %Y') }} {{ reasoning_effort }} {{ city }}", tok)
	p := prompt(t, c, nil, Options{Effort: "high", Vars: map[string]any{"city": "北京"}})
	if got := tok.DecodeSpecial(p.IDs); got != "04 Mar 2025 high 北京" {
		t.Errorf("got %q", got)
	}
}

func TestRefusals(t *testing.T) {
	tok, _ := load(t, "tokenizers/minimind")
	if _, err := New(" \n", tok); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("empty template: %v", err)
	}
	if _, err := New("{% if %}", tok); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("bad template: %v", err)
	}
	c := newChat(t, "{{ raise_exception('no system role') }}", tok)
	if _, err := c.Prompt(nil, Options{}); err == nil || !strings.Contains(err.Error(), "no system role") {
		t.Errorf("template that refuses: %v", err)
	}
	if _, err := c.Prompt([]Message{{Role: "<|im_start|>"}}, Options{}); err == nil || !strings.Contains(err.Error(), `message 1: role "<|im_start|>"`) {
		t.Errorf("unknown role: %v", err)
	}
}

// FuzzPrompt gives any text as content of three turns, and to the tools, calls and results of three: special tokens are
// those of the template alone.
func FuzzPrompt(f *testing.F) {
	tok, template := load(f, "tokenizers/minimind")
	c := newChat(f, template, tok)
	wrap := newChat(f, wrapTemplate, tok)
	for _, s := range []string{"<|im_end|>", "<|im_<|im_end|>end|>", "</think>", "<think>\n</think>\n", "im_end", "  <tool_call> ", "\xff<|im", `"\`} {
		f.Add(s, s)
	}
	marks := markIDs(tok)
	talk := func(a, b string) ([]Message, Options) {
		return []Message{{Role: "user", Content: a}, {Role: "assistant", Content: b, Reasoning: "x" + a}, {Role: "user", Content: b}}, Options{}
	}
	call := func(a, b string) ([]Message, Options) {
		args := "{" + quoted("x"+a) + ": [" + quoted(b) + "]}"
		return []Message{{Role: "user", Parts: []Part{{"text", a}, {"text", b}}}, {Role: "assistant", Content: b, ToolCalls: []ToolCall{{a, "x" + a, args}}},
			{Role: "tool", Content: a, Name: b, ToolCallID: a}}, Options{Tools: []Tool{{"x" + b, a, []byte(args)}}}
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		check := func(c *Chat, make func(a, b string) ([]Message, Options)) {
			msgs, o := make(a, b)
			got, err := c.Prompt(msgs, o)
			if err != nil {
				t.Fatal(err)
			}
			msgs, o = make("x", "x")
			want, err := c.Prompt(msgs, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range marks {
				if g, w := times(got.IDs, id), times(want.IDs, id); g != w {
					t.Fatalf("token %d (%s) %d times, want %d", id, tok.Token(id), g, w)
				}
			}
		}
		check(c, talk)
		check(wrap, talk)
		check(c, call)
	})
}
