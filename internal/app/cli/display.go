package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"retort/internal/lm/session"
)

// display shows an answer as it comes: on a terminal with the thinking apart and dimmed, elsewhere the answer alone.
type display struct {
	w        io.Writer
	terminal bool
	hide     bool // thinking is a line that counts, not its text

	clean cleaner
	wrap  wrapper
	since time.Time // when the thinking began; zero where there was none or it ended
	last  byte      // the last one shown, 0 for none
}

func (o *runOptions) display(w io.Writer) *display {
	d := &display{w: w, terminal: isTerminal(w), hide: o.hideThinking}
	if d.terminal {
		if columns, _, err := term.GetSize(int(w.(*os.File).Fd())); err == nil {
			d.wrap.width = columns - 1 // behind the last column terminals differ
		}
	}
	return d
}

// dim is how secondary text looks, where the user has not asked for none of it (no-color.org).
func dim(text string) string {
	if os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[2m" + text + "\x1b[22m"
}

// event shows what an event tells.
func (d *display) event(e session.Event) {
	switch e.Kind {
	case session.Reasoning:
		d.show(e.Text, "")
	case session.Content, session.CallBroken:
		d.show("", e.Text)
	}
}

// show takes more of the reasoning and of the answer.
func (d *display) show(reasoning, content string) {
	if !d.terminal {
		d.write(content)
		return
	}
	if reasoning != "" {
		d.think(d.clean.clean(reasoning))
	}
	if content != "" {
		d.thought()
		d.write(d.wrap.wrap(d.clean.clean(content)))
	}
}

func (d *display) write(text string) {
	if text != "" {
		io.WriteString(d.w, text)
		d.last = text[len(text)-1]
	}
}

func (d *display) think(text string) {
	if d.since.IsZero() {
		d.since = time.Now()
		if !d.hide {
			d.write(dim("Thinking…") + "\n")
		}
	}
	if d.hide {
		fmt.Fprintf(d.w, "\r\x1b[2K%s", dim(fmt.Sprintf("Thinking… %.0f s", time.Since(d.since).Seconds())))
		return
	}
	if text != "" {
		io.WriteString(d.w, dim(d.wrap.wrap(text)))
		d.last = text[len(text)-1]
	}
}

// thought closes the thinking, if there is one open.
func (d *display) thought() {
	if d.since.IsZero() {
		return
	}
	head := "\n"
	if d.hide {
		head = "\r\x1b[2K"
	} else if d.last == '\n' {
		head = ""
	}
	d.write(head + dim("Thought for "+secondsText(time.Since(d.since))) + "\n\n")
	d.wrap.begin()
	d.since = time.Time{}
}

// end closes the answer with a line break.
func (d *display) end() error {
	d.thought()
	if d.terminal && d.last == '\n' {
		return nil
	}
	_, err := io.WriteString(d.w, "\n")
	return err
}

// secondsText writes a short duration as people say it.
func secondsText(d time.Duration) string {
	if d < 10*time.Second {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	}
	return d.Round(time.Second).String()
}
