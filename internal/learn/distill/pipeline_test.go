package distill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/learn/report"
	"retort/internal/learn/teacher"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// tinyModel writes a random model over the ledger's vocabulary: its answers are noise in the schema's form, which is
// all that the pipeline needs.
func tinyModel(t *testing.T, dir, name string, seed uint64) string {
	t.Helper()
	return oddModel(t, dir, name, seed, func(*model.Config) {}, func(*gguf.Metadata) {})
}

// oddModel is a tinyModel of another shape or with other metadata.
func oddModel(t *testing.T, dir, name string, seed uint64, shape func(*model.Config), edit func(*gguf.Metadata)) string {
	t.Helper()
	return storedModel(t, dir, name, seed, quant.Q8_0, shape, edit)
}

// storedModel is an oddModel whose matrices are stored as typ.
func storedModel(t *testing.T, dir, name string, seed uint64, typ quant.Type, shape func(*model.Config), edit func(*gguf.Metadata)) string {
	t.Helper()
	c := &Scratch{Tokenizer: "tokenizer.json", dir: filepath.Join("..", "..", "..", "models", "ledger")}
	tok, err := c.readTokenizer()
	if err != nil {
		t.Fatal(err)
	}
	cfg := model.Config{Arch: "llama", Vocab: tok.Vocab(), Width: 32, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 16, FFN: 64, Context: 256, Eps: 1e-5, Tied: true,
		Rope: model.RopeConfig{Dim: 16, Theta: 10000, Pairs: true}}
	shape(&cfg)
	m, err := model.Fresh(cfg, seed, tensor.BFloat16)
	if err != nil {
		t.Fatal(err)
	}
	md := cfg.Metadata(name)
	if err := tok.SetMetadata(md); err != nil {
		t.Fatal(err)
	}
	edit(md)
	path := filepath.Join(dir, name+".gguf")
	if err := m.WriteGGUF(context.Background(), path, md, typ); err != nil {
		t.Fatal(err)
	}
	return path
}

// changeRecipe copies the test's recipe with old replaced by new in one of its files.
func changeRecipe(t *testing.T, from, file, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(b), old, new, 1)
	if changed == string(b) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func tinyOptions(t *testing.T) Options {
	dir := t.TempDir()
	return Options{Recipe: "testdata/colours", Teacher: Source{Path: tinyModel(t, dir, "teacher", 1)}, Student: Source{Path: tinyModel(t, dir, "student", 2)},
		Out: filepath.Join(dir, "run"), Seed: 7, Threads: 2, Width: 3}
}

// settled is what must not depend on how often a run was stopped: the predictions without their times, the losses
// without theirs, and how often the teacher was asked.
type settled struct {
	Predictions []report.Prediction
	Losses      []train.Line
	Asked       int
}

func settle(t *testing.T, dir string) settled {
	t.Helper()
	var s settled
	var err error
	if s.Predictions, err = report.ReadPredictions(filepath.Join(dir, report.PredictionsFile)); err != nil {
		t.Fatal(err)
	}
	for i := range s.Predictions {
		s.Predictions[i].TimeMS = 0
	}
	if s.Losses, err = train.ReadLog(filepath.Join(dir, report.LossFile)); err != nil {
		t.Fatal(err)
	}
	for i := range s.Losses {
		s.Losses[i].TimeMS = 0
	}
	b, err := os.ReadFile(filepath.Join(dir, teacherFile))
	if err != nil {
		t.Fatal(err)
	}
	s.Asked = bytes.Count(b, []byte("\n"))
	return s
}

func (s settled) text() string {
	b, _ := json.MarshalIndent(s, "", " ")
	return string(b)
}

func TestRunLeavesEverything(t *testing.T) {
	o := tinyOptions(t)
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if res.Stopped != "" {
		t.Errorf("stopped: %s", res.Stopped)
	}
	for _, name := range []string{report.HTMLFile, report.JSONFile, report.PredictionsFile, report.LossFile, studentFile, report.ManifestFile} {
		if info, err := os.Stat(filepath.Join(o.Out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	first := settle(t, o.Out)
	if len(first.Losses) != 9 || first.Asked != 24 || len(first.Predictions) != 3*6 {
		t.Errorf("%d steps, %d teacher answers, %d predictions; want 9, 24, 18", len(first.Losses), first.Asked, len(first.Predictions))
	}
	// The shares of questions that were asked three at a time do not add up to more than there was.
	lines, err := os.ReadFile(filepath.Join(o.Out, teacherFile))
	if err != nil {
		t.Fatal(err)
	}
	shares := 0.0
	for line := range bytes.Lines(lines) {
		var c teacher.Cached
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		shares += c.TimeMS / 1000
	}
	st, err := openState(filepath.Join(o.Out, stateFile))
	if err != nil || !(shares > 0 && shares <= st.Seconds["teach"]) {
		t.Errorf("the answers took %v s, the phase %v s (%v)", shares, st.Seconds["teach"], err)
	}
	// The same command has nothing left to do, and the report recomputes from its files.
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if again := settle(t, o.Out); again.text() != first.text() {
		t.Errorf("a second run changed the results:\n%s\nwant\n%s", again.text(), first.text())
	}
}

// TestStoppedAnywhereIsTheSame stops a run again and again at random moments and compares what it comes to.
func TestStoppedAnywhereIsTheSame(t *testing.T) {
	o := tinyOptions(t)
	whole := o
	whole.Out = o.Out + "-whole"
	if _, err := Run(context.Background(), whole); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 3))
	stops := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		left := 1 + rng.IntN(7)
		o.Progress = func(Progress) {
			if left--; left == 0 {
				cancel()
			}
		}
		_, err := Run(ctx, o)
		cancel()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if stops++; stops > 200 {
			t.Fatal("the run does not come to an end")
		}
	}
	if stops < 5 {
		t.Errorf("stopped %d times: the test saw too little", stops)
	}
	if got, want := settle(t, o.Out).text(), settle(t, whole.Out).text(); got != want {
		t.Errorf("after %d stops:\n%s\nwant\n%s", stops, got, want)
	}
}

func TestBudgetStopsAndGoesOn(t *testing.T) {
	o := tinyOptions(t)
	o.Budget = time.Nanosecond
	res, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if notes := res.Report.Manifest.Notes; res.Stopped == "" || len(notes) != 1 || !strings.Contains(notes[0], "more than its budget") {
		t.Errorf("a budget of a nanosecond: stopped %q, notes %q", res.Stopped, notes)
	}
	o.Budget = time.Hour
	if res, err = Run(context.Background(), o); err != nil || res.Stopped != "" {
		t.Errorf("with an hour: stopped %q, %v", res.Stopped, err)
	}
}

// TestSpentBudgetKeepsTheStudent: what was trained before the budget ended sits the exam, and the same command again
// changes nothing.
func TestSpentBudgetKeepsTheStudent(t *testing.T) {
	o := tinyOptions(t)
	ctx, cancel := context.WithCancel(context.Background())
	o.Progress = func(p Progress) {
		if p.Phase == "train" && p.Done == 2 {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v, want it stopped in training", err)
	}
	o.Progress, o.Budget = nil, time.Nanosecond
	first := ""
	for i := range 2 {
		res, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if want := "the budget ended after 2 of 9 training steps"; res.Stopped != want {
			t.Errorf("run %d stopped %q, want %q", i+1, res.Stopped, want)
		}
		student, _ := res.Report.Role(report.RoleStudent)
		if got := settle(t, o.Out).text(); student.Items != 6 || i > 0 && got != first {
			t.Errorf("run %d: the student answered %d of 6 items; results\n%s\nbefore\n%s", i+1, student.Items, got, first)
		} else {
			first = got
		}
	}
}

func TestAnotherSeedIsAnotherRun(t *testing.T) {
	o := tinyOptions(t)
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	first := settle(t, o.Out)
	o.Seed++
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if second := settle(t, o.Out); second.text() == first.text() || second.Asked != 2*first.Asked {
		t.Errorf("the seed changed nothing, or %d answers were asked for %d", second.Asked, first.Asked)
	}
}

func TestTwoRunsInOneFolder(t *testing.T) {
	dir := t.TempDir()
	release, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockFolder(dir); err == nil {
		t.Error("two runs may work in one folder")
	}
	release()
	if release, err = lockFolder(dir); err != nil {
		t.Error(err)
	} else {
		release()
	}
}

// TestLoRA trains a part of low rank and leaves the merged student and the adapter.
func TestLoRA(t *testing.T) {
	o := tinyOptions(t)
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "epochs: 3", "mode: lora, lora_rank: 4, epochs: 3")
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"adapter/adapter_config.json", "adapter/adapter_model.safetensors", studentFile} {
		if _, err := os.Stat(filepath.Join(o.Out, name)); err != nil {
			t.Error(err)
		}
	}
	if s := settle(t, o.Out); len(s.Predictions) != 18 || s.Losses[8].Loss >= s.Losses[0].Loss {
		t.Errorf("%d predictions, loss from %g to %g", len(s.Predictions), s.Losses[0].Loss, s.Losses[8].Loss)
	}
}
