package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

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
	if len(open) > 0 {
		if err := r.askTeacher(ctx, cache, items, open, len(asks)); err != nil {
			return err
		}
	}
	r.m.Teaching = t
	return r.verify(cache, items, asks, t)
}

// asks lists every answer the teacher owes, sample by sample so that a budget that ends early leaves whole items.
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

func (r *run) askTeacher(ctx context.Context, cache *teacher.Cache, items []task.Item, open []ask, total int) error {
	if r.over(teachShare) {
		r.stopped("the budget ended while the teacher was being asked")
		return nil
	}
	r.state.enter("load the teacher")
	l, err := r.open(r.o.Teacher)
	if err != nil {
		return err
	}
	defer l.Close()
	r.state.enter("teach")
	defer r.state.enter("verify")
	done := total - len(open)
	r.tell("teach", done, total, "")
	tokens, err := r.teachRoom(l, items, open)
	if err != nil {
		return err
	}
	next, width := 0, r.o.Width
	if width == 0 {
		width = teachWidth
	}
	err = l.Ask(ctx, r.bound, width, tokens, func() (teacher.Question, bool) {
		if next == len(open) || r.over(teachShare) {
			return teacher.Question{}, false
		}
		next++
		return open[next-1].q, true
	}, func(i int, a teacher.Answer) error {
		o := open[i]
		done++
		r.tell("teach", done, total, "")
		err := cache.Put(teacher.Cached{Key: o.key, ID: items[o.item].ID, Sample: o.sample, Answer: a.Text, PromptTokens: a.PromptTokens,
			CachedTokens: a.CachedTokens, AnswerTokens: a.AnswerTokens, TimeMS: float64(a.Time.Microseconds()) / 1000})
		return errors.Join(err, r.state.tick())
	})
	if err == nil && next < len(open) {
		r.stopped("the budget ended while the teacher was being asked")
	}
	return err
}

// teachRoom is the room that the open questions need.
func (r *run) teachRoom(l *teacher.Local, items []task.Item, open []ask) (int, error) {
	asked, questions := make([]task.Item, len(open)), map[string]teacher.Question{}
	for i, a := range open {
		asked[i] = items[a.item]
		questions[asked[i].ID] = a.q // samples differ in their seed alone
	}
	return room(l.Form, asked, func(it task.Item) teacher.Question { return questions[it.ID] })
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
				break
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
