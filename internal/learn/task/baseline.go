package task

import (
	"fmt"
	"math/rand/v2"

	"retort/internal/learn/task/mention"
	"retort/internal/learn/task/receipts"
)

// An Example is a text with the answer to learn from it: a teacher's verified answer.
type Example struct {
	Text   string
	Fields Fields
}

// A Baseline answers without a language model. A student that does not beat it is not worth its cost.
type Baseline interface {
	Answer(text string) Fields
}

type rules struct{}

func (rules) Answer(text string) Fields { return receipts.Rules(text) }

// Baseline makes the baseline that the recipe names: rules, which learn nothing, or a linear model of the examples. It is nil
// where the recipe names none.
func (t *Task) Baseline(examples []Example, seed uint64) (Baseline, error) {
	switch t.Recipe.Exam.Baseline {
	case "rules":
		if t.Recipe.Data.Format != "sroie" {
			return nil, fmt.Errorf("task %s: rules are known for receipts only; exam.baseline may be linear or none", t.Recipe.Name)
		}
		return rules{}, nil
	case "linear":
		return t.TrainLinear(examples, seed), nil
	}
	return nil, nil
}

// Linear answers each field by a linear model over hashed n-grams: a choice among the dates or amounts of the text for a field
// with that format, a choice among known values for a field with few of them, else a choice among the spans of the text. Each is
// an averaged perceptron (Collins 2002).
type Linear struct {
	fields []linearField
}

type linearField struct {
	name    string
	options func(text string) []option
	weights []float32
}

// An option is a value that a field may take, with its hashed features.
type option struct {
	value    string
	features []uint32
}

const (
	hashBits = 20
	epochs   = 8
	// maxKnown is how many different values a field may have to be chosen from a list rather than copied from the text.
	maxKnown = 48
)

// TrainLinear learns from examples; the same seed gives the same model.
func (t *Task) TrainLinear(examples []Example, seed uint64) *Linear {
	l := &Linear{}
	for _, f := range t.Recipe.Fields {
		lf := linearField{name: f.Name, weights: make([]float32, 1<<hashBits)}
		switch known := knownValues(examples, f.Name); {
		case f.Format == "date":
			lf.options = func(text string) []option { return mentionOptions(text, mention.Dates(text)) }
		case f.Format == "amount":
			lf.options = func(text string) []option { return mentionOptions(text, mention.Amounts(text)) }
		case len(known) <= maxKnown:
			lf.options = func(text string) []option { return knownOptions(text, known) }
		default:
			longest := longestValue(examples, f.Name)
			lf.options = func(text string) []option { return spanOptions(text, longest) }
		}
		lf.train(examples, rand.New(rand.NewPCG(seed, uint64(len(l.fields)))))
		l.fields = append(l.fields, lf)
	}
	return l
}

// Answer takes the best option of each field; a field without options is empty.
func (l *Linear) Answer(text string) Fields {
	out := Fields{}
	for _, f := range l.fields {
		if options := f.options(text); len(options) > 0 {
			out[f.name] = options[f.best(options)].value
		}
	}
	return out
}

func (f *linearField) score(o option) float32 {
	var s float32
	for _, i := range o.features {
		s += f.weights[i]
	}
	return s
}

func (f *linearField) best(options []option) int {
	best, at := f.score(options[0]), 0
	for i, o := range options[1:] {
		if s := f.score(o); s > best {
			best, at = s, i+1
		}
	}
	return at
}

// train is the averaged perceptron: after a wrong choice, the right option's weights rise and the chosen one's fall; the result is
// the mean of the weights over all steps, kept as weights - sum/steps.
func (f *linearField) train(examples []Example, r *rand.Rand) {
	type lesson struct {
		options []option
		right   int
	}
	var lessons []lesson
	for _, e := range examples {
		options := f.options(e.Text)
		for i, o := range options {
			if Loosen(o.value) == Loosen(e.Fields[f.name]) {
				lessons = append(lessons, lesson{options, i})
				break
			}
		}
	}
	sum := make([]float32, len(f.weights))
	step := float32(1)
	for range epochs {
		for _, i := range r.Perm(len(lessons)) {
			l := lessons[i]
			if chosen := f.best(l.options); chosen != l.right {
				for _, k := range l.options[l.right].features {
					f.weights[k]++
					sum[k] += step
				}
				for _, k := range l.options[chosen].features {
					f.weights[k]--
					sum[k] -= step
				}
			}
			step++
		}
	}
	for k := range f.weights {
		f.weights[k] -= sum[k] / step
	}
}

func knownValues(examples []Example, name string) []string {
	seen := map[string]bool{}
	var out []string
	for _, e := range examples {
		if v := e.Fields[name]; !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

// longestValue is the length of the longest value in pieces, bounded so that options stay few.
func longestValue(examples []Example, name string) int {
	longest := 1
	for _, e := range examples {
		longest = max(longest, len(pieces(e.Fields[name])))
	}
	return min(longest, 16)
}
