package cli

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows how far a phase is: a bar with the time left on a terminal, a line now and then elsewhere.
type progress struct {
	bytes bool // what is counted are bytes

	w     io.Writer
	bars  *mpb.Progress // nil where w is no terminal
	bar   *mpb.Bar
	phase string
	pace  pace
	last  time.Time
	note  atomic.Pointer[string] // these two are read by the goroutine that draws
	total atomic.Int64
}

// pace is how a phase began. What an earlier run did tells nothing of this one's speed.
type pace struct {
	start time.Time
	done  int
}

// between is how far apart lines are where there is no terminal.
const between = 10 * time.Second

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if isTerminal(w) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithAutoRefresh())
	}
	return p
}

// set says that done of total units of phase are done; a total below zero is not known.
func (p *progress) set(phase string, done, total int, note string) {
	now := time.Now()
	p.note.Store(&note)
	p.total.Store(int64(total))
	if phase != p.phase {
		p.finish()
		p.phase, p.pace, p.last = phase, pace{now, done}, time.Time{}
		if p.bars != nil {
			p.bar = p.draw(phase, p.pace)
		}
	}
	if p.bar != nil {
		p.bar.SetTotal(int64(total), false)
		p.bar.SetCurrent(int64(done))
		return
	}
	if now.Sub(p.last) < between && done != total {
		return
	}
	p.last = now
	line := phase + " " + p.count(done, total) + p.pace.left(done, total)
	if note != "" {
		line += " " + note
	}
	fmt.Fprintln(p.w, line)
}

// draw starts the bar of a phase.
func (p *progress) draw(phase string, began pace) *mpb.Bar {
	count := func(s decor.Statistics) string { return p.count(int(s.Current), int(p.total.Load())) }
	left := func(s decor.Statistics) string { return began.left(int(s.Current), int(p.total.Load())) }
	note := func(decor.Statistics) string { return " " + *p.note.Load() }
	return p.bars.AddBar(p.total.Load(), mpb.PrependDecorators(decor.Name(phase, decor.WCSyncSpaceR), decor.Any(count, decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Any(left), decor.Any(note)))
}

// say writes a line beside the bar.
func (p *progress) say(text string) {
	text = clean(text) // a server may have written it
	if p.bars != nil {
		fmt.Fprintln(p.bars, text) // above the bars
		return
	}
	fmt.Fprintln(p.w, text)
}

func (p *progress) count(done, total int) string {
	text := func(n int) string { return fmt.Sprint(n) }
	if p.bytes {
		text = func(n int) string { return byteText(int64(n)) }
	}
	if total < 0 {
		return text(done)
	}
	return text(done) + "/" + text(total)
}

// left is the time left at the pace of this phase.
func (p pace) left(done, total int) string {
	if done <= p.done || done >= total {
		return ""
	}
	left := time.Duration(float64(time.Since(p.start)) / float64(done-p.done) * float64(total-done))
	return " " + left.Round(time.Second).String() + " left"
}

// finish ends the bar of a phase as it stands.
func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Abort(false) // nothing where it is complete
		p.bar = nil
	}
}

// done ends the display; further calls do nothing.
func (p *progress) done() {
	p.finish()
	if p.bars != nil {
		p.bars.Wait()
	}
}

// isTerminal says whether w, or what else it is, is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
