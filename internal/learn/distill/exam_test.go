package distill

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/learn/report"
	"retort/internal/learn/task"
)

// counted has o count the questions of each exam.
func counted(o *Options) map[string]int {
	n := map[string]int{}
	o.Progress = func(p Progress) {
		if _, begun := n[p.Phase]; !begun {
			n[p.Phase] = -1 // told once before the first question
		}
		n[p.Phase]++
	}
	return n
}

// TestExamFollowsTheData: an answer stays as long as the question is the same, and is graded by the gold of today; what the
// teacher is not asked differently it is not asked again.
func TestExamFollowsTheData(t *testing.T) {
	o := tinyOptions(t)
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, file, old, new string
		teacher, student     int // questions asked again
	}{
		{"gold", "val.jsonl", `"blue", "sure": "no"`, `"red", "sure": "yes"`, 0, 0},
		{"text", "val.jsonl", "The boat is red.", "The boat is blue.", 1, 1},
		{"epochs", "recipe.yaml", "epochs: 3", "epochs: 2", 0, 6},
	} {
		o.Recipe = changeRecipe(t, o.Recipe, c.file, c.old, c.new)
		asked := counted(&o)
		res, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if a, b, s := asked["exam of the teacher"], asked["exam of the base"], asked["exam of the student"]; a != c.teacher || b != c.teacher || s != c.student {
			t.Errorf("%s: asked teacher %d, base %d, student %d times, want %d, %d, %d", c.name, a, b, s, c.teacher, c.teacher, c.student)
		}
		tk, err := task.Load(o.Recipe, "")
		if err != nil {
			t.Fatal(err)
		}
		items, _ := tk.Items(task.Val)
		gold := map[string]string{}
		for _, it := range items {
			gold[it.ID] = tk.Answer(it.Gold)
		}
		lines, err := report.ReadPredictions(filepath.Join(o.Out, report.PredictionsFile))
		if err != nil || len(lines) != 18 || res.Report.Regraded != 0 {
			t.Fatalf("%s: %d lines, %d regraded, %v", c.name, len(lines), res.Report.Regraded, err)
		}
		for _, p := range lines {
			if tk.Answer(p.Gold) != gold[p.ID] {
				t.Errorf("%s: %s %s is graded by %v, gold is %s", c.name, p.Role, p.ID, p.Gold, gold[p.ID])
			}
			if p.PromptTokens == 0 || p.AnswerTokens == 0 {
				t.Errorf("%s: %s %s has %d and %d tokens", c.name, p.Role, p.ID, p.PromptTokens, p.AnswerTokens)
			}
		}
	}
	// A smaller exam is one exam for all, and what was answered in the bigger one is not asked again.
	for _, n := range []int{2, 6} {
		o.Exam = n
		o.Progress = func(p Progress) {
			if strings.HasPrefix(p.Phase, "exam of") && p.Done < p.Total {
				t.Errorf("an exam of %d asks after one of 6: %+v", n, p)
			}
		}
		res, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range res.Report.Roles {
			if role.Items != n {
				t.Errorf("%s stands with %d items, want %d", role.Role, role.Items, n)
			}
		}
	}
}

// TestQuestions: the student is asked what it was trained on, whatever template it has; the others what the teacher was asked.
func TestQuestions(t *testing.T) {
	r := looked(t, tinyOptions(t))
	it := r.learned[0]
	text, message := r.task.StudentPrompt(it), r.task.Prompt(it)
	if text == message || text == "" {
		t.Fatal("the prompts are one: the test sees nothing")
	}
	for role, want := range map[string]string{report.RoleStudent: "", report.RoleTeacher: message, report.RoleBase: message, report.RoleModel: message} {
		if q := r.question(role, it); q.Message != want || q.Text != text || q.Max != r.task.Recipe.Exam.MaxTokens || q.Temperature != 0 {
			t.Errorf("%s is asked %+v", role, q)
		}
	}
}

// TestBaselineLearnsAgain: what the baseline answered stays as long as it learned from the same.
func TestBaselineLearnsAgain(t *testing.T) {
	o := tinyOptions(t)
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "metric: exact", "metric: exact, baseline: linear")
	r := looked(t, o)
	items, err := r.items()
	if err != nil {
		t.Fatal(err)
	}
	exam := func() string {
		t.Helper()
		if err := r.examBaseline(items, items); err != nil {
			t.Fatal(err)
		}
		lines, err := report.ReadPredictions(filepath.Join(o.Out, report.PredictionsFile))
		if err != nil || len(lines) != len(items) {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		text := ""
		for _, p := range lines {
			text += p.Key + p.Answer
		}
		return text
	}
	first := exam()
	if exam() != first {
		t.Error("the same baseline answers otherwise")
	}
	for i := range r.examples {
		r.examples[i].Fields = task.Fields{"colour": "green", "sure": "yes"}
	}
	if second := exam(); second == first || !strings.Contains(second, "green") || strings.Contains(second, "red") {
		t.Errorf("after other lessons it answers %s", second)
	}
}

// TestExamHasRoomForTheLongest: whichever item it is.
func TestExamHasRoomForTheLongest(t *testing.T) {
	o := tinyOptions(t)
	long := strings.Repeat("The boat is red. ", 20)
	e := ExamineOptions{Recipe: changeRecipe(t, o.Recipe, "val.jsonl", "The boat is red.", long), Model: o.Teacher, Split: task.Val, Out: o.Out, Threads: 2}
	if got, err := Examine(context.Background(), e); err != nil || got.Items != 6 {
		t.Fatalf("%+v, %v", got, err)
	}
	lines, err := report.ReadPredictions(filepath.Join(e.Out, report.PredictionsFile))
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for i, p := range lines {
		if longest = max(longest, p.PromptTokens); i == 0 && p.PromptTokens > 50 || !task.Complete([]string{"colour", "sure"}, p.Answer) {
			t.Errorf("item %d: a prompt of %d tokens and the answer %s", i, p.PromptTokens, p.Answer)
		}
	}
	if longest < 100 {
		t.Errorf("the longest prompt has %d tokens: the test sees nothing", longest)
	}
}

// TestExamineFewer: a small exam after a bigger one counts its own items.
func TestExamineFewer(t *testing.T) {
	o := tinyOptions(t)
	e := ExamineOptions{Recipe: o.Recipe, Model: o.Teacher, Split: task.Val, Out: o.Out, Threads: 2}
	for _, c := range []struct{ limit, want int }{{0, 6}, {2, 2}, {9, 6}} {
		e.Limit = c.limit
		if got, err := Examine(context.Background(), e); err != nil || got.Items != c.want || got.Graded != c.want {
			t.Errorf("limit %d: %+v, %v; want %d items", c.limit, got, err, c.want)
		}
	}
}

// TestExamineTwoModelsInOneFolder: the second model answers for itself, and the run of a student is nobody else's.
func TestExamineTwoModelsInOneFolder(t *testing.T) {
	o := tinyOptions(t)
	e := ExamineOptions{Recipe: o.Recipe, Model: o.Teacher, Split: task.Val, Out: o.Out, Threads: 2}
	answers := func() string {
		t.Helper()
		if _, err := Examine(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		lines, err := report.ReadPredictions(filepath.Join(e.Out, report.PredictionsFile))
		if err != nil || len(lines) != 6 {
			t.Fatalf("%d lines, want 6: %v", len(lines), err)
		}
		text := ""
		for _, p := range lines {
			text += p.Key + p.Answer
		}
		return text
	}
	first := answers()
	e.Model = o.Student
	second := answers()
	if e.Out = t.TempDir(); first == second || second != answers() {
		t.Error("the second model's answers are not its own")
	}
	release, err := lockFolder(e.Out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Examine(context.Background(), e); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("in a locked folder: %v", err)
	}
	release()
	if err := os.WriteFile(filepath.Join(e.Out, report.ManifestFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Examine(context.Background(), e); err == nil || !strings.Contains(err.Error(), "another folder") {
		t.Errorf("in the folder of a run: %v", err)
	}
}

// TestExamineGradesWhatHasGold: items without a right answer count for speed alone, and none but such is an error.
func TestExamineGradesWhatHasGold(t *testing.T) {
	o := tinyOptions(t)
	e := ExamineOptions{Recipe: o.Recipe, Model: o.Teacher, Split: task.Val, Threads: 2}
	whole, err := Examine(context.Background(), e)
	if err != nil || whole.Graded != 6 {
		t.Fatalf("%+v, %v", whole, err)
	}
	e.Recipe = changeRecipe(t, e.Recipe, "val.jsonl", `, "gold": {"colour": "blue", "sure": "no"}`, "")
	part, err := Examine(context.Background(), e)
	if err != nil || part.Items != 6 || part.Graded != 5 {
		t.Fatalf("%+v, %v; want 5 of 6 graded", part, err)
	}
	right := whole.Fields["sure"].Exact * 6 // val-0 may be one of them
	if got := part.Fields["sure"].Exact * 5; got < right-1.001 || got > right+0.001 {
		t.Errorf("%.3f of 5 are right, of 6 it was %.3f", got, right)
	}
	e.Split = task.Train
	if _, err := Examine(context.Background(), e); err == nil || !strings.Contains(err.Error(), "nothing to grade") {
		t.Errorf("of the training pool: %v", err)
	}
}
