// Package task holds what a job is, without any model: its recipe, its items and splits, what a teacher and a student are
// asked, how an answer is written, read, verified and graded, and the plain baselines that a student has to beat.
//
// It refuses to know models, tokens and training. Gold answers of the train pool are never read. Open recipe.go first, then verify.go.
package task

import (
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Fields are the values of an answer by field name. A missing field is the empty value.
type Fields map[string]string

// An Item is one text to answer. Gold is nil where there is no gold answer or where it is withheld.
type Item struct {
	ID    string
	Split string
	Text  string
	Gold  Fields
}

// Split names, as in a recipe.
const (
	Train = "train"
	Dev   = "dev"
	Val   = "val"
)

// A Task is a loaded recipe with its data at hand.
type Task struct {
	Recipe Recipe
	Hash   string // SHA-256 of recipe.yaml, prompt.md and schema.json
	Schema []byte // schema.json, for a decoder that is bound by it

	prompt   *prompt // prompt.md
	student  *prompt // student.prompt of the recipe
	schema   *jsonschema.Schema
	kinds    map[string]string // JSON type of each field, from the schema
	items    map[string][]Item // with gold where known, except for the train pool
	examples []Item
	dataHash string
}

// Items gives the items of a split in order. The train pool comes without gold.
func (t *Task) Items(split string) ([]Item, error) {
	items, ok := t.items[split]
	if !ok {
		return nil, fmt.Errorf("task %s: no split %q, want one of train, dev, val", t.Recipe.Name, split)
	}
	return slices.Clone(items), nil
}

// ExamItems gives the items of a split that may be asked in an exam: those whose answers the prompt shows are left out.
func (t *Task) ExamItems(split string) ([]Item, error) {
	items, err := t.Items(split)
	return slices.DeleteFunc(items, func(it Item) bool { return slices.Contains(t.Recipe.Teacher.Examples, it.ID) }), err
}

// DataHash is the SHA-256 of all texts, and of the gold of all splits but train, in order.
func (t *Task) DataHash() string { return t.dataHash }

// FieldNames are the fields in the order of the recipe, which is the order of an answer.
func (t *Task) FieldNames() []string {
	names := make([]string, len(t.Recipe.Fields))
	for i, f := range t.Recipe.Fields {
		names[i] = f.Name
	}
	return names
}
