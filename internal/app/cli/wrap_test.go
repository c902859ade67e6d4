package cli

import (
	"strconv"
	"strings"
	"testing"
)

// screen is a terminal of some columns that knows what wrapper writes.
type screen struct {
	columns int
	lines   []string
	col     int
}

func (s *screen) write(t *testing.T, text string) {
	if s.lines == nil {
		s.lines = []string{""}
	}
	for i := 0; i < len(text); i++ {
		last := &s.lines[len(s.lines)-1]
		switch b := text[i]; {
		case b == '\n':
			s.lines, s.col = append(s.lines, ""), 0
		case strings.HasPrefix(text[i:], "\x1b[K"):
			*last = (*last)[:s.col]
			i += 2
		case b == 0x1b:
			end := i + strings.IndexByte(text[i:], 'D')
			n, err := strconv.Atoi(text[i+2 : end])
			if err != nil || n > s.col {
				t.Fatalf("%q goes back from column %d", text[i:end+1], s.col)
			}
			s.col -= n
			i = end
		default:
			if s.col++; s.col > s.columns {
				t.Fatalf("line %q is longer than %d", *last, s.columns)
			}
			*last += string(b)
		}
	}
}

// However a text is cut when it comes, no word is broken that fits a line, and nothing is lost.
func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"the quick brown fox", "the quick |brown fox"},
		{"12345 67890 abcde", "12345 |67890 |abcde"},
		{"1234567890 x", "1234567890|x"},
		{"123456789012345 x", "1234567890|12345 x"},
		{"ab cdefghijklmno p", "ab |cdefghijkl|mno p"},
		{"ab\ncd  ef", "ab|cd  ef"},
		{"a b c d e f g", "a b c d e |f g"},
		{"", ""},
	} {
		for size := 1; size <= 20; size++ {
			w, s := &wrapper{width: 10}, &screen{columns: 10}
			for rest := c.text; rest != ""; {
				n := min(size, len(rest))
				s.write(t, w.wrap(rest[:n]))
				rest = rest[n:]
			}
			if got := strings.Join(s.lines, "|"); got != c.want {
				t.Errorf("%q in pieces of %d: %q, want %q", c.text, size, got, c.want)
			}
		}
	}
	// Wide characters break anywhere, never in the middle.
	w := &wrapper{width: 5}
	if got := w.wrap("床前明月光"); got != "床前\n明月\n光" {
		t.Errorf("wide characters: %q", got)
	}
	if w := (&wrapper{}); w.wrap("the quick brown fox") != "the quick brown fox" {
		t.Error("without a width text changes")
	}
}
