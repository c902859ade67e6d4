package report

import (
	"cmp"
	"slices"

	"retort/internal/learn/cost"
	"retort/internal/learn/task"
)

// A Report is report.json: every figure that the page shows.
type Report struct {
	Format        int            `json:"format"` // 1
	Verdict       Verdict        `json:"verdict"`
	Items         int            `json:"items"` // distinct items of the exam
	Ungraded      int            `json:"ungraded,omitempty"`
	Regraded      int            `json:"regraded,omitempty"` // lines whose stored grade is not what answer and gold give; the latter is used
	Roles         []Role         `json:"roles"`
	Pairs         []Pair         `json:"pairs"`
	Agreement     *Agreement     `json:"agreement,omitempty"`
	Money         Money          `json:"money"`
	Disagreements []Disagreement `json:"disagreements,omitempty"`
	Loss          []LossPoint    `json:"loss,omitempty"`
	Manifest      *Manifest      `json:"manifest"`

	enough map[string]bool // roles without training that would do as well as the teacher
}

// A Score is a share of right answers with its Wilson interval of 95 %.
type Score struct {
	Right int     `json:"right"`
	Of    int     `json:"of"`
	Share float64 `json:"share"`
	Interval
}

func scoreOf(right, of int) Score {
	s := Score{Right: right, Of: of}
	s.Low, s.High = Wilson(right, of)
	if of > 0 {
		s.Share = float64(right) / float64(of)
	}
	return s
}

// A Role is one examinee. Times are per item, in milliseconds.
type Role struct {
	Role   string       `json:"role"`
	Model  Model        `json:"model"`
	Items  int          `json:"items"`
	Exact  Score        `json:"exact"` // all fields of an item
	Loose  Score        `json:"loose"`
	Fields []FieldScore `json:"fields"`
	Valid  Score        `json:"valid"` // one JSON object with exactly the fields
	MeanMS float64      `json:"mean_ms"`
	P50MS  float64      `json:"p50_ms"`
	P95MS  float64      `json:"p95_ms"`
	// The tokens of all items together.
	PromptTokens int64 `json:"prompt_tokens,omitempty"`
	AnswerTokens int64 `json:"answer_tokens,omitempty"`
	// PerThousand is the price of a thousand items in dollars: of the machine's time.
	PerThousand float64 `json:"per_thousand"`
}

// A FieldScore is a role's score in one field.
type FieldScore struct {
	Name  string `json:"name"`
	Exact Score  `json:"exact"`
	Loose Score  `json:"loose"`
}

// Metric is the score that the verdict goes by.
func (r Role) Metric(metric string) Score {
	if metric == "exact" {
		return r.Exact
	}
	return r.Loose
}

// Metric is the field's score that the verdict goes by.
func (f FieldScore) Metric(metric string) Score {
	if metric == "exact" {
		return f.Exact
	}
	return f.Loose
}

// figures computes a report. The grades are made anew from answer and gold.
func figures(m *Manifest, predictions []Prediction, loss []LossPoint) *Report {
	r := &Report{Format: 1, Manifest: m, Loss: thin(loss, 400)}
	r.regrade(predictions)
	byRole, ids := map[string][]Prediction{}, map[string]bool{}
	for _, p := range predictions {
		byRole[p.Role] = append(byRole[p.Role], p)
		ids[p.ID] = true
	}
	r.Items = len(ids)
	for role, lines := range byRole {
		r.Roles = append(r.Roles, examine(m, role, lines))
	}
	slices.SortFunc(r.Roles, func(a, b Role) int {
		return cmp.Or(cmp.Compare(roleOrder(a.Role), roleOrder(b.Role)), cmp.Compare(a.Role, b.Role))
	})
	student := byRole[RoleStudent]
	for _, other := range []string{RoleTeacher, RoleBase, RoleBaseline} {
		if len(student) > 0 && len(byRole[other]) > 0 {
			r.Pairs = append(r.Pairs, compare(m, student, byRole[other], other))
		}
	}
	if len(student) > 0 && len(byRole[RoleTeacher]) > 0 {
		r.Agreement = agree(m, student, byRole[RoleTeacher])
		r.Disagreements = disagreements(m, student, byRole[RoleTeacher], 12)
	}
	r.enough = map[string]bool{}
	for _, role := range []string{RoleBase, RoleBaseline} {
		r.enough[role] = enough(m, byRole[role], byRole[RoleTeacher])
	}
	r.Money = r.money()
	r.Verdict = r.judge()
	return r
}

// roleOrder is the order in which roles are shown.
func roleOrder(role string) int {
	if i := slices.Index([]string{RoleTeacher, RoleStudent, RoleBase, RoleBaseline}, role); i >= 0 {
		return i
	}
	return 99
}

// Role finds an examinee.
func (r *Report) Role(name string) (Role, bool) {
	for _, one := range r.Roles {
		if one.Role == name {
			return one, true
		}
	}
	return Role{}, false
}

// Pair finds the comparison of the student with a role.
func (r *Report) Pair(other string) (Pair, bool) {
	for _, one := range r.Pairs {
		if one.Other == other {
			return one, true
		}
	}
	return Pair{}, false
}

// regrade sets every grade from answer and gold and counts the lines that said otherwise.
func (r *Report) regrade(predictions []Prediction) {
	for i := range predictions {
		p := &predictions[i]
		if p.Gold == nil {
			r.Ungraded++
			p.Exact, p.Loose, p.Fields = false, false, nil
			continue
		}
		g := task.GradeAnswer(r.Manifest.Fields, p.Gold, p.Answer)
		same := g.Exact == p.Exact && g.Loose == p.Loose
		for name, one := range g.Fields {
			same = same && p.Fields[name] == one
		}
		if !same {
			r.Regraded++
		}
		p.Exact, p.Loose, p.Fields = g.Exact, g.Loose, g.Fields
	}
}

func examine(m *Manifest, role string, lines []Prediction) Role {
	r := Role{Role: role, Model: m.model(role), Items: len(lines)}
	graded, exact, loose, valid := 0, 0, 0, 0
	names := fieldNames(m)
	fieldExact, fieldLoose := map[string]int{}, map[string]int{}
	times := make([]float64, len(lines))
	for i, p := range lines {
		times[i] = p.TimeMS
		r.MeanMS += p.TimeMS / float64(len(lines))
		r.PromptTokens += int64(p.PromptTokens)
		r.AnswerTokens += int64(p.AnswerTokens)
		valid += count(task.Complete(names, p.Answer))
		if p.Gold == nil {
			continue
		}
		graded++
		exact += count(p.Exact)
		loose += count(p.Loose)
		for _, name := range names {
			fieldExact[name] += count(p.Fields[name].Exact)
			fieldLoose[name] += count(p.Fields[name].Loose)
		}
	}
	r.Exact, r.Loose, r.Valid = scoreOf(exact, graded), scoreOf(loose, graded), scoreOf(valid, len(lines))
	for _, name := range names {
		r.Fields = append(r.Fields, FieldScore{name, scoreOf(fieldExact[name], graded), scoreOf(fieldLoose[name], graded)})
	}
	slices.Sort(times)
	r.P50MS, r.P95MS = percentile(times, 0.5), percentile(times, 0.95)
	r.PerThousand = cost.Seconds(m.Prices.Machine.Hour, r.MeanMS)
	return r
}

func fieldNames(m *Manifest) []string {
	names := make([]string, len(m.Fields))
	for i, f := range m.Fields {
		names[i] = f.Name
	}
	return names
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// thin keeps at most n points of a curve, the last one among them; each stands for the mean loss since the one before.
func thin(points []LossPoint, n int) []LossPoint {
	if len(points) <= n {
		return points
	}
	out := make([]LossPoint, 0, n)
	for i := range n {
		group := points[i*len(points)/n : (i+1)*len(points)/n]
		mean := 0.0
		for _, p := range group {
			mean += p.Loss / float64(len(group))
		}
		last := group[len(group)-1]
		last.Loss = mean
		out = append(out, last)
	}
	return out
}
