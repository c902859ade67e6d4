package task

import (
	"regexp"
	"strings"
)

// Grade says whether one value equals its gold value exactly, and loosely.
type Grade struct {
	Exact bool `json:"exact"`
	Loose bool `json:"loose"`
}

// Grades are the grades of an answer, per field and of all fields together.
type Grades struct {
	Fields map[string]Grade
	Grade
}

var separators = regexp.MustCompile(`[^\p{L}\p{N}]+`)

// Loosen is the form in which values are compared loosely: lower case, every run of characters that are neither letters nor
// digits as one blank, trimmed. It is Python's re.sub(r"[\W_]+", " ", s.lower()).strip().
func Loosen(s string) string {
	return strings.TrimSpace(separators.ReplaceAllString(strings.ToLower(s), " "))
}

// GradeAnswer compares an answer with gold, field by field. A missing gold value wants an empty value. An answer that cannot be
// parsed is wrong in every field, also where an empty value would have been right. A field whose grader is exact gets no
// credit for a value that is only loosely equal.
func GradeAnswer(fields []Field, gold Fields, answer string) Grades {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	got, err := ParseAnswer(names, answer)
	g := Grades{Fields: map[string]Grade{}, Grade: Grade{err == nil, err == nil}}
	for _, f := range fields {
		var one Grade
		if err == nil {
			one.Exact = got[f.Name] == gold[f.Name]
			one.Loose = one.Exact || f.Grader != "exact" && Loosen(got[f.Name]) == Loosen(gold[f.Name])
		}
		g.Fields[f.Name] = one
		g.Exact = g.Exact && one.Exact
		g.Loose = g.Loose && one.Loose
	}
	return g
}

// Grade compares an answer of this task with the item's gold.
func (t *Task) Grade(it Item, answer string) Grades {
	return GradeAnswer(t.Recipe.Fields, it.Gold, answer)
}
