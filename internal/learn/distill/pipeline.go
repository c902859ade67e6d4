// Package distill is the pipeline that turns a teacher, a student and a task into a smaller model and the proof of
// how good it is: teach, verify, train, examine, report.
//
// Files are the truth. Each phase reads what lies in the run's folder and adds what is missing, so that the same
// command goes on wherever it was killed and asks nothing twice. Open this file first, then teach.go, learn.go,
// exam.go.
package distill

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
	"retort/internal/lm/grammar"
)

// Options of a run.
type Options struct {
	Recipe  string // folder, or the name of an embedded recipe
	Data    string // replaces the recipe's data folder, if not empty
	Teacher Source
	Student Source
	Out     string
	Budget  time.Duration // over the folder's whole life; 0 is none
	Seed    uint64
	Threads int
	Train   int // items of the train pool at most; 0 is all
	Exam    int // items of the exam at most; 0 is all
	Width   int // questions at a time while teaching; 0 chooses

	Command  []string
	Version  string
	Progress func(Progress)
}

// Progress says how far a phase is.
type Progress struct {
	Phase       string // teach, train, exam of ROLE
	Done, Total int
	Note        string
}

// Result is what a run came to.
type Result struct {
	Dir     string
	Stopped string // why it is not complete; empty if it is
	Report  *report.Report
}

// File names in a run's folder, beside those of package report.
const (
	teacherFile = "teacher.jsonl"
	stateFile   = "state.json"
	studentFile = "student.gguf"
)

// Shares of a budget, less what is reserved for the exam, after which a phase makes way for the next, so that there is a
// student to examine.
const (
	teachShare = 0.5
	trainShare = 0.8
)

// run is a run in progress.
type run struct {
	o     Options
	task  *task.Task
	bound *grammar.Grammar
	state *state
	m     *report.Manifest

	teacher, student source        // set by look
	reserve          time.Duration // of the budget, for the teacher's exam; 0 while that is not known

	examples []task.Example // what the student learns from: verified answers
	learned  []task.Item    // the items they answer
}

// Run runs the pipeline, or goes on with it. When the budget ends it examines what exists and reports; when ctx ends
// it stops, and the same call goes on later.
func Run(ctx context.Context, o Options) (*Result, error) {
	t, bound, err := loadTask(o.Recipe, o.Data)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return nil, err
	}
	release, err := lockFolder(o.Out)
	if err != nil {
		return nil, err
	}
	defer release()
	r, err := begin(o, t, bound)
	if err != nil {
		return nil, err
	}
	err = r.phases(ctx)
	if saved := r.state.save(); err == nil {
		err = saved
	}
	if err != nil {
		return nil, err
	}
	if b, spent := r.o.Budget, r.state.spent(); b > 0 && spent > b {
		r.m.Notes = append(r.m.Notes, fmt.Sprintf("The run took %v, %v more than its budget: the exam is sat in any case.", spent.Round(time.Second), (spent-b).Round(time.Second)))
	}
	if err := r.writeManifest(); err != nil {
		return nil, err
	}
	rep, err := report.Build(o.Out)
	return &Result{Dir: o.Out, Stopped: r.m.Stopped, Report: rep}, err
}

// begin reads what the folder says of the run.
func begin(o Options, t *task.Task, bound *grammar.Grammar) (*run, error) {
	st, err := openState(filepath.Join(o.Out, stateFile))
	if err != nil {
		return nil, err
	}
	r := &run{o: o, task: t, bound: bound, state: st}
	r.m = r.newManifest()
	return r, nil
}

// loadTask returns the task of a recipe, and its schema as what binds answers.
func loadTask(recipe, data string) (*task.Task, *grammar.Grammar, error) {
	t, err := task.Load(recipe, data)
	if err != nil {
		return nil, nil, err
	}
	bound, err := grammar.Compile(t.Schema)
	if err != nil {
		return nil, nil, fmt.Errorf("recipe %s: %w", recipe, err)
	}
	return t, bound, nil
}

// phases does what is missing, in order.
func (r *run) phases(ctx context.Context) error {
	if err := r.look(); err != nil {
		return err
	}
	if err := r.teach(ctx); err != nil {
		return err
	}
	trained, err := r.learn(ctx)
	if err != nil {
		return err
	}
	return r.exam(ctx, trained)
}

// look reads what teacher and student are, and refuses what could not come to an end before anything is paid for.
func (r *run) look() (err error) {
	if r.teacher, err = r.source(r.o.Teacher); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	if r.student, err = r.source(r.o.Student); err != nil {
		return fmt.Errorf("student: %w", err)
	}
	if err = r.student.learns(); err != nil {
		return fmt.Errorf("student: %w", err)
	}
	items, err := r.items()
	if err != nil {
		return err
	}
	for _, one := range []struct {
		role string
		form *teacher.Form
	}{{report.RoleTeacher, r.teacher.form}, {report.RoleBase, r.student.form}, {report.RoleStudent, r.student.form}} {
		if _, err := room(one.form, items, func(it task.Item) teacher.Question { return r.question(one.role, it) }); err != nil {
			return fmt.Errorf("exam of the %s: %w", one.role, err)
		}
	}
	return nil
}

// room is how many tokens the longest question about items needs with its answer, at most the model's context. A prompt
// that leaves no room for an answer is an error.
func room(f *teacher.Form, items []task.Item, question func(task.Item) teacher.Question) (int, error) {
	most := 0
	for _, it := range items {
		q := question(it)
		ids, err := f.Prompt(q)
		if err != nil {
			return 0, fmt.Errorf("item %s: %w", it.ID, err)
		}
		if len(ids) >= f.Context {
			return 0, fmt.Errorf("item %s: a prompt of %d tokens leaves no room for an answer in the model's context of %d", it.ID, len(ids), f.Context)
		}
		most = max(most, len(ids)+q.Max+1)
	}
	return min(most, f.Context), nil
}

func (r *run) tell(phase string, done, total int, note string) {
	if r.o.Progress != nil {
		r.o.Progress(Progress{phase, done, total, note})
	}
}

// over says whether share of the budget is spent, of what the exam leaves of it.
func (r *run) over(share float64) bool {
	return r.o.Budget > 0 && r.state.spent() >= time.Duration(share*float64(r.o.Budget-r.reserve))
}

// stopped notes why the run is not complete; the first reason stays.
func (r *run) stopped(why string) {
	if r.m.Stopped == "" {
		r.m.Stopped = why
	}
}
