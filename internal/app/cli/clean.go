package cli

import (
	"strings"
	"unicode/utf8"
)

// cleaner takes out of text what a terminal would obey: escape sequences (colours, titles, the clipboard, links), other
// control characters and the marks that reorder text. Models, files and pages must not drive the user's terminal.
// A sequence may come in parts, one call after another. The zero value is ready.
type cleaner struct {
	state escape
	size  int // characters of the sequence so far
}

// escape says where in an escape sequence a text stands. Source: ECMA-48, fifth edition, sections 5.3 to 5.6.
type escape int

const (
	plain    escape = iota
	escaped         // behind ESC
	control         // in a control sequence: ESC [ …
	command         // in a string for the terminal: ESC ] … BEL or ESC \
	finishes        // behind the ESC that may end a string
)

// maxEscape is where a sequence that does not end is taken for text that does not belong to it.
const maxEscape = 4096

// clean returns what may be shown of text.
func (c *cleaner) clean(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 && text[i] >= 0x80 && text[i] < 0xa0 {
			r = rune(text[i]) // a lone C1 byte, which some terminals obey
		}
		if c.show(r) {
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String()
}

// show moves on by one character and says whether it may be seen.
func (c *cleaner) show(r rune) bool {
	if c.size++; r == '\n' || c.size > maxEscape {
		c.state = plain // no sequence crosses a line: one that was never closed would swallow the answer
	}
	switch c.state {
	case plain:
		return c.plain(r)
	case escaped:
		c.state = plain
		switch {
		case r == '[':
			c.state = control
		case strings.ContainsRune("]PX^_", r):
			c.state = command
		case r >= 0x20 && r <= 0x2f: // intermediates of a two-character sequence
			c.state = escaped
		}
	case control:
		if r >= 0x40 && r <= 0x7e || r < 0x20 || r > 0x7e {
			c.state = plain
		}
	case command:
		switch r {
		case 0x07, 0x9c:
			c.state = plain
		case 0x1b:
			c.state = finishes
		}
	case finishes:
		if c.state = command; r == '\\' {
			c.state = plain
		}
	}
	return false
}

func (c *cleaner) plain(r rune) bool {
	c.size = 0
	switch {
	case r == 0x1b:
		c.state = escaped
	case r == 0x9b:
		c.state = control
	case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f:
		c.state = command
	case r == '\n' || r == '\t':
		return true
	case r < 0x20 || r >= 0x7f && r < 0xa0:
	case r == 0x061c || r == 0x200e || r == 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // bidi
	default:
		return true
	}
	return false
}

// clean returns what may be shown of a text that stands alone, such as a name in a file, on one line.
func clean(text string) string {
	return strings.Join(strings.Fields((&cleaner{}).clean(text)), " ")
}
