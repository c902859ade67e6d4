// Package train is the training loop: batches through a model, gradients back, parameters changed, a line in
// loss.jsonl, and checkpoints from which a killed run goes on bit for bit. It knows no tasks and no text.
//
// Open this file first, then checkpoint.go.
package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/lm/model"
)

// Options say how a run learns.
type Options struct {
	Dir        string // for loss.jsonl and checkpoints; empty keeps nothing
	Schedule   optim.Schedule
	AdamW      optim.AdamWOptions
	Every      time.Duration // between checkpoints
	EverySteps int           // or this many steps apart; 0 leaves it to Every
	ID         string        // what makes the run: a checkpoint of another run is not resumed
}

// Line is one line of loss.jsonl.
type Line struct {
	Step   int     `json:"step"` // from 1
	Loss   float64 `json:"loss"` // mean negative log-likelihood of a label, natural logarithm
	LR     float64 `json:"lr"`
	Tokens int     `json:"tokens"` // since the beginning of the run
	TimeMS float64 `json:"time_ms"`
	Norm   float64 `json:"grad_norm"` // before clipping
}

// Trainer is a run in progress.
type Trainer struct {
	opts   Options
	model  *model.Model
	loader *data.Loader
	run    *tensor.Run
	opt    *optim.AdamW
	step   int // done
	tokens int
	log    *os.File
	saved  time.Time
	kept   int // the step of the checkpoint that is there, or -1
}

// New begins a run of m over what loader gives, or goes on from its newest checkpoint.
func New(m *model.Model, loader *data.Loader, run *tensor.Run, opts Options) (*Trainer, error) {
	if err := opts.Schedule.Check(); err != nil {
		return nil, err
	}
	if len(loader.Examples) == 0 {
		return nil, errors.New("train: no examples")
	}
	t := &Trainer{opts: opts, model: m, loader: loader, run: run, opt: optim.NewAdamW(groups(m.Params()), opts.AdamW), saved: time.Now(), kept: -1}
	if opts.Dir == "" {
		return t, nil
	}
	if err := os.MkdirAll(opts.Dir, 0o777); err != nil {
		return nil, err
	}
	if err := t.resume(); err != nil {
		return nil, fmt.Errorf("train: resume from %s: %w", opts.Dir, err)
	}
	return t, t.openLog()
}

// groups lists the parameters for the optimizer: matrices decay, norms and biases do not.
func groups(params []model.Param) []*optim.Group {
	var gs []*optim.Group
	for _, p := range params {
		n := 0
		p.Slices(func(values, grad []float32) {
			name := p.Name
			if n++; n > 1 {
				name = fmt.Sprintf("%s.%d", p.Name, n-1)
			}
			gs = append(gs, &optim.Group{Name: name, Data: values, Grad: grad, Decay: p.Vector == nil})
		})
		gs[len(gs)-1].AfterUpdate = p.Changed
	}
	return gs
}

// Step returns how many steps are done.
func (t *Trainer) Step() int { return t.step }

// Done says whether the schedule is at its end.
func (t *Trainer) Done() bool { return t.step >= t.opts.Schedule.Steps }

// Run trains until the schedule ends, ctx ends or stop, if not nil, says so after a step; each is told every line.
// Whenever it returns there is a checkpoint of the last step, unless writing it failed.
func (t *Trainer) Run(ctx context.Context, stop func() bool, each func(Line)) error {
	for !t.Done() {
		if ctx.Err() != nil || stop != nil && stop() {
			break
		}
		line, err := t.Next()
		if err != nil {
			return err
		}
		if each != nil {
			each(line)
		}
		if t.due() {
			if err := t.Save(); err != nil {
				return err
			}
		}
	}
	if err := t.Save(); err != nil {
		return err
	}
	return ctx.Err()
}

func (t *Trainer) due() bool {
	if t.opts.EverySteps > 0 {
		return t.step%t.opts.EverySteps == 0
	}
	return t.opts.Every > 0 && time.Since(t.saved) >= t.opts.Every
}

// Next makes one step: the gradients of all its passes add up, then the parameters change once.
func (t *Trainer) Next() (Line, error) {
	start := time.Now()
	passes := t.loader.Step(t.step)
	total := float32(0)
	for _, b := range passes {
		total += b.Weight
	}
	if total == 0 {
		return Line{}, fmt.Errorf("train: step %d has no labels", t.step+1)
	}
	loss := 0.0
	for _, b := range passes {
		p := &op.Pass{Run: t.run, Tape: &op.Tape{}, Batch: &b.Batch}
		loss += t.model.Loss(p, b.Labels, total)
		p.Tape.Backward(p)
		t.run.Release(0)
		t.tokens += b.Rows()
	}
	lr := t.opts.Schedule.At(t.step)
	norm, ok := t.opt.Step(t.run, lr)
	if !ok {
		return Line{}, fmt.Errorf("train: the gradient of step %d is not finite (loss %g): a lower learning rate may help", t.step+1, loss)
	}
	t.step++
	line := Line{Step: t.step, Loss: loss, LR: lr, Tokens: t.tokens, Norm: norm, TimeMS: float64(time.Since(start).Microseconds()) / 1000}
	return line, t.write(line)
}

// Loss returns the mean loss of examples without learning from them.
func (t *Trainer) Loss(examples []data.Example) float64 {
	return Loss(t.model, t.run, examples, t.loader.Tokens)
}

// Loss returns the mean loss a label of m on examples, in passes of at most tokens.
func Loss(m *model.Model, run *tensor.Run, examples []data.Example, tokens int) float64 {
	sum, weight := 0.0, 0.0
	for len(examples) > 0 {
		n, size := 0, 0
		for n < len(examples) && (n == 0 || size+len(examples[n].Tokens) <= tokens) {
			size += len(examples[n].Tokens)
			n++
		}
		b := data.Pack(examples[:n])
		examples = examples[n:]
		if b.Weight == 0 {
			continue
		}
		p := &op.Pass{Run: run, Batch: &b.Batch}
		sum += m.Loss(p, b.Labels, b.Weight) * float64(b.Weight)
		weight += float64(b.Weight)
		run.Release(0)
	}
	return sum / weight
}

// LogName is the file of lines.
const LogName = "loss.jsonl"

// openLog keeps the lines of steps that the checkpoint knows and drops later ones, which a killed run wrote and
// the resumed one writes again.
func (t *Trainer) openLog() error {
	path := filepath.Join(t.opts.Dir, LogName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, keep := parseLog(b, t.step)
	if t.log, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
		return err
	}
	if err := t.log.Truncate(int64(keep)); err != nil { // what is kept is never written again, so a kill cannot lose it
		return err
	}
	_, err = t.log.Seek(0, io.SeekEnd)
	return err
}

func appendLine(b []byte, l Line) []byte {
	s, _ := json.Marshal(l) // a struct of numbers always marshals, and the loop refused those that are not finite
	return append(append(b, s...), '\n')
}

func (t *Trainer) write(l Line) error {
	if t.log == nil {
		return nil
	}
	_, err := t.log.Write(appendLine(nil, l))
	return err
}

// ReadLog reads loss.jsonl; a torn last line is left out, a missing file has no lines.
func ReadLog(path string) ([]Line, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines, _ := parseLog(b, math.MaxInt)
	return lines, nil
}

// parseLog returns up to most lines from the beginning of b, as long as they are whole and in order, and their bytes.
func parseLog(b []byte, most int) (lines []Line, size int) {
	for part := range bytes.Lines(b) {
		var l Line
		if len(lines) == most || part[len(part)-1] != '\n' || json.Unmarshal(part, &l) != nil || l.Step != len(lines)+1 {
			break
		}
		lines = append(lines, l)
		size += len(part)
	}
	return lines, size
}

// Close ends the log. The model stays as it is.
func (t *Trainer) Close() error {
	if t.log == nil {
		return nil
	}
	return t.log.Close()
}
