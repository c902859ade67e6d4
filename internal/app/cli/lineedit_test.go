package cli

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
)

// keys runs an editor on what a keyboard sends and returns what read gives and what it drew.
func keys(t *testing.T, width int, input string, history ...string) (line, drawn string, err error) {
	t.Helper()
	var out strings.Builder
	e := &editor{in: bufio.NewReader(strings.NewReader(input)), out: &out, size: func() (int, int) { return width, 24 }, history: history}
	line, err = e.read(">>> ", "... ")
	return line, out.String(), err
}

func TestEditor(t *testing.T) {
	const left, right, upKey, downKey, home, end, del = "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b[H", "\x1b[F", "\x1b[3~"
	history := []string{"first", "second 二"}
	for _, c := range []struct{ name, input, want string }{
		{"plain", "hello\r", "hello"},
		{"wide", "你好，世界\r", "你好，世界"},
		{"backspace takes a character", "你好\x7f\x7fab\x7f\r", "a"},
		{"backspace at the start", "\x7f\x7fa\r", "a"},
		{"insert between", "ac" + left + "b\r", "abc"},
		{"home, end", "bc" + home + "a" + end + "d\r", "abcd"},
		{"emacs keys", "bc\x01a\x05d\x02\x02\x0b\r", "ab"},
		{"delete", "abc" + home + del + "\r", "bc"},
		{"ctrl-d deletes", "abc" + home + "\x04\r", "bc"},
		{"word left, delete word", "one two three" + "\x1bb" + "\x17\r", "one three"},
		{"word right", "one two" + home + "\x1b[1;5C!\r", "one! two"},
		{"clear to the start", "one two\x15x\r", "x"},
		{"history", upKey + "\r", "second 二"},
		{"history up twice, down", upKey + upKey + upKey + downKey + "!\r", "second 二!"},
		{"the draft comes back", "draft" + upKey + downKey + "!\r", "draft!"},
		{"paste keeps line breaks", "\x1b[200~a\rb\n\tc\x1b[201~\r", "a\nb\n\tc"},
		{"a paste drops control characters", "\x1b[200~a\x03\x07b\x1b[201~\r", "ab"},
		{"alt-enter", "a\x1b\rb\r", "a\nb"},
		{"up and down inside a text", "\x1b[200~abc\rdef\x1b[201~" + upKey + "X" + downKey + "Y\r", "abcX\ndefY"},
		{"unknown keys are ignored", "a\x1b[5~\x1bOP\x1b[99;99Rb\x1bq\r", "ab"},
		{"broken UTF-8 is ignored", "a\xffb\xe4\r", "ab"},
		{"right at the end", "a" + right + right + "b\r", "ab"},
	} {
		got, _, err := keys(t, 80, c.input, history...)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestEditorEnds(t *testing.T) {
	if line, _, err := keys(t, 80, "ab\x03"); !errors.Is(err, errInterrupt) || line != "ab" {
		t.Errorf("Ctrl-C: %q, %v, want %q, %v", line, err, "ab", errInterrupt)
	}
	if _, _, err := keys(t, 80, "\x04"); !errors.Is(err, io.EOF) {
		t.Errorf("Ctrl-D: %v, want %v", err, io.EOF)
	}
	if _, _, err := keys(t, 80, "no end"); !errors.Is(err, io.EOF) {
		t.Errorf("closed input: %v, want %v", err, io.EOF)
	}
}

// Rows break before a wide character that no longer fits, and the cursor stands behind what was typed.
func TestEditorLayout(t *testing.T) {
	for _, c := range []struct {
		text        string
		at, width   int
		rows        []string
		row, column int
	}{
		{"abcd", 4, 10, []string{"> abcd"}, 0, 6},
		{"abcdefgh", 8, 10, []string{"> abcdefgh", ""}, 1, 0},
		{"abcdefgh", 7, 10, []string{"> abcdefgh", ""}, 0, 9},
		{"abcdefghi", 8, 10, []string{"> abcdefgh", "i"}, 1, 0},
		{"世界世界世", 5, 9, []string{"> 世界世", "界世"}, 1, 4},
		{"a\nb", 3, 9, []string{"> a", ": b"}, 1, 3},
		{"a\nb", 1, 9, []string{"> a", ": b"}, 0, 3},
		{"a\n", 2, 9, []string{"> a", ": "}, 1, 2},
		{"\tx", 2, 9, []string{">     x"}, 0, 7},
		{"éx", 3, 9, []string{"> éx"}, 0, 4}, // e and a combining accent
	} {
		e := &editor{prompt: "> ", more: ": ", text: []rune(c.text), at: c.at}
		if c.text == "éx" {
			e.text = []rune("e\u0301x")
			c.rows = []string{"> e\u0301x"}
		}
		rows, row, column := e.layout(c.width)
		if strings.Join(rows, "|") != strings.Join(c.rows, "|") || row != c.row || column != c.column {
			t.Errorf("layout(%q, cursor %d, width %d) = %q at %d,%d, want %q at %d,%d", c.text, c.at, c.width, rows, row, column, c.rows, c.row, c.column)
		}
	}
}

// A text that is higher than the screen is shown around the cursor, and never more rows than there are.
func TestEditorHigh(t *testing.T) {
	var out strings.Builder
	e := &editor{out: &out, size: func() (int, int) { return 20, 6 }, text: []rune(strings.Repeat("line\n", 40))}
	e.at = len(e.text)
	e.draw()
	if n := strings.Count(out.String(), "\r\n"); n > 4 {
		t.Errorf("%d rows drawn, want 5 at most", n+1)
	}
	if e.row > 5 {
		t.Errorf("cursor in row %d, want below 6", e.row)
	}
}
