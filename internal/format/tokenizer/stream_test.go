package tokenizer

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestStream feeds texts in all pieces of one, two and three bytes: what comes out is UTF-8 at every step and the text in
// the end.
func TestStream(t *testing.T) {
	for _, text := range []string{"", "abc", "aé", "你好。", "👩‍👩‍👧x", "\u0000\uffff\U0010ffff"} {
		for size := 1; size <= 3; size++ {
			var s Stream
			var out strings.Builder
			for i := 0; i < len(text); i += size {
				part := s.Next([]byte(text[i:min(i+size, len(text))]))
				if !utf8.ValidString(part) {
					t.Errorf("%q in pieces of %d: %q is not UTF-8", text, size, part)
				}
				out.WriteString(part)
			}
			out.WriteString(s.Flush())
			if out.String() != text {
				t.Errorf("%q in pieces of %d came out as %q", text, size, out.String())
			}
		}
	}
}

// TestStreamBroken: bytes that can no longer become UTF-8 do not wait for more.
func TestStreamBroken(t *testing.T) {
	for _, test := range []struct{ in, next, flush string }{
		{"\xff", "\ufffd", ""},
		{"a\xe4\xbd", "a", "\ufffd\ufffd"},
		{"\xe4a", "\ufffda", ""},
		{"\xf0\x9f\x91", "", "\ufffd\ufffd\ufffd"},
		{"\x80\x80\x80\x80", "\ufffd\ufffd\ufffd\ufffd", ""},
		{"\xed\xa0", "\ufffd\ufffd", ""}, // a surrogate
	} {
		var s Stream
		if got := s.Next([]byte(test.in)); got != test.next {
			t.Errorf("%q: Next gave %q, want %q", test.in, got, test.next)
		}
		if got := s.Flush(); got != test.flush {
			t.Errorf("%q: Flush gave %q, want %q", test.in, got, test.flush)
		}
		if got := s.Next([]byte("x")); got != "x" {
			t.Errorf("%q: after Flush, Next gave %q", test.in, got)
		}
	}
}
