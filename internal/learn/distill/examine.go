package distill

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"retort/internal/format/gguf"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/lm/grammar"
)

// ExamineOptions are those of one model's exam.
type ExamineOptions struct {
	Recipe, Data string
	Model        Source
	Split        string // train has no gold; dev or val
	Limit        int    // items at most; 0 is all
	Out          string // predictions.jsonl goes there; empty keeps nothing
	Threads      int
	Progress     func(Progress)
}

// Examined is what a model reached. Shares are of all fields of an item together, and per field.
type Examined struct {
	Model  string                `json:"model"`
	Role   string                `json:"role"` // student, if the model was trained by this pipeline; else teacher
	Recipe string                `json:"recipe"`
	Split  string                `json:"split"`
	Items  int                   `json:"items"`
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
// another the teacher's. Answers that Out holds already are not asked again.
func Examine(ctx context.Context, o ExamineOptions) (*Examined, error) {
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
	t, err := task.Load(o.Recipe, o.Data)
	if err != nil {
		return nil, err
	}
	bound, err := grammar.Compile(t.Schema)
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", o.Recipe, err)
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
	if o.Limit > 0 && len(items) > o.Limit {
		items = items[:o.Limit]
	}
	role := report.RoleTeacher
	if trainedHere(o.Model.Path) {
		role = report.RoleStudent
	}
	if err := r.examOne(ctx, items, role, o.Model); err != nil {
		return nil, err
	}
	return r.examined(items, role, o)
}

// trainedHere says whether the file at path is a student of this pipeline.
func trainedHere(path string) bool {
	f, err := gguf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, ok := f.Value(keyTraining)
	return ok
}

func (r *run) examOne(ctx context.Context, items []task.Item, role string, s Source) error {
	w, err := report.AppendPredictions(filepath.Join(r.o.Out, report.PredictionsFile))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := r.examModel(ctx, w, items, role, s); err != nil {
		return err
	}
	return r.state.save()
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
	share := func(ok bool) float64 {
		if ok {
			return 1 / float64(len(items))
		}
		return 0
	}
	for _, p := range all {
		if p.Role != role || !wanted[p.ID] {
			continue
		}
		e.Items++
		e.Exact += share(p.Exact)
		e.Loose += share(p.Loose)
		e.MeanMS += p.TimeMS / float64(len(items))
		for name, g := range p.Fields {
			f := e.Fields[name]
			f.Exact += share(g.Exact)
			f.Loose += share(g.Loose)
			e.Fields[name] = f
		}
	}
	return e, nil
}
