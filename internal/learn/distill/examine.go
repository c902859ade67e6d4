package distill

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"retort/internal/learn/report"
	"retort/internal/learn/task"
)

// ExamineOptions are those of one model's exam.
type ExamineOptions struct {
	Recipe, Data string
	Model        Source
	Split        string // dev or val
	Limit        int    // items at most; 0 is all
	Out          string // predictions.jsonl goes there, none is made twice; empty keeps nothing
	Threads      int
	Progress     func(Progress)
}

// Examined is what a model reached. Shares are of the graded items, of all fields together and per field.
type Examined struct {
	Model  string                `json:"model"`
	Role   string                `json:"role"` // student, if the model was trained by this pipeline; else model
	Recipe string                `json:"recipe"`
	Split  string                `json:"split"`
	Items  int                   `json:"items"`
	Graded int                   `json:"graded"` // items whose right answer is known
	Exact  float64               `json:"exact"`
	Loose  float64               `json:"loose"`
	Fields map[string]FieldShare `json:"fields"`
	MeanMS float64               `json:"mean_ms"`
}

// FieldShare is the share of items in which a field was right.
type FieldShare struct {
	Exact float64 `json:"exact"`
	Loose float64 `json:"loose"`
}

// Examine lets one model answer the items of a split. A model that this pipeline trained gets the student's prompt,
// another the teacher's. Answers that Out holds of the same model to the same questions are not asked again; those of
// another model in the same role make way.
func Examine(ctx context.Context, o ExamineOptions) (*Examined, error) {
	t, bound, err := loadTask(o.Recipe, o.Data)
	if err != nil {
		return nil, err
	}
	if o.Out == "" {
		dir, err := os.MkdirTemp("", "retort-eval-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		o.Out = dir
	} else if err := os.MkdirAll(o.Out, 0o777); err != nil {
		return nil, err
	}
	release, err := lockFolder(o.Out)
	if err != nil {
		return nil, err
	}
	defer release()
	// A report names the models of its own run.
	if _, err := os.Stat(filepath.Join(o.Out, report.ManifestFile)); err == nil {
		return nil, fmt.Errorf("%s holds the run of a student: its predictions are not for others, want another folder", o.Out)
	}
	st, err := openState(filepath.Join(o.Out, stateFile))
	if err != nil {
		return nil, err
	}
	r := &run{o: Options{Out: o.Out, Threads: o.Threads, Progress: o.Progress}, task: t, bound: bound, state: st, m: &report.Manifest{}}
	items, err := t.ExamItems(o.Split)
	if err != nil {
		return nil, err
	}
	var all []task.Item
	for _, split := range []string{task.Dev, task.Val} {
		more, err := t.ExamItems(split)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	if o.Limit > 0 && len(items) > o.Limit {
		items = items[:o.Limit]
	}
	if !slices.ContainsFunc(items, func(it task.Item) bool { return it.Gold != nil }) {
		return nil, fmt.Errorf("none of the %d items of %s has a gold answer: there is nothing to grade", len(items), o.Split)
	}
	s, err := r.source(o.Model)
	if err != nil {
		return nil, err
	}
	role := report.RoleModel
	if o.Model.trainedHere() {
		role = report.RoleStudent
	}
	if err := r.examModel(ctx, items, all, role, s); err != nil {
		return nil, err
	}
	if err := r.state.save(); err != nil {
		return nil, err
	}
	return r.examined(items, role, o)
}

// examined counts what the predictions of role say about items.
func (r *run) examined(items []task.Item, role string, o ExamineOptions) (*Examined, error) {
	all, err := report.ReadPredictions(filepath.Join(r.o.Out, report.PredictionsFile))
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, it := range items {
		wanted[it.ID] = true
	}
	e := &Examined{Model: r.m.Models[0].Name, Role: role, Recipe: r.task.Recipe.Name, Split: o.Split, Fields: map[string]FieldShare{}}
	for _, p := range all {
		if p.Role != role || !wanted[p.ID] {
			continue
		}
		e.Items++
		e.MeanMS += p.TimeMS
		if p.Gold == nil {
			continue
		}
		e.Graded++
		e.Exact += one(p.Exact)
		e.Loose += one(p.Loose)
		for name, g := range p.Fields {
			f := e.Fields[name]
			e.Fields[name] = FieldShare{f.Exact + one(g.Exact), f.Loose + one(g.Loose)}
		}
	}
	n := float64(e.Graded)
	e.Exact, e.Loose, e.MeanMS = e.Exact/n, e.Loose/n, e.MeanMS/float64(e.Items)
	for name, f := range e.Fields {
		e.Fields[name] = FieldShare{f.Exact / n, f.Loose / n}
	}
	return e, nil
}

func one(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}
