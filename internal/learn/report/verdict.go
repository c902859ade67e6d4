package report

import (
	"fmt"
	"math"
	"strings"
)

// A Verdict is the exam in words.
type Verdict struct {
	Kind     string   `json:"kind"` // see the constants
	Headline string   `json:"headline"`
	Says     []string `json:"says"`
}

// The kinds of verdict.
const (
	Better     = "better"        // than the teacher, beyond chance
	Level      = "level"         // not distinguishable from the teacher
	Worse      = "worse"         // than the teacher, beyond chance
	DoNot      = "do-not-distil" // something simpler is not shown to be worse
	Unfinished = "unfinished"    // no student or no teacher to compare
)

// significance is the level at which a difference counts as shown.
const significance = 0.05

// judge finds the words. Whether distilling was worth it comes first: a student that is not shown to beat the plain baseline or itself
// before training is not worth its cost, however it compares with its teacher.
func (r *Report) judge() Verdict {
	student, haveStudent := r.Role(RoleStudent)
	pair, havePair := r.Pair(RoleTeacher)
	if !haveStudent || !havePair || pair.Items == 0 {
		return r.unfinished(haveStudent)
	}
	v := Verdict{}
	if simpler, ok := r.simpler(); ok {
		v = simpler
	} else {
		v = r.againstTeacher(pair)
	}
	if v.Kind == DoNot {
		v.Says = append(v.Says, r.againstTeacher(pair).Headline)
	}
	v.Says = append(v.Says, evidence(pair, "the teacher"))
	if b, ok := r.Pair(RoleBaseline); ok && v.Kind != DoNot {
		v.Says = append(v.Says, fmt.Sprintf("The plain baseline, without a language model, gets %s. ", percent(r.share(RoleBaseline)))+evidence(b, "the plain baseline"))
	}
	if s := r.price(); s != "" {
		v.Says = append(v.Says, s)
	}
	if student.Valid.Share < 0.98 {
		v.Says = append(v.Says, fmt.Sprintf("%d of the student's %d answers are not the object that was asked for.", student.Valid.Of-student.Valid.Right, student.Valid.Of))
	}
	if r.Manifest.Stopped != "" {
		v.Says = append(v.Says, "The run is not complete: "+strings.TrimSuffix(r.Manifest.Stopped, ".")+". The figures are of what exists.")
	}
	return v
}

func (r *Report) unfinished(haveStudent bool) Verdict {
	v := Verdict{Kind: Unfinished, Headline: "No verdict: the student has not sat the exam."}
	if haveStudent {
		v.Headline = "No verdict: there is no item that both student and teacher answered and whose right answer is known."
	}
	if s := r.Manifest.Stopped; s != "" {
		v.Says = []string{"The run stopped early: " + strings.TrimSuffix(s, ".") + ". The same command continues it."}
	}
	return v
}

// simpler reports whether the baseline, or the student before training, is not shown to be worse than the student. It is
// enough only where it is not shown to be worse than the teacher either.
func (r *Report) simpler() (Verdict, bool) {
	for _, c := range []struct{ role, enough, what string }{
		{RoleBaseline, "the plain baseline is enough", "the plain baseline"},
		{RoleBase, "the model as it came is enough", "the model before training"},
	} {
		pair, ok := r.Pair(c.role)
		if !ok || pair.Items == 0 || pair.Difference > 0 && pair.P < significance {
			continue
		}
		v := Verdict{Kind: DoNot}
		scores := fmt.Sprintf("%s against the student's %s", percent(r.share(c.role)), percent(r.share(RoleStudent)))
		switch {
		case pair.Difference <= 0 && r.enough[c.role]:
			v.Headline = fmt.Sprintf("Do not distil: %s, %s.", c.enough, scores)
		case pair.Difference <= 0:
			v.Headline = fmt.Sprintf("Do not distil on this evidence: the student does not beat %s, %s.", c.what, scores)
		default:
			v.Headline = fmt.Sprintf("Do not distil on this evidence: the student is not shown to beat %s, %s.", c.what, scores)
		}
		v.Says = []string{evidence(pair, c.what)}
		return v, true
	}
	return Verdict{}, false
}

func (r *Report) againstTeacher(pair Pair) Verdict {
	s, t := percent(r.pairShare(pair, true)), percent(r.pairShare(pair, false))
	switch {
	case pair.P < significance && pair.Difference > 0:
		return Verdict{Kind: Better, Headline: fmt.Sprintf("The student beats its teacher: %s against %s.", s, t)}
	case pair.P < significance:
		kept := fmt.Sprintf("%s of its teacher's quality (95\u00a0%% interval %s to %s)", percent(pair.Ratio), percent(pair.RatioRange.Low), percent(pair.RatioRange.High))
		return Verdict{Kind: Worse, Headline: fmt.Sprintf("The student keeps %s: %s against %s.", kept, s, t)}
	}
	return Verdict{Kind: Level, Headline: fmt.Sprintf("Student and teacher cannot be told apart here: %s and %s.", s, t)}
}

func (r *Report) pairShare(p Pair, student bool) float64 {
	n := p.Both + p.OtherAlone
	if student {
		n = p.Both + p.Student
	}
	return float64(n) / float64(p.Items)
}

// evidence tells a comparison in one sentence.
func evidence(p Pair, other string) string {
	lead, unit := points(math.Abs(p.Difference)), "points"
	if lead == "1" {
		unit = "point"
	}
	standing := fmt.Sprintf("%s %s %s", lead, unit, direction(p.Difference))
	if p.Difference == 0 {
		standing = "neither better nor worse"
	}
	s := fmt.Sprintf("Against %s the student is %s (95\u00a0%% interval %s to %s): it alone is right on %s, %s alone on %d, of %d; McNemar's exact %s",
		other, standing, signed(p.Bootstrap.Low), signed(p.Bootstrap.High), items(p.Student), other, p.OtherAlone, p.Items, pValue(p.P))
	if p.P >= significance {
		s += fmt.Sprintf("; so few items show a difference only from about %s points on", points(p.Detectable))
	}
	return s + "."
}

func items(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprintf("%d items", n)
}

// price says what the student saves, or that it saves nothing.
func (r *Report) price() string {
	m := r.Money
	if m.Cheaper == 0 {
		return ""
	}
	teacher, _ := r.Role(RoleTeacher)
	student, _ := r.Role(RoleStudent)
	speed := fmt.Sprintf("An item takes %s instead of %s", seconds(student.MeanMS/1000), seconds(teacher.MeanMS/1000))
	if m.BreakEven == 0 {
		return fmt.Sprintf("%s, and the student is not cheaper: %s against %s for a thousand items.", speed, dollars(student.PerThousand), dollars(teacher.PerThousand))
	}
	return fmt.Sprintf("%s, at 1/%s of the price; making the student cost %s, earned back after %s items.", speed, times(m.Cheaper), dollars(m.Once), grouped(m.BreakEven))
}

func (r *Report) share(role string) float64 {
	one, _ := r.Role(role)
	return one.Metric(r.Manifest.Metric).Share
}
