package chat

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// whole feeds parts to a splitter and gives all it returned.
func whole(t testing.TB, p Prompt, parts ...string) (reasoning, content string) {
	t.Helper()
	s := NewSplitter(p)
	add := func(r, c string) {
		if !utf8.ValidString(r) || !utf8.ValidString(c) {
			t.Fatalf("%q: part %q, %q is not UTF-8", parts, r, c)
		}
		if r != "" && content != "" {
			t.Fatalf("%q: reasoning %q behind content %q", parts, r, content)
		}
		reasoning += r
		content += c
	}
	for _, part := range parts {
		add(s.Write([]byte(part)))
	}
	add(s.Close())
	return reasoning, content
}

var answers = []struct {
	text               string
	opened             bool
	reasoning, content string
}{
	{"Hello", false, "", "Hello"},
	{"", false, "", ""},
	{"", true, "", ""},
	{"  \n", false, "", "  \n"},
	{"<think>\nLet me see.\n</think>\n\nYes.", false, "Let me see.", "Yes."},
	{"<think>a</think>b", false, "a", "b"},
	{"\n <think>\n\na\n\n</think>\n\n\nb\n", false, "\na\n", "\nb\n"},
	{"<think>\n\n</think>\n\nHi", false, "", "Hi"},
	{"Let me see.\n</think>\n\nYes.", true, "Let me see.", "Yes."},
	{"\nLet me see.</think>Yes.", true, "Let me see.", "Yes."},
	{"a < b </thin </think", true, "a < b </thin </think", ""},
	{"a\n</think", true, "a\n</think", ""},
	{"a\n", true, "a\n", ""},
	{"cut off", true, "cut off", ""},
	{"<think", false, "", "<think"},
	{"<thinker> is a word", false, "", "<thinker> is a word"},
	{"The tag <think> is text, </think> too.", false, "", "The tag <think> is text, </think> too."},
	{"<think>a</think>b</think>c<think>d", false, "a", "b</think>c<think>d"},
	{"a\n\n</think>\nb", true, "a\n", "b"},
	{"<think>想一想 🌸\n</think>\n\n你好 🌸", false, "想一想 🌸", "你好 🌸"},
	{"a\xff\xe4\xbd</think>b\xf0\x9f", true, "a\ufffd\ufffd\ufffd", "b\ufffd\ufffd"},
	{"</think>", true, "", ""},
	{"\n</think>\n\n", true, "", ""},
}

// TestSplitter cuts every answer at every pair of bytes, and into single bytes: the parts do not show.
func TestSplitter(t *testing.T) {
	for _, a := range answers {
		p := Prompt{Thinking: a.opened}
		check := func(parts ...string) {
			t.Helper()
			if r, c := whole(t, p, parts...); r != a.reasoning || c != a.content {
				t.Errorf("%q: reasoning %q, content %q; want %q, %q", parts, r, c, a.reasoning, a.content)
			}
		}
		check(strings.Split(a.text, "")...)
		bytes := make([]string, len(a.text))
		for i := range bytes {
			bytes[i] = a.text[i : i+1]
		}
		check(bytes...)
		for i := range len(a.text) + 1 {
			for j := i; j <= len(a.text); j++ {
				check(a.text[:i], a.text[i:j], a.text[j:])
			}
		}
	}
}

// TestSplitterHoldsLittle: what cannot belong to a mark comes at once.
func TestSplitterHoldsLittle(t *testing.T) {
	s := NewSplitter(Prompt{Thinking: true})
	for _, step := range []struct{ in, reasoning, content string }{
		{"ab <", "ab ", ""}, {"c", "<c", ""}, {"\n", "", ""}, {"d\n</", "\nd", ""}, {"think", "", ""}, {">\n", "", ""}, {"\n", "", ""},
		{"e<", "", "e<"}, {"\xe4\xbd", "", ""}, {"\xa0", "", "你"},
	} {
		if r, c := s.Write([]byte(step.in)); r != step.reasoning || c != step.content {
			t.Errorf("%q: %q, %q; want %q, %q", step.in, r, c, step.reasoning, step.content)
		}
	}
	if s.Thinking() {
		t.Error("still thinking")
	}
}

// TestAppendToken: DeepSeek's marks are tokens, and a splitter sees them.
func TestAppendToken(t *testing.T) {
	tok, template := load(t, "tokenizers/minimind")
	c := newChat(t, template, tok)
	open, _ := tok.ID("<think>")
	end, _ := tok.ID("<|im_end|>")
	if got := c.AppendToken([]byte("a"), open); string(got) != "a<think>" {
		t.Errorf("<think>: %q", got)
	}
	if got := c.AppendToken(nil, end); len(got) != 0 {
		t.Errorf("<|im_end|>: %q", got)
	}
}

// FuzzSplitter: the cut does not show, and nothing but marks and line breaks is lost.
func FuzzSplitter(f *testing.F) {
	for _, a := range answers {
		f.Add(a.text, 3, a.opened)
	}
	f.Fuzz(func(t *testing.T, text string, n int, opened bool) {
		p := Prompt{Thinking: opened}
		reasoning, content := whole(t, p, text)
		cut := max(0, min(n, len(text)))
		if r, c := whole(t, p, text[:cut], text[cut:]); r != reasoning || c != content {
			t.Errorf("%q cut at %d: %q, %q; whole: %q, %q", text, cut, r, c, reasoning, content)
		}
		if lost := len(strings.ToValidUTF8(text, "")) - len(reasoning) - len(content); !strings.Contains(text, "think>") && lost > 1 {
			t.Errorf("%q: %d bytes are lost", text, lost)
		}
	})
}
