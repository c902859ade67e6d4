package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/learn/cost"
	"retort/internal/learn/task"
)

// writeRun makes a run in dir whose predictions are made up: each role answers the ledger's val items and errs in some share of them.
// Set RETORT_SAMPLE to a folder to keep one and look at its page.
func writeRun(t testing.TB, dir string, wrong map[string]int) *Manifest {
	t.Helper()
	tk, err := task.Load("ledger", "")
	if err != nil {
		t.Fatal(err)
	}
	items, err := tk.Items(task.Val)
	if err != nil {
		t.Fatal(err)
	}
	w, err := AppendPredictions(filepath.Join(dir, PredictionsFile))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, role := range []string{RoleTeacher, RoleBase, RoleStudent, RoleBaseline} {
		if _, ok := wrong[role]; !ok {
			continue
		}
		for _, it := range items[:200] {
			answer := tk.Answer(it.Gold)
			if r.IntN(100) < wrong[role] {
				f := task.Fields{}
				for k, v := range it.Gold {
					f[k] = v
				}
				k := tk.FieldNames()[r.IntN(6)]
				f[k] = items[r.IntN(len(items))].Gold[k]
				if answer = tk.Answer(f); r.IntN(9) == 0 {
					answer = `{"date": "` + it.Gold["date"]
				}
			}
			g := tk.Grade(it, answer)
			ms := map[string]float64{RoleTeacher: 310, RoleBase: 38, RoleStudent: 41, RoleBaseline: 0.07}[role] * (0.7 + 0.6*r.Float64())
			p := Prediction{ID: it.ID, Split: it.Split, Role: role, PromptSHA256: strings.Repeat("ab", 32), Answer: answer, Gold: it.Gold, Fields: g.Fields, Exact: g.Exact, Loose: g.Loose, TimeMS: ms}
			if role != RoleBaseline {
				p.PromptTokens, p.AnswerTokens = 62, 55
			}
			err := w.Write(p)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m := &Manifest{
		Task: "ledger", Description: tk.Recipe.Description, Generated: "ledger, seed 20261124", Split: "val", Metric: "exact", Fields: tk.Recipe.Fields, Seed: 7,
		Command: []string{"retort", "demo", "--out", "my run"}, Version: "retort devel 04e6ac2", Go: "go1.26.8", Started: "2026-11-24T08:00:00Z", Finished: "2026-11-24T08:04:12Z",
		Machine: Machine{"AMD EPYC 9R14", "avx512vnni", "linux/amd64", 2},
		Hashes:  map[string]string{"recipe": tk.Hash, "data": tk.DataHash()},
		Models: []Model{
			{Role: RoleTeacher, Name: "ledger-teacher", SHA256: strings.Repeat("0f", 32), Params: 9_100_000, Bytes: 9_700_000, Type: "Q8_0", License: "Apache-2.0"},
			{Role: RoleBase, Name: "ledger-student, random", Params: 1_800_000, Bytes: 7_300_000, Type: "F32"},
			{Role: RoleStudent, Name: "student.gguf", Params: 1_800_000, Bytes: 1_950_000, Type: "Q8_0"},
			{Role: RoleBaseline, Name: "linear, 6 fields"},
		},
		Phases:   []Phase{{"teach", 88, true}, {"verify", 0.4, true}, {"train", 121, true}, {"exam", 24, false}},
		Teaching: &Teaching{Items: 3000, Samples: 3, Asked: 8994, Cached: 6, Accepted: 2610, PromptTokens: 180000, AnswerTokens: 460000, Verifiers: []task.Count{{Check: "parse", Passed: 2990, Failed: 10, First: 10}, {Check: "schema", Passed: 2981, Failed: 9, First: 9}, {Check: "occurs", Passed: 2900, Failed: 90, First: 84}, {Check: "agree", Passed: 2640, Failed: 350, First: 287}}},
		Training: &Training{Examples: 2610, Mode: "full", Trained: 1_800_000, Epochs: 6, Steps: 978, Tokens: 1_700_000, LabelTokens: 870_000, Batch: 16, LearningRate: 2e-3, Schedule: "cosine", Memory: 212_000_000},
		Prices:   cost.Default(),
		Notes:    []string{"The teacher was made by retort train from a committed configuration; its licence allows distillation."},
	}
	if err := m.Write(dir); err != nil {
		t.Fatal(err)
	}
	loss := ""
	for i := range 978 {
		x := float64(i) / 978
		loss += fmt.Sprintf("{\"step\": %d, \"loss\": %.4f, \"lr\": %.6f, \"tokens\": %d, \"time_ms\": 121}\n", i+1, 5.8/(1+40*x*x+8*x)+0.08+0.25*r.Float64()*(1-x*0.8), 2e-3*(1-x), 1700*(i+1))
	}
	if err := os.WriteFile(filepath.Join(dir, LossFile), []byte(loss), 0o644); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBuild(t *testing.T) {
	dir := t.TempDir()
	if keep := os.Getenv("RETORT_SAMPLE"); keep != "" {
		dir = keep
	}
	writeRun(t, dir, map[string]int{RoleTeacher: 9, RoleBase: 100, RoleStudent: 14, RoleBaseline: 40})
	if _, err := Build(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, JSONFile))
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	student, _ := r.Role(RoleStudent)
	if r.Items != 200 || len(r.Roles) != 4 || r.Roles[0].Role != RoleTeacher || student.Exact.Of != 200 || r.Regraded != 0 {
		t.Errorf("%d items, %d roles, student %+v", r.Items, len(r.Roles), student.Exact)
	}
	pair, _ := r.Pair(RoleTeacher)
	if pair.Both+pair.Student+pair.OtherAlone+pair.Neither != 200 || pair.P != McNemar(pair.Student, pair.OtherAlone) {
		t.Errorf("pair %+v", pair)
	}
	a := r.Agreement
	if a.TeacherRight+a.TeacherWrong != 200 || a.Corrected+a.Copied+a.OtherWrong != a.TeacherWrong || a.Corrected != pair.Student {
		t.Errorf("agreement %+v does not add up with %+v", a, pair)
	}
	// 209.4 seconds at 8 cents an hour, earned back at the difference of the two prices.
	if got := r.Money.Once; got < 0.00465 || got > 0.00466 {
		t.Errorf("making the student cost %v", got)
	}
	// The student's speed comes from its lines alone: what a killed run did not get to write elsewhere cannot change it.
	if want := 55 / (student.MeanMS / 1000); student.AnswerTokens != 200*55 || math.Abs(r.Money.TokensPerSecond/want-1) > 1e-9 {
		t.Errorf("%d answer tokens at %v a second, want 11000 at %v", student.AnswerTokens, r.Money.TokensPerSecond, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, HTMLFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "prefers-color-scheme: dark", "generated data", "retort demo --out &#39;my run&#39;", "McNemar", student.Model.Name} {
		if !strings.Contains(string(page), want) {
			t.Errorf("page does not hold %q", want)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://", "NaN", "ZgotmplZ", "%!", "<no value>"} {
		if strings.Contains(string(page), bad) {
			t.Errorf("page holds %q", bad)
		}
	}
	// The same files give the same report, byte for byte.
	if _, err := Build(dir); err != nil {
		t.Fatal(err)
	}
	again, _ := os.ReadFile(filepath.Join(dir, HTMLFile))
	if string(again) != string(page) {
		t.Error("a second build gives another page")
	}
}

// TestHostile: names, answers and notes are other people's text.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>&'`
	m := &Manifest{Task: evil, Description: evil, Split: evil, Metric: "loose", Fields: []task.Field{{Name: evil, Grader: evil}}, Command: []string{evil}, Notes: []string{evil}, Generated: evil, Stopped: evil,
		Models: []Model{{Role: RoleStudent, Name: evil, License: evil, SHA256: evil}, {Role: evil, Name: evil}}, Hashes: map[string]string{evil: evil}, Phases: []Phase{{evil, 1, true}},
		Teaching: &Teaching{Items: 1, Verifiers: []task.Count{{Check: evil, Passed: 1}}}, Training: &Training{Mode: evil, Schedule: evil}}
	if err := m.Write(dir); err != nil {
		t.Fatal(err)
	}
	w, err := AppendPredictions(filepath.Join(dir, PredictionsFile))
	if err != nil {
		t.Fatal(err)
	}
	for i, role := range []string{RoleTeacher, RoleStudent, evil} {
		for j := range 3 {
			p := Prediction{ID: fmt.Sprint(evil, j), Role: role, Answer: fmt.Sprint(evil, i, j), Gold: task.Fields{evil: evil}, TimeMS: 1}
			if role == RoleStudent && j == 0 {
				b, _ := json.Marshal(map[string]string{evil: evil})
				p.Answer = string(b)
			}
			if err := w.Write(p); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.Close()
	if _, err := Build(dir); err != nil {
		t.Fatal(err)
	}
	page, _ := os.ReadFile(filepath.Join(dir, HTMLFile))
	if s := string(page); strings.Contains(s, "<script") || strings.Contains(s, "<img") {
		t.Errorf("text of the run became markup: %s", s[max(0, strings.Index(s, "<img")-200):][:400])
	}
	if r, err := Compute(dir); err != nil || r.Regraded != 1 {
		t.Errorf("%d lines regraded, want the one right answer that said it was wrong (%v)", r.Regraded, err)
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong map[string]int
		kind  string
		words string
	}{
		{"better", map[string]int{RoleTeacher: 40, RoleStudent: 10, RoleBaseline: 70, RoleBase: 100}, Better, "beats its teacher"},
		{"worse", map[string]int{RoleTeacher: 2, RoleStudent: 25, RoleBaseline: 70}, Worse, "keeps"},
		{"level", map[string]int{RoleTeacher: 10, RoleStudent: 10, RoleBaseline: 70}, Level, "cannot be told apart"},
		{"baseline ahead", map[string]int{RoleTeacher: 10, RoleStudent: 40, RoleBaseline: 10}, DoNot, "the plain baseline is enough"},
		{"baseline near", map[string]int{RoleTeacher: 10, RoleStudent: 25, RoleBaseline: 26}, DoNot, "Do not distil"},
		{"base near", map[string]int{RoleTeacher: 10, RoleStudent: 30, RoleBaseline: 80, RoleBase: 11}, DoNot, "as it came is enough"},
		{"both fail", map[string]int{RoleTeacher: 10, RoleStudent: 100, RoleBaseline: 90}, DoNot, "does not beat the plain baseline"},
		{"no student", map[string]int{RoleTeacher: 10}, Unfinished, "has not sat the exam"},
		{"no teacher", map[string]int{RoleStudent: 10}, Unfinished, "no item"},
		{"nothing", nil, Unfinished, "has not sat"},
	} {
		dir := t.TempDir()
		writeRun(t, dir, c.wrong)
		r, err := Compute(dir)
		if err != nil {
			t.Fatal(err)
		}
		v := r.Verdict
		if v.Kind != c.kind || !strings.Contains(v.Headline, c.words) {
			t.Errorf("%s: %s: %q", c.name, v.Kind, v.Headline)
		}
		if c.kind != Unfinished && len(v.Says) < 2 {
			t.Errorf("%s: no evidence: %q", c.name, v.Says)
		}
		if _, err := renderHTML(r); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestEnough: nothing right is never enough, and chance alone shows nothing.
func TestEnough(t *testing.T) {
	lines := func(rights ...bool) (out []Prediction) {
		for i, r := range rights {
			out = append(out, Prediction{ID: fmt.Sprint(i), Gold: task.Fields{}, Exact: r, Loose: r})
		}
		return out
	}
	m := &Manifest{Metric: "exact"}
	for _, c := range []struct {
		role, teacher []Prediction
		want          bool
	}{
		{lines(false, false), lines(false, false), false},
		{lines(true, false), lines(true, true), true},
		{lines(true, false, false, false, false, false, false), lines(true, true, true, true, true, true, true), false},
		{lines(true), nil, false}, // no item in common
	} {
		if got := enough(m, c.role, c.teacher); got != c.want {
			t.Errorf("%v against %v: %v, want %v", c.role, c.teacher, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		percent(0.925): "92.5\u00a0%", percent(1): "100\u00a0%", signed(-0.035): "−3.5", signed(0.14): "+14", signed(0): "0", signed(-0.0001): "0",
		pValue(0.00003): "p < 0.0001", pValue(0.0002): "p = 0.0002", pValue(0.6): "p = 0.60", seconds(10.1): "10.1 s", seconds(0.0412): "41 ms", seconds(900): "15 min", seconds(121): "2.0 min",
		seconds(0.99999): "1.0 s", dollars(0.000123): "$0.00012", dollars(1234.5): "$1,235", dollars(0): "$0", dollars(5): "$5.00", dollars(0.0999): "$0.10", dollars(0.08): "$0.08", dollars(1e-5): "$0.00001", grouped(1234567): "1,234,567", grouped(-123): "-123", times(24.6): "25",
		size(1_950_000): "1.9 MB", amount(9_100_000): "9.1 M", amount(999): "999", amount(999_600): "1 M", amount(134_515_008): "135 M",
		command([]string{"a b", "it's", "--x=1"}): `'a b' 'it'\''s' --x=1`,
	} {
		if got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
	}
}

func TestEvidenceCountsPoints(t *testing.T) {
	for difference, want := range map[float64]string{0.01: "is 1 point better", -0.01: "is 1 point worse", 0.02: "is 2 points better", 0.014: "is 1.4 points better"} {
		if got := evidence(Pair{Items: 1000, Difference: difference}, "it"); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", difference, got, want)
		}
	}
}
