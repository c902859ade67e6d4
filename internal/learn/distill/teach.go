package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
)

// ask is one answer that the teacher owes.
type ask struct {
	item   int
	sample int
	q      teacher.Question
	key    string
}

// teach asks the teacher about every item of the train pool as often as the recipe says, keeps what is answered, and
// verifies it: what passes is what the student learns from.
func (r *run) teach(ctx context.Context) error {
	items, err := r.task.Items(task.Train)
	if err != nil {
		return err
	}
	if r.o.Train > 0 && len(items) > r.o.Train {
		items = items[:r.o.Train]
	}
	cache, err := teacher.OpenCache(filepath.Join(r.o.Out, teacherFile))
	if err != nil {
		return err
	}
	defer cache.Close()
	asks := r.asks(items)
	t := &report.Teaching{Items: len(items), Samples: r.task.Recipe.Teacher.Samples}
	var open []ask
	for _, a := range asks {
		if _, ok := cache.Get(a.key); !ok {
			open = append(open, a)
		}
	}
	t.Cached = len(asks) - len(open)
	if err := r.setReserve(cache, asks); err != nil {
		return err
	}
	if len(open) > 0 {
		if err := r.askTeacher(ctx, cache, items, asks, open); err != nil {
			return err
		}
	}
	r.m.Teaching = t
	return r.verify(cache, items, asks, t)
}

// asks lists every answer the teacher owes, item by item so that a budget that ends early leaves whole items.
func (r *run) asks(items []task.Item) []ask {
	rec := r.task.Recipe.Teacher
	var out []ask
	for i, it := range items {
		for s := range rec.Samples {
			q := r.teacher.form.Sent(teacher.Question{Message: r.task.Prompt(it), Text: r.task.StudentPrompt(it), Max: rec.MaxTokens,
				Temperature: rec.Temperature, Seed: sampleSeed(r.o.Seed, it.ID, s)})
			out = append(out, ask{i, s, q, teacher.Key(r.teacher.sum, q, r.task.Schema)})
		}
	}
	return out
}

// sampleSeed decides the random choices of one answer.
func sampleSeed(seed uint64, id string, sample int) uint64 {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", seed, id, sample))
	return binary.LittleEndian.Uint64(h[:])
}

// teachWidth is how many questions a teacher answers at a time: decoding reads the weights once for all of them.
const teachWidth = 8

// measured is how many questions are asked alone, as in the exam, where a budget wants to know how long that will take:
// the first also reads what all prompts begin with.
const measured = 2

// askTeacher asks what is open of all asks.
func (r *run) askTeacher(ctx context.Context, cache *teacher.Cache, items []task.Item, asks, open []ask) error {
	if r.over(teachShare) {
		r.stopped("the budget ended while the teacher was being asked")
		return nil
	}
	r.state.enter("load the teacher")
	tokens, err := r.teachRoom(items, open)
	if err != nil {
		return err
	}
	width, first := r.o.Width, 0
	if width == 0 {
		width = teachWidth
	}
	if r.o.Budget > 0 && r.reserve == 0 {
		first = min(measured, len(open))
	}
	l, err := r.open(ctx, r.teacher, width, tokens)
	if err != nil {
		return err
	}
	defer l.Close()
	r.state.enter("teach")
	defer r.state.enter("verify")
	done := len(asks) - len(open)
	r.tell("teach", done, len(asks), "")
	ask := func(part []ask, width int) (left []ask, err error) {
		return r.askPart(ctx, l, part, width, func(o ask, a teacher.Answer) error {
			done++
			r.tell("teach", done, len(asks), "")
			err := cache.Put(teacher.Cached{Key: o.key, ID: items[o.item].ID, Sample: o.sample, Answer: a.Text, PromptTokens: a.PromptTokens,
				CachedTokens: a.CachedTokens, AnswerTokens: a.AnswerTokens, TimeMS: milliseconds(a.Time), Alone: width == 1})
			return errors.Join(err, r.state.tick())
		})
	}
	left, err := ask(open[:first], 1)
	if err == nil && len(left) == 0 {
		if err = r.setReserve(cache, asks); err == nil {
			left, err = ask(open[first:], width)
		}
	}
	if err == nil && len(left) > 0 {
		r.stopped("the budget ended while the teacher was being asked")
	}
	return err
}

// askPart asks part, as many at a time as width says, until the budget ends, and returns what is left of it.
func (r *run) askPart(ctx context.Context, l *teacher.Local, part []ask, width int, keep func(o ask, a teacher.Answer) error) (left []ask, err error) {
	next := 0
	err = l.Ask(ctx, r.bound, width, func() (teacher.Question, bool) {
		if next == len(part) || r.over(teachShare) {
			return teacher.Question{}, false
		}
		next++
		return part[next-1].q, true
	}, func(i int, a teacher.Answer) error { return keep(part[i], a) })
	return part[next:], err
}

// setReserve keeps as much of the budget for the teacher's exam as its answers there will take, by the median time of
// those that it gave alone; of two that is the quicker. A budget too small for the exam keeps nothing for it.
func (r *run) setReserve(cache *teacher.Cache, asks []ask) error {
	var alone []float64
	for _, a := range asks {
		if c, ok := cache.Get(a.key); ok && c.Alone {
			alone = append(alone, c.TimeMS)
		}
	}
	if r.o.Budget == 0 || len(alone) == 0 {
		return nil
	}
	left, err := r.unexamined()
	if err != nil {
		return err
	}
	slices.Sort(alone)
	r.reserve = time.Duration(alone[(len(alone)-1)/2] * float64(left) * float64(time.Millisecond))
	if r.reserve >= r.o.Budget {
		r.reserve = 0
	}
	return nil
}

// unexamined is how many items of the exam the teacher has not answered yet.
func (r *run) unexamined() (int, error) {
	items, err := r.items()
	if err != nil {
		return 0, err
	}
	lines, err := report.ReadPredictions(filepath.Join(r.o.Out, report.PredictionsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	done := map[string]bool{}
	for _, p := range lines {
		done[p.Key] = true
	}
	n := 0
	for _, it := range items {
		if !done[r.examKey(r.teacher, report.RoleTeacher, it)] {
			n++
		}
	}
	return n, nil
}

// teachRoom is the room that the open questions need.
func (r *run) teachRoom(items []task.Item, open []ask) (int, error) {
	asked, questions := make([]task.Item, len(open)), map[string]teacher.Question{}
	for i, a := range open {
		asked[i] = items[a.item]
		questions[asked[i].ID] = a.q // samples differ in their seed alone
	}
	return room(r.teacher.form, asked, func(it task.Item) teacher.Question { return questions[it.ID] })
}

// verify judges the answers of each item that has all of them.
func (r *run) verify(cache *teacher.Cache, items []task.Item, asks []ask, t *report.Teaching) error {
	n := r.task.Recipe.Teacher.Samples
	var verdicts []task.Verification
	for i, it := range items {
		answers := make([]string, 0, n)
		for _, a := range asks[i*n : (i+1)*n] {
			c, ok := cache.Get(a.key)
			if !ok {
				continue // what was answered behind it is paid for
			}
			answers = append(answers, c.Answer)
			t.PromptTokens += int64(c.PromptTokens)
			t.CachedTokens += int64(c.CachedTokens)
			t.AnswerTokens += int64(c.AnswerTokens)
		}
		if len(answers) < n {
			continue
		}
		t.Asked += n
		v := r.task.Verify(it, answers)
		verdicts = append(verdicts, v)
		if v.OK {
			t.Accepted++
			fields, err := r.task.Parse(v.Answer)
			if err != nil {
				return fmt.Errorf("item %s: %w", it.ID, err)
			}
			r.learned = append(r.learned, it)
			r.examples = append(r.examples, task.Example{Text: it.Text, Fields: fields})
		}
	}
	t.Verifiers = task.CountVerdicts(verdicts)
	t.Asked -= min(t.Asked, t.Cached)
	return r.state.tick()
}
