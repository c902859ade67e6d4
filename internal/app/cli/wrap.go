package cli

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// wrapper breaks text that comes in pieces at its blanks, so that a terminal breaks none of its words. A word that turns
// out too long for its line is taken back and written again on the next. The zero value wraps nothing.
type wrapper struct {
	width int    // columns that a line may have; 0 is no bound
	col   int    // where the cursor stands
	word  string // what stands on this line since the last place for a break
}

// wrap returns what to write for more of the text.
func (w *wrapper) wrap(text string) string {
	if w.width <= 0 {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		switch n := ansi.StringWidth(string(r)); {
		case r == '\n':
			out.WriteByte('\n')
			w.begin()
		case r == ' ', r == '\t':
			if r == '\t' {
				n = 8 - w.col%8
			}
			if w.col += n; w.col > w.width {
				out.WriteByte('\n') // in place of the blank
				w.begin()
				break
			}
			out.WriteRune(r)
			w.word = ""
		default:
			if w.col+n > w.width {
				w.breakLine(&out)
			}
			out.WriteRune(r)
			w.col += n
			if w.word += string(r); n > 1 {
				w.word = "" // between wide characters a line may break
			}
		}
	}
	return out.String()
}

// begin says that a line begins.
func (w *wrapper) begin() { w.col, w.word = 0, "" }

// breakLine goes to the next line, and takes along the word at hand unless it is all there is.
func (w *wrapper) breakLine(out *strings.Builder) {
	word, n := w.word, ansi.StringWidth(w.word)
	if n >= w.col {
		word, n = "", 0
	}
	if n > 0 {
		fmt.Fprintf(out, "\x1b[%dD\x1b[K", n)
	}
	out.WriteString("\n" + word)
	w.col, w.word = n, word
}
