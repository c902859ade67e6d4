package distill

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"retort/internal/format/gguf"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
	"retort/internal/lm/model"
)

// TestRefusedBeforeAnythingIsPaid: a student that could not be trained, or not sit the exam, ends the run before the
// teacher is asked.
func TestRefusedBeforeAnythingIsPaid(t *testing.T) {
	for _, c := range []struct {
		name, want string
		shape      func(*model.Config)
		edit       func(*gguf.Metadata)
	}{
		{"no end", "tokenizer.ggml.eos_token_id", func(*model.Config) {}, func(md *gguf.Metadata) { md.Delete("tokenizer.ggml.eos_token_id") }},
		{"few rows", "want 1800 at most", func(c *model.Config) { c.Vocab = 1800 }, func(*gguf.Metadata) {}},
		{"short", "context of 6", func(c *model.Config) { c.Context = 6 }, func(*gguf.Metadata) {}},
	} {
		o := tinyOptions(t)
		o.Student.Path = oddModel(t, t.TempDir(), "odd", 2, c.shape, c.edit)
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(o.Out, teacherFile)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the teacher was asked first (%v)", c.name, err)
		}
	}
}

// looked is a run that knows its models and has all of the training pool as lessons.
func looked(t *testing.T, o Options) *run {
	t.Helper()
	if err := os.MkdirAll(o.Out, 0o777); err != nil {
		t.Fatal(err)
	}
	tk, bound, err := loadTask(o.Recipe, o.Data)
	if err != nil {
		t.Fatal(err)
	}
	r, err := begin(o, tk, bound)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.look(); err != nil {
		t.Fatal(err)
	}
	if r.learned, err = r.task.Items(task.Train); err != nil {
		t.Fatal(err)
	}
	for _, it := range r.learned {
		r.examples = append(r.examples, task.Example{Text: it.Text, Fields: task.Fields{"colour": "red", "sure": "no"}})
	}
	return r
}

// TestTooLongForTheStudent: what the student's context does not hold is left out and counted.
func TestTooLongForTheStudent(t *testing.T) {
	r := looked(t, tinyOptions(t))
	set, left := r.trainingSet()
	if len(set) != 12 || left != 0 {
		t.Fatalf("%d examples, %d left out, want all 12", len(set), left)
	}
	longest, of := 0, 0
	for _, e := range set {
		switch n := len(e.Tokens); {
		case n > longest:
			longest, of = n, 1
		case n == longest:
			of++
		}
	}
	r.student.form.Context = longest - 1
	if set, left = r.trainingSet(); left != of || len(set) != 12-of {
		t.Errorf("in a context of %d: %d examples, %d left out, want %d and %d", longest-1, len(set), left, 12-of, of)
	}
}

// TestTrainingSet: a sequence is what the student is asked, then the answer and the end, which alone carry labels.
func TestTrainingSet(t *testing.T) {
	r := looked(t, tinyOptions(t))
	set, _ := r.trainingSet()
	tok := r.student.form.Tokenizer
	for i, e := range set {
		prompt, err := r.student.form.Prompt(r.question(report.RoleStudent, r.learned[i]))
		if err != nil {
			t.Fatal(err)
		}
		want := append(slices.Clone(prompt), teacher.TextIDs(tok, `{"colour": "red", "sure": "no"}`)...)
		want = append(want, int32(tok.EOS))
		if !slices.Equal(e.Tokens, want) || e.From != len(prompt) || e.Weight != 0 {
			t.Fatalf("%s: %+v, want %v from %d on", r.learned[i].ID, e, want, len(prompt))
		}
	}
}

// TestRoom: what the longest question needs with its answer, in a context that leaves room for one.
func TestRoom(t *testing.T) {
	r := looked(t, tinyOptions(t))
	f, longest := r.student.form, 0
	ask := func(it task.Item) teacher.Question { return r.question(report.RoleStudent, it) }
	for _, it := range r.learned {
		ids, err := f.Prompt(ask(it))
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(ids))
	}
	for _, c := range []struct{ context, want int }{{1000, longest + 40 + 1}, {longest + 41, longest + 41}, {longest + 40, longest + 40}, {longest + 1, longest + 1}} {
		f.Context = c.context
		if got, err := room(f, r.learned, ask); err != nil || got != c.want {
			t.Errorf("in a context of %d: %d, %v; want %d", c.context, got, err, c.want)
		}
	}
	f.Context = longest
	if got, err := room(f, r.learned, ask); err == nil || !strings.Contains(err.Error(), "leaves no room for an answer") {
		t.Errorf("in a context of %d: %d, %v", longest, got, err)
	}
}

// TestTeachRoom: the teacher has room for its own prompts, not for the student's.
func TestTeachRoom(t *testing.T) {
	o := tinyOptions(t)
	o.Teacher.Path = oddModel(t, t.TempDir(), "chats", 1, func(*model.Config) {}, func(md *gguf.Metadata) {
		md.Set("tokenizer.chat_template", gguf.ValueOf(strings.Repeat("Think. ", 10)+echoTemplate))
	})
	r := looked(t, o)
	asks, longest := r.asks(r.learned), 0
	for _, a := range asks {
		ids, err := r.teacher.form.Prompt(a.q)
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, len(ids))
	}
	if got, err := r.teachRoom(r.learned, asks); err != nil || got != longest+r.task.Recipe.Teacher.MaxTokens+1 {
		t.Errorf("room of %d, %v; the longest prompt has %d tokens, an answer %d", got, err, longest, r.task.Recipe.Teacher.MaxTokens)
	}
	if r.task.Recipe.Teacher.MaxTokens != 40 || longest < 30 {
		t.Errorf("prompts of %d tokens: the test sees nothing", longest)
	}
}

// TestHalfAnswered: an item of which an answer is missing is not learned from.
func TestHalfAnswered(t *testing.T) {
	r := looked(t, tinyOptions(t))
	items := r.learned
	r.learned, r.examples = nil, nil
	cache, err := teacher.OpenCache(filepath.Join(r.o.Out, teacherFile))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	asks := r.asks(items)
	for _, a := range []ask{asks[0], asks[2], asks[3], asks[5]} { // of the first and third item one of two, of the second both
		if err := cache.Put(teacher.Cached{Key: a.key, Answer: `{"colour": "red", "sure": "no"}`, AnswerTokens: 7}); err != nil {
			t.Fatal(err)
		}
	}
	sum := &report.Teaching{}
	if err := r.verify(cache, items, asks, sum); err != nil {
		t.Fatal(err)
	}
	if len(r.learned) != 1 || r.learned[0].ID != items[1].ID || len(r.examples) != 1 || sum.Asked != 2 || sum.Accepted != 1 || sum.AnswerTokens != 4*7 {
		t.Errorf("learned from %v, %+v; want the second item alone, and all tokens counted", r.learned, sum)
	}
}

// TestExamLeavesOutWhatThePromptShows: the prompt's examples come with their answers.
func TestExamLeavesOutWhatThePromptShows(t *testing.T) {
	o := tinyOptions(t)
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "split: val", "split: dev")
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "samples: 2", "examples: [dev-1], samples: 2")
	o.Recipe = changeRecipe(t, o.Recipe, "prompt.md", "Which", "{{#examples}}{{text}} {{answer}}\n{{/examples}}Which")
	items, err := looked(t, o).items()
	if err != nil || len(items) != 3 || items[0].ID != "dev-0" || items[1].ID != "dev-2" {
		t.Errorf("exam of %v, %v; want dev without dev-1", items, err)
	}
	e, err := Examine(context.Background(), ExamineOptions{Recipe: o.Recipe, Model: o.Student, Split: task.Dev, Threads: 2})
	if err != nil || e.Items != 3 {
		t.Errorf("examined %+v, %v; want 3 items", e, err)
	}
}

const echoTemplate = "{% for m in messages %}{{ m.content }}{% endfor %}"

// TestAnswersAreKeptByWhatWasAsked: a teacher that chats never saw the student's prompt, so that another one costs nothing;
// one that continues text is asked anew.
func TestAnswersAreKeptByWhatWasAsked(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*gguf.Metadata)
		asked int
	}{
		{"chats", func(md *gguf.Metadata) { md.Set("tokenizer.chat_template", gguf.ValueOf(echoTemplate)) }, 24},
		{"continues", func(*gguf.Metadata) {}, 48},
	} {
		o := tinyOptions(t)
		o.Teacher.Path = oddModel(t, t.TempDir(), "odd", 1, func(*model.Config) {}, c.edit)
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", `prompt: "{{text}}`, `prompt: "Say: {{text}}`)
		res, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if s := settle(t, o.Out); s.Asked != c.asked {
			t.Errorf("%s: %d answers, want %d", c.name, s.Asked, c.asked)
		}
		if student, _ := res.Report.Role(report.RoleStudent); student.Items != 6 {
			t.Errorf("%s: the student answered %d items", c.name, student.Items)
		}
	}
}

// TestBudgetReservesTheExam: teaching and training share what the teacher's exam leaves.
func TestBudgetReservesTheExam(t *testing.T) {
	for _, c := range []struct {
		spent   float64
		reserve time.Duration
		over    bool
	}{{40, 0, false}, {40, 30 * time.Second, true}, {34, 30 * time.Second, false}, {50, 0, true}} {
		r := &run{o: Options{Budget: 100 * time.Second}, reserve: c.reserve, state: &state{Seconds: map[string]float64{"teach": c.spent}}}
		if got := r.over(teachShare); got != c.over {
			t.Errorf("%v s of 100 spent, %v reserved: over %v, want %v", c.spent, c.reserve, got, c.over)
		}
	}
	o := tinyOptions(t)
	o.Budget = time.Hour
	r := looked(t, o)
	cache, err := teacher.OpenCache(filepath.Join(o.Out, teacherFile))
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	asks := r.asks(r.learned)
	for i, c := range []teacher.Cached{{TimeMS: 9e4, Alone: true}, {TimeMS: 2e4, Alone: true}, {TimeMS: 1000}} {
		c.Key = asks[i].key
		if err := cache.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	set := func(budget, want time.Duration) {
		t.Helper()
		r.o.Budget = budget
		if err := r.setReserve(cache, asks); err != nil || r.reserve != want {
			t.Errorf("of %v are %v reserved, %v; want %v", budget, r.reserve, err, want)
		}
	}
	set(time.Hour, 2*time.Minute) // six items at 20 seconds
	set(time.Minute, 0)
	it, err := r.items()
	if err != nil {
		t.Fatal(err)
	}
	w, err := r.openExam(report.RoleTeacher, it, func(task.Item) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(r.graded(report.Prediction{Role: report.RoleTeacher, Key: r.examKey(r.teacher, report.RoleTeacher, it[0])}, it[0])); err != nil {
		t.Fatal(err)
	}
	w.Close()
	set(time.Hour, 100*time.Second)
}

// TestBudgetMeasures: with a budget two questions are asked alone, which changes no answer.
func TestBudgetMeasures(t *testing.T) {
	o := tinyOptions(t)
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	want := settle(t, o.Out).text()
	o.Out += "-budget"
	o.Budget = time.Hour
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got := settle(t, o.Out).text(); got != want {
		t.Errorf("with a budget\n%s\nwant\n%s", got, want)
	}
	b, err := os.ReadFile(filepath.Join(o.Out, teacherFile))
	if n := strings.Count(string(b), `"alone":true`); err != nil || n != measured {
		t.Errorf("%d answers were given alone, want %d (%v)", n, measured, err)
	}
}
