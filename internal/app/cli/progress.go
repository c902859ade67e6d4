package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how far a phase is: a bar with the time left on a terminal, a line now and then elsewhere.
type progress struct {
	w     io.Writer
	bars  *mpb.Progress // nil where w is no terminal
	bar   *mpb.Bar
	phase string
	note  string
	start time.Time
	first int // done when the phase began: what an earlier run did tells nothing of this one's speed
	last  time.Time
}

// between is how far apart lines are where there is no terminal.
const between = 10 * time.Second

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithAutoRefresh())
	}
	return p
}

// set says that done of total units of phase are done.
func (p *progress) set(phase string, done, total int, note string) {
	now := time.Now()
	if phase != p.phase {
		p.finish()
		p.phase, p.start, p.first, p.last = phase, now, done, time.Time{}
		if p.bars != nil {
			p.bar = p.bars.AddBar(int64(total), mpb.PrependDecorators(decor.Name(phase, decor.WCSyncSpaceR), decor.CountersNoUnit("%d/%d", decor.WCSyncSpace)),
				mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return p.left(total) }), decor.Any(func(decor.Statistics) string { return " " + p.note })))
		}
	}
	p.note = note
	if p.bar != nil {
		p.bar.SetTotal(int64(total), false)
		p.bar.SetCurrent(int64(done))
		return
	}
	if now.Sub(p.last) < between && done < total {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "%s %d/%d%s %s\n", phase, done, total, p.remaining(done, total), note)
}

func (p *progress) left(total int) string { return p.remaining(int(p.bar.Current()), total) }

// remaining is the time left at the pace of this phase.
func (p *progress) remaining(done, total int) string {
	if done <= p.first || done >= total {
		return ""
	}
	left := time.Duration(float64(time.Since(p.start)) / float64(done-p.first) * float64(total-done))
	return " " + left.Round(time.Second).String() + " left"
}

func (p *progress) finish() {
	if p.bar != nil {
		p.bar.SetTotal(p.bar.Current(), true)
		p.bar = nil
	}
}

// done ends the display.
func (p *progress) done() {
	p.finish()
	if p.bars != nil {
		p.bars.Wait()
	}
}
