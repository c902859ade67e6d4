package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// editor reads lines that the user can edit: arrow keys, history, paste of several lines, wide characters. It is our
// own because golang.org/x/term's counts every character as one column, which garbles Chinese, and knows no pasted
// line breaks; the rest of the field's editors are older still.
type editor struct {
	in      *bufio.Reader
	out     io.Writer
	size    func() (width, height int)
	history []string

	prompt, more string // before the first line and the following ones
	text         []rune
	at           int // the cursor stands before text[at]
	row          int // of the cursor on the screen, from the first row that is drawn
	recall       int // index into history, len(history) for the line that is being written
	draft        string
	pasting      bool
}

// errInterrupt says that the user pressed Ctrl-C.
var errInterrupt = errors.New("interrupted")

// newEditor returns an editor for the terminal in, out.
func newEditor(in, out *os.File) *editor {
	return &editor{in: bufio.NewReader(in), out: out, size: func() (int, int) {
		w, h, err := term.GetSize(int(out.Fd()))
		if err != nil || w < 8 || h < 2 {
			return 80, 24
		}
		return w, h
	}}
}

// read returns the next line without its end; a pasted or Alt-Enter line break is part of it. Ctrl-C gives
// errInterrupt, Ctrl-D in an empty line io.EOF. The terminal is in raw mode.
func (e *editor) read(prompt, more string) (string, error) {
	e.prompt, e.more, e.text, e.at, e.row, e.recall, e.draft = prompt, more, nil, 0, 0, len(e.history), ""
	io.WriteString(e.out, "\x1b[?2004h") // pasted text comes between marks
	defer io.WriteString(e.out, "\x1b[?2004l")
	for {
		if e.in.Buffered() == 0 || !e.pasting {
			e.draw()
		}
		r, size, err := e.in.ReadRune()
		if err != nil {
			return "", err
		}
		if r == utf8.RuneError && size == 1 {
			continue
		}
		done, err := e.key(r)
		if done || err != nil {
			e.at = len(e.text)
			e.draw()
			io.WriteString(e.out, "\r\n")
			return string(e.text), err
		}
	}
}

// remember adds a line to the history, unless it is the last one again.
func (e *editor) remember(line string) {
	if n := len(e.history); strings.TrimSpace(line) != "" && (n == 0 || e.history[n-1] != line) {
		e.history = append(e.history, line)
	}
}

func ctrl(r rune) rune { return r & 0x1f }

// key obeys one key and says whether the line is done.
func (e *editor) key(r rune) (done bool, err error) {
	if e.pasting && r != 0x1b {
		e.paste(r)
		return false, nil
	}
	switch r {
	case '\r', '\n':
		return true, nil
	case ctrl('C'):
		return false, errInterrupt
	case ctrl('D'):
		if len(e.text) == 0 {
			return false, io.EOF
		}
		e.remove(e.at, e.at+1)
	case 0x7f, ctrl('H'):
		e.remove(e.at-1, e.at)
	case ctrl('A'):
		e.at = e.lineStart()
	case ctrl('E'):
		e.at = e.lineEnd()
	case ctrl('B'):
		e.at = max(e.at-1, 0)
	case ctrl('F'):
		e.at = min(e.at+1, len(e.text))
	case ctrl('K'):
		e.remove(e.at, e.lineEnd())
	case ctrl('U'):
		e.remove(e.lineStart(), e.at)
	case ctrl('W'):
		e.remove(e.wordLeft(), e.at)
	case ctrl('P'):
		e.browse(-1)
	case ctrl('N'):
		e.browse(1)
	case ctrl('L'):
		io.WriteString(e.out, "\x1b[H\x1b[2J")
		e.row = 0
	case 0x1b:
		return false, e.escape()
	default:
		if r == '\t' || !unicode.IsControl(r) {
			e.insert(r)
		}
	}
	return false, nil
}

// paste takes a character between the marks around pasted text. Terminals send line ends as CR.
func (e *editor) paste(r rune) {
	switch {
	case r == '\r':
		e.insert('\n')
	case r == '\n' || r == '\t' || !unicode.IsControl(r):
		e.insert(r)
	}
}

// escape obeys a key that sends an escape sequence, and ignores those it does not know.
func (e *editor) escape() error {
	r, _, err := e.in.ReadRune()
	if err != nil {
		return err
	}
	var seq []rune
	switch r {
	case '[':
		for {
			if r, _, err = e.in.ReadRune(); err != nil {
				return err
			}
			seq = append(seq, r)
			if r >= 0x40 && r <= 0x7e || len(seq) > 16 {
				break
			}
		}
	case 'O':
		if r, _, err = e.in.ReadRune(); err != nil {
			return err
		}
		seq = []rune{r}
	default:
		seq = []rune{0x1b, r}
	}
	e.sequence(string(seq))
	return nil
}

func (e *editor) sequence(seq string) {
	switch seq {
	case "200~":
		e.pasting = true
	case "201~":
		e.pasting = false
	case "A":
		e.vertical(-1)
	case "B":
		e.vertical(1)
	case "C":
		e.at = min(e.at+1, len(e.text))
	case "D":
		e.at = max(e.at-1, 0)
	case "H", "1~", "7~":
		e.at = e.lineStart()
	case "F", "4~", "8~":
		e.at = e.lineEnd()
	case "3~":
		e.remove(e.at, e.at+1)
	case "1;5C", "1;3C", "\x1bf":
		e.at = e.wordRight()
	case "1;5D", "1;3D", "\x1bb":
		e.at = e.wordLeft()
	case "\x1bd":
		e.remove(e.at, e.wordRight())
	case "\x1b\x7f":
		e.remove(e.wordLeft(), e.at)
	case "\x1b\r":
		e.insert('\n')
	}
}

func (e *editor) insert(r rune) {
	e.text = append(e.text, 0)
	copy(e.text[e.at+1:], e.text[e.at:])
	e.text[e.at] = r
	e.at++
}

// remove takes out text[lo:hi], as far as it is there.
func (e *editor) remove(lo, hi int) {
	lo, hi = max(lo, 0), min(hi, len(e.text))
	if lo < hi {
		e.text = append(e.text[:lo], e.text[hi:]...)
		e.at = lo
	}
}

func (e *editor) lineStart() int {
	i := e.at
	for i > 0 && e.text[i-1] != '\n' {
		i--
	}
	return i
}

func (e *editor) lineEnd() int {
	i := e.at
	for i < len(e.text) && e.text[i] != '\n' {
		i++
	}
	return i
}

func (e *editor) wordLeft() int {
	i := e.at
	for i > 0 && unicode.IsSpace(e.text[i-1]) {
		i--
	}
	for i > 0 && !unicode.IsSpace(e.text[i-1]) {
		i--
	}
	return i
}

func (e *editor) wordRight() int {
	i := e.at
	for i < len(e.text) && unicode.IsSpace(e.text[i]) {
		i++
	}
	for i < len(e.text) && !unicode.IsSpace(e.text[i]) {
		i++
	}
	return i
}

// vertical moves to the line above or below, or in the history where there is none.
func (e *editor) vertical(by int) {
	start := e.lineStart()
	column := e.at - start
	switch end := e.lineEnd(); {
	case by < 0 && start > 0:
		e.at = start - 1
		above := e.lineStart()
		e.at = min(above+column, start-1)
	case by > 0 && end < len(e.text):
		e.at = end + 1
		e.at = min(end+1+column, e.lineEnd())
	default:
		e.browse(by)
	}
}

// browse shows another line of the history.
func (e *editor) browse(by int) {
	to := e.recall + by
	if to < 0 || to > len(e.history) {
		return
	}
	if e.recall == len(e.history) {
		e.draft = string(e.text)
	}
	line := e.draft
	if to < len(e.history) {
		line = e.history[to]
	}
	e.recall, e.text = to, []rune(line)
	e.at = len(e.text)
}

// draw shows the line anew, with the cursor in its place.
func (e *editor) draw() {
	width, height := e.size()
	rows, row, column := e.layout(width)
	lo := 0
	if len(rows) >= height { // as much as there is room for, around the cursor
		lo = min(max(row-height/2, 0), len(rows)-height+1)
		rows = rows[lo : lo+height-1]
	}
	row -= lo
	var b strings.Builder
	up(&b, e.row)
	b.WriteString("\r\x1b[J")
	b.WriteString(strings.Join(rows, "\r\n"))
	up(&b, len(rows)-1-row)
	b.WriteString("\r")
	if column > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(column) + "C")
	}
	e.row = row
	io.WriteString(e.out, b.String())
}

func up(b *strings.Builder, n int) {
	if n > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(n) + "A")
	}
}

// layout breaks prompt and text into rows of the screen and says where the cursor stands.
func (e *editor) layout(width int) (rows []string, row, column int) {
	var b strings.Builder
	b.WriteString(e.prompt)
	at := ansi.StringWidth(e.prompt)
	end := func(next string) {
		rows = append(rows, b.String())
		b.Reset()
		b.WriteString(next)
		at = ansi.StringWidth(next)
	}
	for i, r := range e.text {
		shown := string(r)
		if r == '\t' {
			shown = "    "
		}
		w := ansi.StringWidth(shown)
		if r != '\n' && at+w > width {
			end("")
		}
		if i == e.at {
			row, column = len(rows), at
		}
		if r == '\n' {
			end(e.more)
			continue
		}
		b.WriteString(shown)
		at += w
	}
	if at >= width {
		end("")
	}
	if e.at == len(e.text) {
		row, column = len(rows), at
	}
	return append(rows, b.String()), row, column
}
