package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
)

// exam lets everyone answer the items of the exam, one question at a time, so that the times are those of a single
// user. What a role answered before is kept where it would be asked the same again.
func (r *run) exam(ctx context.Context, trained bool) error {
	items, err := r.items()
	if err != nil {
		return err
	}
	for _, it := range items {
		r.m.Exam = append(r.m.Exam, it.ID)
	}
	// What was answered in a bigger exam stays, for the next one.
	all, err := r.task.ExamItems(r.task.Recipe.Exam.Split)
	if err != nil {
		return err
	}
	if err := r.examBaseline(items, all); err != nil {
		return err
	}
	if err := r.examModel(ctx, items, all, report.RoleTeacher, r.teacher); err != nil {
		return err
	}
	if err := r.examModel(ctx, items, all, report.RoleBase, r.student); err != nil {
		return err
	}
	if !trained {
		return r.keep(report.RoleStudent, func(*report.Prediction) bool { return false })
	}
	r.state.enter("load for the exam")
	student, err := r.source(Source{Name: r.task.Recipe.Name + "-student", Path: filepath.Join(r.o.Out, studentFile)})
	if err != nil {
		return err
	}
	return r.examModel(ctx, items, all, report.RoleStudent, student)
}

// examBaseline answers with the recipe's baseline, trained on what the student learned from.
func (r *run) examBaseline(items, all []task.Item) error {
	r.state.enter("exam of the baseline")
	b, err := r.task.Baseline(r.examples, r.o.Seed)
	if err != nil {
		return err
	}
	if b == nil {
		return r.keep(report.RoleBaseline, func(*report.Prediction) bool { return false })
	}
	learned, _ := json.Marshal([]any{r.task.Recipe.Exam.Baseline, r.o.Seed, r.examples}) // strings and numbers always marshal
	key := func(it task.Item) string {
		return teacher.Key(hash(string(learned)), teacher.Question{Text: it.Text}, r.task.Schema)
	}
	w, err := r.openExam(report.RoleBaseline, all, key)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, it := range items {
		if _, ok := w.Done(report.RoleBaseline, it.ID); ok {
			continue
		}
		start := time.Now()
		answer := r.task.Answer(b.Answer(it.Text))
		p := report.Prediction{Role: report.RoleBaseline, Key: key(it), PromptSHA256: hash(it.Text), Answer: answer, TimeMS: milliseconds(time.Since(start))}
		if err := w.Write(r.graded(p, it)); err != nil {
			return err
		}
	}
	r.m.Models = append(r.m.Models, report.Model{Role: report.RoleBaseline, Name: r.task.Recipe.Exam.Baseline})
	return nil
}

// examModel answers items with a model, which is loaded if there is something to ask. Of its lines those about all stay,
// where they are still what it would answer.
func (r *run) examModel(ctx context.Context, items, all []task.Item, role string, s source) error {
	r.state.enter("load for the exam")
	key := func(it task.Item) string { return r.examKey(s, role, it) }
	w, err := r.openExam(role, all, key)
	if err != nil {
		return err
	}
	defer w.Close()
	var open []task.Item
	for _, it := range items {
		if _, ok := w.Done(role, it.ID); !ok {
			open = append(open, it)
		}
	}
	i := &s.form.Info
	r.m.Models = append(r.m.Models, report.Model{Role: role, Name: s.name(), SHA256: s.sum, Params: i.Parameters, Bytes: i.Size, Type: i.Type(), License: i.License})
	phase, next, done := "exam of the "+role, 0, len(items)-len(open)
	if len(open) == 0 {
		r.tell(phase, done, len(items), "")
		return nil
	}
	tokens, err := room(s.form, open, func(it task.Item) teacher.Question { return r.question(role, it) })
	if err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	l, err := r.open(ctx, s, 1, tokens)
	if err != nil {
		return err
	}
	defer l.Close()
	r.state.enter(phase)
	r.tell(phase, done, len(items), "")
	return l.Ask(ctx, r.bound, 1, func() (teacher.Question, bool) {
		if next == len(open) {
			return teacher.Question{}, false
		}
		next++
		return r.question(role, open[next-1]), true
	}, func(i int, a teacher.Answer) error {
		done++
		r.tell(phase, done, len(items), "")
		q := s.form.Sent(r.question(role, open[i]))
		p := report.Prediction{Role: role, Key: key(open[i]), PromptSHA256: hash(q.Message + q.Text), Answer: a.Text, PromptTokens: a.PromptTokens,
			AnswerTokens: a.AnswerTokens, TimeMS: milliseconds(a.Time)}
		return errors.Join(w.Write(r.graded(p, open[i])), r.state.tick())
	})
}

// question is what a role is asked: the student its own short prompt, the others what the teacher was asked.
func (r *run) question(role string, it task.Item) teacher.Question {
	q := teacher.Question{Text: r.task.StudentPrompt(it), Max: r.task.Recipe.Exam.MaxTokens}
	if role != report.RoleStudent {
		q.Message = r.task.Prompt(it)
	}
	return q
}

// examKey is the hash of what decides a model's answer to it.
func (r *run) examKey(s source, role string, it task.Item) string {
	return teacher.Key(s.sum, s.form.Sent(r.question(role, it)), r.task.Schema)
}

// graded is p as the answer to it.
func (r *run) graded(p report.Prediction, it task.Item) report.Prediction {
	g := r.task.Grade(it, p.Answer)
	p.ID, p.Split, p.Gold, p.Fields, p.Exact, p.Loose = it.ID, it.Split, it.Gold, g.Fields, g.Exact, g.Loose
	return p
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// openExam opens the predictions for role to go on. Of its lines those about items stay whose key is as key says: the
// same model, asked the same. They are graded anew, since gold may have changed.
func (r *run) openExam(role string, items []task.Item, key func(task.Item) string) (*report.PredictionWriter, error) {
	byID := map[string]task.Item{}
	for _, it := range items {
		byID[it.ID] = it
	}
	err := r.keep(role, func(p *report.Prediction) bool {
		it, ok := byID[p.ID]
		if !ok || p.Key != key(it) {
			return false
		}
		*p = r.graded(*p, it)
		return true
	})
	if err != nil {
		return nil, err
	}
	return report.AppendPredictions(filepath.Join(r.o.Out, report.PredictionsFile))
}

// keep rewrites the predictions without those of role that stays refuses; it may change the others.
func (r *run) keep(role string, stays func(p *report.Prediction) bool) error {
	return report.RewritePredictions(filepath.Join(r.o.Out, report.PredictionsFile), func(p *report.Prediction) bool {
		return p.Role != role || stays(p)
	})
}
