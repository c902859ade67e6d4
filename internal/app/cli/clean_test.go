package cli

import "testing"

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text, 中文, é, \ttab\nline", "plain text, 中文, é, \ttab\nline"},
		{"\x1b[31mred\x1b[0m", "red"},
		{"a\x1b]52;c;cHduZWQ=\x07b", "ab"},
		{"a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\b", "alinkb"},
		{"a\x1bPqsixel\x1b\\b", "ab"},
		{"bell\x07 back\x08 return\r nul\x00 del\x7f", "bell back return nul del"},
		{"c1 \u009b31mx \u009d0;title\u009cy", "c1 x y"},
		{"raw c1 \x9b31mx", "raw c1 x"},
		{"abc\u202edef\u2066ghi\u2069", "abcdefghi"},
		{"an open \x1b]0;string\nends with its line", "an open \nends with its line"},
		{"\x1b(0x", "x"},
		{"👩‍💻 zero width joiner stays", "👩‍💻 zero width joiner stays"},
	} {
		if got := (&cleaner{}).clean(c.in); got != c.want {
			t.Errorf("clean(%q) = %q, want %q", c.in, got, c.want)
		}
		var parts cleaner // the same text in pieces as a model writes it
		got := ""
		for _, r := range c.in {
			got += parts.clean(string(r))
		}
		if got != c.want && c.in != "raw c1 \x9b31mx" { // ranging over a string replaces broken bytes
			t.Errorf("clean(%q) in parts = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCleanEndless(t *testing.T) {
	var c cleaner
	c.clean("\x1b]")
	for range maxEscape {
		c.clean("x")
	}
	if got := c.clean("seen"); got != "seen" {
		t.Errorf("behind an endless sequence: %q, want %q", got, "seen")
	}
}
