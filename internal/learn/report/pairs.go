package report

import (
	"slices"

	"retort/internal/learn/task"
)

// A Pair compares the student with another role on the items that both answered and that have gold.
type Pair struct {
	Other      string   `json:"other"`
	Items      int      `json:"items"`
	Both       int      `json:"both"`    // both right
	Student    int      `json:"student"` // the student alone
	OtherAlone int      `json:"other_alone"`
	Neither    int      `json:"neither"`
	Difference float64  `json:"difference"` // student's share less the other's
	Bootstrap  Interval `json:"bootstrap"`  // of the difference, 95 %, 10,000 paired draws of items
	Ratio      float64  `json:"ratio"`      // student's share over the other's, 0 if the other is never right
	RatioRange Interval `json:"ratio_bootstrap"`
	P          float64  `json:"p"`          // McNemar, exact, two-sided
	Detectable float64  `json:"detectable"` // smallest difference that so many items show 4 times in 5, at this discordance
}

func compare(m *Manifest, student, other []Prediction, name string) Pair {
	pair := Pair{Other: name}
	var a, b []float64
	for _, two := range matched(student, other) {
		if two[0].Gold == nil {
			continue
		}
		s, o := right(m, two[0]), right(m, two[1])
		a, b = append(a, float64(count(s))), append(b, float64(count(o)))
		switch {
		case s && o:
			pair.Both++
		case s:
			pair.Student++
		case o:
			pair.OtherAlone++
		default:
			pair.Neither++
		}
	}
	pair.Items = len(a)
	if pair.Items == 0 {
		pair.P, pair.Detectable = 1, 1
		return pair
	}
	n := float64(pair.Items)
	pair.Difference = float64(pair.Student-pair.OtherAlone) / n
	if rights := pair.Both + pair.OtherAlone; rights > 0 {
		pair.Ratio = float64(pair.Both+pair.Student) / float64(rights)
	}
	pair.Bootstrap, pair.RatioRange = Bootstrap(a, b, m.Seed)
	pair.P = McNemar(pair.Student, pair.OtherAlone)
	// One discordant pair is added: none seen does not mean that there are none.
	pair.Detectable = Detectable(pair.Items, float64(pair.Student+pair.OtherAlone+1)/(n+1))
	return pair
}

// enough says whether a role gets something right and is not shown to be worse than the teacher.
func enough(m *Manifest, role, teacher []Prediction) bool {
	rights, alone, teacherAlone := 0, 0, 0
	for _, two := range matched(role, teacher) {
		if two[0].Gold == nil {
			continue
		}
		r, t := right(m, two[0]), right(m, two[1])
		rights += count(r)
		alone += count(r && !t)
		teacherAlone += count(t && !r)
	}
	return rights > 0 && (alone >= teacherAlone || McNemar(alone, teacherAlone) >= significance)
}

func right(m *Manifest, p Prediction) bool {
	if m.Metric == "exact" {
		return p.Exact
	}
	return p.Loose
}

// matched pairs the lines of two roles by item, in the order of the first.
func matched(a, b []Prediction) [][2]Prediction {
	at := make(map[string]int, len(b))
	for i, p := range b {
		at[p.ID] = i
	}
	var out [][2]Prediction
	for _, p := range a {
		if i, ok := at[p.ID]; ok {
			out = append(out, [2]Prediction{p, b[i]})
		}
	}
	return out
}

// An Agreement says how the student's answers go with the teacher's. Same is equal in every field, compared loosely.
type Agreement struct {
	Items        int `json:"items"`
	Same         int `json:"same"`
	TeacherRight int `json:"teacher_right"`
	RightKept    int `json:"right_kept"` // teacher right, student right
	TeacherWrong int `json:"teacher_wrong"`
	Corrected    int `json:"corrected"`   // teacher wrong, student right
	Copied       int `json:"copied"`      // teacher wrong, student gives the same wrong answer
	OtherWrong   int `json:"other_wrong"` // teacher wrong, student wrong in another way
}

func agree(m *Manifest, student, teacher []Prediction) *Agreement {
	a := &Agreement{}
	names := fieldNames(m)
	for _, two := range matched(student, teacher) {
		a.Items++
		same := sameAnswer(names, two[0].Answer, two[1].Answer)
		a.Same += count(same)
		if two[0].Gold == nil {
			continue
		}
		s := right(m, two[0])
		switch teacherRight := right(m, two[1]); {
		case teacherRight:
			a.TeacherRight++
			a.RightKept += count(s)
		case s:
			a.TeacherWrong++
			a.Corrected++
		case same:
			a.TeacherWrong++
			a.Copied++
		default:
			a.TeacherWrong++
			a.OtherWrong++
		}
	}
	return a
}

func sameAnswer(names []string, a, b string) bool {
	x, err1 := task.ParseAnswer(names, a)
	y, err2 := task.ParseAnswer(names, b)
	if err1 != nil || err2 != nil {
		return false
	}
	return !slices.ContainsFunc(names, func(name string) bool { return task.Loosen(x[name]) != task.Loosen(y[name]) })
}

// A Disagreement is an item that student and teacher answered differently, shown for the eye.
type Disagreement struct {
	ID           string       `json:"id"`
	StudentRight bool         `json:"student_right"`
	TeacherRight bool         `json:"teacher_right"`
	Fields       []FieldTrial `json:"fields"`
}

// A FieldTrial is one field of such an item. Broken answers, that are no object, stand whole in the first field.
type FieldTrial struct {
	Name         string `json:"name"`
	Gold         string `json:"gold"`
	Teacher      string `json:"teacher"`
	Student      string `json:"student"`
	TeacherRight bool   `json:"teacher_right"`
	StudentRight bool   `json:"student_right"`
}

// disagreements takes items in turn from those where the student alone is right, the teacher alone, and neither.
func disagreements(m *Manifest, student, teacher []Prediction, n int) []Disagreement {
	names := fieldNames(m)
	var kinds [3][]Disagreement
	for _, two := range matched(student, teacher) {
		s, t := two[0], two[1]
		if s.Gold == nil || sameAnswer(names, s.Answer, t.Answer) {
			continue
		}
		d := Disagreement{ID: s.ID, StudentRight: right(m, s), TeacherRight: right(m, t)}
		if d.StudentRight && d.TeacherRight {
			continue
		}
		d.Fields = trials(m, names, s, t)
		kind := 2
		if d.StudentRight {
			kind = 0
		} else if d.TeacherRight {
			kind = 1
		}
		kinds[kind] = append(kinds[kind], d)
	}
	var out []Disagreement
	for i := 0; len(out) < n && i < max(len(kinds[0]), len(kinds[1]), len(kinds[2])); i++ {
		for _, kind := range kinds {
			if i < len(kind) && len(out) < n {
				out = append(out, kind[i])
			}
		}
	}
	return out
}

func trials(m *Manifest, names []string, s, t Prediction) []FieldTrial {
	value := func(p Prediction) func(i int, name string) string {
		fields, err := task.ParseAnswer(names, p.Answer)
		return func(i int, name string) string {
			if err != nil && i == 0 {
				return p.Answer
			}
			return fields[name]
		}
	}
	ofStudent, ofTeacher := value(s), value(t)
	grade := func(p Prediction, name string) bool {
		if m.Metric == "exact" {
			return p.Fields[name].Exact
		}
		return p.Fields[name].Loose
	}
	out := make([]FieldTrial, len(names))
	for i, name := range names {
		out[i] = FieldTrial{name, s.Gold[name], ofTeacher(i, name), ofStudent(i, name), grade(t, name), grade(s, name)}
	}
	return out
}
