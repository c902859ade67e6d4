package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"retort/internal/format/atomicfile"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
)

// exam lets everyone answer the items of the exam, one question at a time, so that the times are those of a single
// user. What a role answered before is kept as long as the model behind it is the same.
func (r *run) exam(ctx context.Context, trained bool) error {
	items, err := r.items()
	if err != nil {
		return err
	}
	path := filepath.Join(r.o.Out, report.PredictionsFile)
	if err := r.dropStudent(path, trained); err != nil {
		return err
	}
	w, err := report.AppendPredictions(path)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := r.examBaseline(w, items); err != nil {
		return err
	}
	sources := []struct {
		role string
		s    Source
	}{{report.RoleTeacher, r.o.Teacher}, {report.RoleBase, r.o.Student}}
	if trained {
		s := Source{Name: r.task.Recipe.Name + "-student", Path: filepath.Join(r.o.Out, studentFile)}
		sources = append(sources, struct {
			role string
			s    Source
		}{report.RoleStudent, s})
	}
	for _, one := range sources {
		if err := r.examModel(ctx, w, items, one.role, one.s); err != nil {
			return err
		}
	}
	return nil
}

// examBaseline answers with the recipe's baseline, trained on what the student learned from.
func (r *run) examBaseline(w *report.PredictionWriter, items []task.Item) error {
	r.state.enter("exam of the baseline")
	b, err := r.task.Baseline(r.examples, r.o.Seed)
	if err != nil || b == nil {
		return err
	}
	for _, it := range items {
		if _, ok := w.Done(report.RoleBaseline, it.ID); ok {
			continue
		}
		start := time.Now()
		answer := r.task.Answer(b.Answer(it.Text))
		if err := r.write(w, it, report.RoleBaseline, it.Text, answer, time.Since(start)); err != nil {
			return err
		}
	}
	r.m.Models = append(r.m.Models, report.Model{Role: report.RoleBaseline, Name: r.task.Recipe.Exam.Baseline})
	return nil
}

// examModel answers with a model.
func (r *run) examModel(ctx context.Context, w *report.PredictionWriter, items []task.Item, role string, s Source) error {
	phase := "exam of the " + role
	r.state.enter("load for the exam")
	var open []task.Item
	for _, it := range items {
		if _, ok := w.Done(role, it.ID); !ok {
			open = append(open, it)
		}
	}
	l, err := r.open(s)
	if err != nil {
		return err
	}
	defer l.Close()
	info := report.Model{Role: role, Name: l.Name, SHA256: l.SHA256, Params: l.Params, Bytes: l.Bytes, Type: l.Type}
	defer func() {
		t := r.state.Tokens[role]
		info.PromptTokens, info.CachedTokens, info.AnswerTokens = t.Prompt, t.Cached, t.Answer
		r.m.Models = append(r.m.Models, info)
	}()
	r.state.enter(phase)
	next, done := 0, len(items)-len(open)
	r.tell(phase, done, len(items), "")
	questions := make([]teacher.Question, len(open))
	for i, it := range open {
		questions[i] = l.Sent(r.question(role, it))
	}
	tokens, err := room(l.Form, open, func(it task.Item) teacher.Question { return r.question(role, it) })
	if err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	err = l.Ask(ctx, r.bound, 1, tokens, func() (teacher.Question, bool) {
		if next == len(open) {
			return teacher.Question{}, false
		}
		next++
		return questions[next-1], true
	}, func(i int, a teacher.Answer) error {
		done++
		r.tell(phase, done, len(items), "")
		r.state.count(role, a)
		prompt := questions[i].Message + questions[i].Text
		return errors.Join(r.write(w, open[i], role, prompt, a.Text, a.Time), r.state.tick())
	})
	return err
}

// question is what a role is asked: the student its own short prompt, the others what the teacher was asked.
func (r *run) question(role string, it task.Item) teacher.Question {
	q := teacher.Question{Text: r.task.StudentPrompt(it), Max: r.task.Recipe.Exam.MaxTokens}
	if role != report.RoleStudent {
		q.Message = r.task.Prompt(it)
	}
	return q
}

func (r *run) write(w *report.PredictionWriter, it task.Item, role, prompt, answer string, took time.Duration) error {
	sum := sha256.Sum256([]byte(prompt))
	g := r.task.Grade(it, answer)
	return w.Write(report.Prediction{ID: it.ID, Split: it.Split, Role: role, PromptSHA256: hex.EncodeToString(sum[:]), Answer: answer, Gold: it.Gold,
		Fields: g.Fields, Exact: g.Exact, Loose: g.Loose, TimeMS: float64(took.Microseconds()) / 1000})
}

// examinedFile remembers which models the predictions are of.
const examinedFile = "examined.json"

// dropStudent removes the predictions of roles whose model has changed since: a student that learned more, a baseline
// that learned from more answers.
func (r *run) dropStudent(path string, trained bool) error {
	now := map[string]string{}
	now[report.RoleTeacher], now[report.RoleBase] = r.teacher.sum, r.student.sum
	var err error
	if trained {
		if now[report.RoleStudent], err = r.state.hash(filepath.Join(r.o.Out, studentFile)); err != nil {
			return err
		}
	}
	learned, _ := json.Marshal(r.examples) // strings always marshal
	sum := sha256.Sum256(learned)
	now[report.RoleBaseline] = hex.EncodeToString(sum[:])
	for role := range now {
		now[role] += " " + r.task.Hash
	}
	before := map[string]string{}
	b, err := os.ReadFile(filepath.Join(r.o.Out, examinedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if err := json.Unmarshal(b, &before); err != nil {
			return fmt.Errorf("%s: %w", examinedFile, err)
		}
	}
	for role := range now {
		if before[role] != now[role] {
			delete(r.state.Tokens, role)
		}
	}
	if err := keepPredictions(path, func(role string) bool { return before[role] == now[role] && now[role] != "" }); err != nil {
		return err
	}
	b, err = json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(r.o.Out, examinedFile), append(b, '\n'))
}

// keepPredictions rewrites the file without the lines of roles that keep refuses; a missing file stays missing.
func keepPredictions(path string, keep func(role string) bool) error {
	all, err := report.ReadPredictions(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var out []byte
	dropped := false
	for _, p := range all {
		if !keep(p.Role) {
			dropped = true
			continue
		}
		line, err := p.Line()
		if err != nil {
			return err
		}
		out = append(out, line...)
	}
	if !dropped {
		return nil
	}
	return atomicfile.WriteFile(path, out)
}
