package train

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/lm/model"
)

// smallConfig is a model of each kind of attention and feed-forward network.
func smallConfig(arch string) model.Config {
	c := model.Config{Arch: arch, Vocab: 61, Width: 20, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 6, FFN: 28, Context: 64, Eps: 1e-5, Tied: true,
		Rope: model.RopeConfig{Dim: 6, Theta: 1000, Pairs: true}}
	if arch == "deepseek2" {
		c.KVHeads, c.HeadDim, c.Rope.Dim = c.Heads, 10, 4
		c.MLA = &model.MLAConfig{QRank: 9, KVRank: 8, Nope: 6, Rope: 4, Value: 5}
		c.MoE = &model.MoEConfig{Experts: 6, TopK: 2, Shared: 1, FFN: 11, Dense: 1, Groups: 1, Keep: 1, Sigmoid: true, Normalize: true, Scale: 1}
	}
	return c
}

var smallArchs = []string{"llama", "deepseek2"}

func fresh(t testing.TB, arch string, seed uint64) *model.Model {
	t.Helper()
	m, err := model.Fresh(smallConfig(arch), seed, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// someExamples are n examples of least to most tokens.
func someExamples(n, least, most int) []data.Example {
	rng := rand.New(rand.NewPCG(uint64(n), 11))
	var es []data.Example
	for range n {
		e := data.Example{Tokens: make([]int32, least+rng.IntN(most-least+1)), From: 1 + rng.IntN(3)}
		for i := range e.Tokens {
			e.Tokens[i] = int32(rng.IntN(61))
		}
		es = append(es, e)
	}
	return es
}

func options(dir string, steps int) Options {
	return Options{Dir: dir, ID: "run", EverySteps: 2, Schedule: optim.Schedule{Kind: "cosine", Peak: 1e-2, Steps: steps, Warmup: 2}, AdamW: optim.DefaultAdamW}
}

func newTrainer(t testing.TB, m *model.Model, loader *data.Loader, opts Options) *Trainer {
	t.Helper()
	tr, err := New(m, loader, newRun(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// steps makes n steps and returns their lines without the times.
func steps(t testing.TB, tr *Trainer, n int) []Line {
	t.Helper()
	var lines []Line
	for range n {
		l, err := tr.Next()
		if err != nil {
			t.Fatal(err)
		}
		l.TimeMS = 0
		lines = append(lines, l)
	}
	return lines
}

// sameBits reports the first parameter of which the two models do not hold the same bits.
func sameBits(t *testing.T, what string, a, b *model.Model) {
	t.Helper()
	for i, p := range a.Params() {
		va, vb := values(p, false), values(b.Params()[i], false)
		for j := range va {
			if math.Float32bits(va[j]) != math.Float32bits(vb[j]) {
				t.Errorf("%s: %s[%d] is %v in one and %v in the other", what, p.Name, j, va[j], vb[j])
				return
			}
		}
	}
}

func TestResumedIsUninterrupted(t *testing.T) {
	for _, arch := range smallArchs {
		t.Run(arch, func(t *testing.T) {
			loader := &data.Loader{Examples: someExamples(9, 5, 20), Batch: 4, Tokens: 40, Seed: 3}
			whole := fresh(t, arch, 1)
			want := steps(t, newTrainer(t, whole, loader, options("", 6)), 6)

			dir := t.TempDir()
			first := newTrainer(t, fresh(t, arch, 1), loader, options(dir, 6))
			got := steps(t, first, 3)
			if err := first.Save(); err != nil {
				t.Fatal(err)
			}
			steps(t, first, 1) // a step beyond the checkpoint, as a killed run leaves one
			first.Close()

			m := fresh(t, arch, 99) // other values: the checkpoint must bring all of them
			second := newTrainer(t, m, loader, options(dir, 6))
			if second.Step() != 3 {
				t.Fatalf("resumed at step %d, want 3", second.Step())
			}
			got = append(got, steps(t, second, 3)...)
			if !slices.Equal(got, want) {
				t.Errorf("lines\n%v, uninterrupted\n%v", got, want)
			}
			sameBits(t, "resumed", m, whole)
			if !second.Done() {
				t.Error("not done")
			}
			logged, err := ReadLog(filepath.Join(dir, LogName))
			if err != nil {
				t.Fatal(err)
			}
			for i := range logged {
				logged[i].TimeMS = 0
			}
			if !slices.Equal(logged, want) {
				t.Errorf("log\n%v, want\n%v", logged, want)
			}
		})
	}
}

func TestRunStopsAndGoesOn(t *testing.T) {
	loader := &data.Loader{Examples: someExamples(9, 5, 20), Batch: 4, Tokens: 40}
	whole := fresh(t, "llama", 1)
	if err := newTrainer(t, whole, loader, options("", 7)).Run(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	a := newTrainer(t, fresh(t, "llama", 1), loader, options(dir, 7))
	err := a.Run(ctx, nil, func(l Line) {
		if l.Step == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run returns %v", err)
	}
	a.Close()
	b := newTrainer(t, fresh(t, "llama", 2), loader, options(dir, 7))
	if b.Step() != 3 {
		t.Fatalf("resumed at %d, want 3: a stopped run leaves a checkpoint of its last step", b.Step())
	}
	if err := b.Run(context.Background(), func() bool { return b.Step() == 5 }, nil); err != nil {
		t.Fatal(err)
	}
	b.Close()
	m := fresh(t, "llama", 3)
	c := newTrainer(t, m, loader, options(dir, 7))
	if err := c.Run(context.Background(), nil, nil); err != nil || !c.Done() {
		t.Fatalf("%v, done %v", err, c.Done())
	}
	sameBits(t, "stopped twice", m, whole)
}

func TestRecomputeChangesNothing(t *testing.T) {
	for _, arch := range smallArchs {
		loader := &data.Loader{Examples: someExamples(6, 5, 20), Batch: 6, Tokens: 40}
		kept, again := fresh(t, arch, 1), fresh(t, arch, 1)
		again.Recompute = true
		a := steps(t, newTrainer(t, kept, loader, options("", 5)), 5)
		b := steps(t, newTrainer(t, again, loader, options("", 5)), 5)
		if !slices.Equal(a, b) {
			t.Errorf("%s: recomputed\n%v, kept\n%v", arch, b, a)
		}
		sameBits(t, arch, kept, again)
	}
}

// TestAccumulation: the gradients of one pass of eight examples are those of four passes of two, up to the order of sums.
func TestAccumulation(t *testing.T) {
	for _, arch := range smallArchs {
		es := someExamples(8, 16, 16)
		gradients := func(tokens int) (m *model.Model, passes int, loss float64) {
			m = fresh(t, arch, 1)
			loader := &data.Loader{Examples: es, Batch: 8, Tokens: tokens}
			run, bs := newRun(t), loader.Step(0)
			total := float32(0)
			for _, b := range bs {
				total += b.Weight
			}
			for _, b := range bs {
				p := &op.Pass{Run: run, Tape: &op.Tape{}, Batch: &b.Batch}
				loss += m.Loss(p, b.Labels, total)
				p.Tape.Backward(p)
				run.Release(0)
			}
			return m, len(bs), loss
		}
		one, n1, loss1 := gradients(1 << 10)
		four, n4, loss4 := gradients(32)
		if n1 != 1 || n4 != 4 {
			t.Fatalf("%d and %d passes, want 1 and 4", n1, n4)
		}
		if math.Abs(loss1-loss4) > 1e-6*loss1 {
			t.Errorf("%s: loss %.9f in four passes, %.9f in one", arch, loss4, loss1)
		}
		for i, p := range one.Params() {
			if strings.HasSuffix(p.Name, "exp_probs_b.bias") {
				continue // it has no gradient
			}
			compare(t, arch+" "+p.Name, values(four.Params()[i], true), values(p, true), gradTol)
		}
	}
}

// TestStepOfPasses: a step is the same in one pass and in four of different weights, up to the order of sums.
func TestStepOfPasses(t *testing.T) {
	es := someExamples(8, 6, 16)
	line := func(tokens int) Line {
		return steps(t, newTrainer(t, fresh(t, "llama", 1), &data.Loader{Examples: es, Batch: 8, Tokens: tokens}, options("", 3)), 1)[0]
	}
	one, four := line(1<<10), line(32)
	if math.Abs(one.Loss-four.Loss) > 1e-6*one.Loss || math.Abs(one.Norm-four.Norm) > 1e-5*one.Norm || one.Tokens != four.Tokens {
		t.Errorf("in four passes %+v, in one %+v", four, one)
	}
}

// TestResumedAfterUse: what a model multiplied with before it went on from a checkpoint is not what it multiplies with then.
func TestResumedAfterUse(t *testing.T) {
	for _, arch := range smallArchs {
		dir, es := t.TempDir(), someExamples(9, 5, 20)
		loader := &data.Loader{Examples: es, Batch: 4, Tokens: 40, Seed: 3}
		a := newTrainer(t, fresh(t, arch, 1), loader, options(dir, 6))
		steps(t, a, 3)
		if err := a.Save(); err != nil {
			t.Fatal(err)
		}
		want := a.Loss(es)
		a.Close()
		m := fresh(t, arch, 1)
		before := Loss(m, newRun(t), es, 40)
		if got := newTrainer(t, m, loader, options(dir, 6)).Loss(es); got != want || before == want {
			t.Errorf("%s: loss %v before, %v from the checkpoint, want %v", arch, before, got, want)
		}
	}
}

// TestReadLog: what stands behind a line out of order is somebody else's.
func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), LogName)
	if lines, err := ReadLog(path); err != nil || lines != nil {
		t.Errorf("no log: %v, %v", lines, err)
	}
	for _, c := range []struct {
		text string
		want int
	}{{"", 0}, {`{"step":1}` + "\n" + `{"step":2}` + "\n", 2}, {`{"step":1}` + "\n" + `{"step":3}` + "\n", 1}, {`{"step":2}` + "\n", 0},
		{`{"step":1}` + "\n" + `{"step":1}` + "\n", 1}, {`{"step":1}` + "\n" + `{"step":2}`, 1}} {
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if lines, err := ReadLog(path); err != nil || len(lines) != c.want {
			t.Errorf("%q: %d lines, %v; want %d", c.text, len(lines), err, c.want)
		}
	}
}

// TestPackedExamplesDoNotMeet: what stands beside an example changes neither its loss nor the gradients it causes.
func TestPackedExamplesDoNotMeet(t *testing.T) {
	for _, arch := range smallArchs {
		es := someExamples(4, 9, 20)
		es[1].Tokens = es[1].Tokens[:9]
		b := es[1]
		var loss float64
		var grads [][]float32
		for try := range 3 {
			silent := data.Example{Tokens: slices.Clone(es[0].Tokens), From: 1 << 20} // no labels
			for i := range silent.Tokens {
				silent.Tokens[i] = (silent.Tokens[i] + int32(17*try)) % 61
			}
			m := fresh(t, arch, 1)
			got := backward(m, newRun(t), data.Pack([]data.Example{silent, b, {Tokens: silent.Tokens[:5+try], From: 1 << 20}}))
			var now [][]float32
			for _, p := range m.Params() {
				now = append(now, values(p, true))
			}
			if try == 0 {
				loss, grads = got, now
				continue
			}
			if got != loss {
				t.Errorf("%s: loss %v beside other tokens, %v before", arch, got, loss)
			}
			for i, p := range m.Params() {
				if !slices.Equal(now[i], grads[i]) {
					t.Errorf("%s: gradient of %s is another beside other tokens", arch, p.Name)
				}
			}
		}
		m := fresh(t, arch, 1)
		if alone := backward(m, newRun(t), data.Pack([]data.Example{b})); alone != loss {
			t.Errorf("%s: loss %v alone, %v packed", arch, alone, loss)
		}
	}
}

func TestLogIsMended(t *testing.T) {
	loader := &data.Loader{Examples: someExamples(5, 5, 9), Batch: 2, Tokens: 40}
	for name, damage := range map[string]func(whole string) string{
		"torn line":         func(s string) string { return s + `{"step":4,"loss":1.` },
		"torn in a line":    func(s string) string { return s[:len(s)-5] },
		"steps not saved":   func(s string) string { return s + `{"step":4,"loss":1}` + "\n" },
		"a line of another": func(s string) string { return s + `{"step":9,"loss":1}` + "\n" },
		"not lines":         func(s string) string { return s + "\x00\x00\n\n" },
		"gone":              func(s string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			a := newTrainer(t, fresh(t, "llama", 1), loader, options(dir, 5))
			steps(t, a, 3)
			if err := a.Save(); err != nil {
				t.Fatal(err)
			}
			a.Close()
			path := filepath.Join(dir, LogName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(damage(string(b))), 0o666); err != nil {
				t.Fatal(err)
			}
			steps(t, newTrainer(t, fresh(t, "llama", 1), loader, options(dir, 5)), 2)
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(got), "\n"); strings.HasPrefix(damage(string(b)), string(b)) && (n != 5 || !strings.HasPrefix(string(got), string(b))) {
				t.Errorf("%d lines, want 5 that begin with the first three:\n%s", n, got)
			}
			if !strings.HasSuffix(string(got), "\n") || strings.Contains(string(got), "\x00") {
				t.Errorf("the log is not whole lines:\n%q", got)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	es := someExamples(4, 5, 9)
	loader := &data.Loader{Examples: es, Batch: 2, Tokens: 40}
	if _, err := New(fresh(t, "llama", 1), &data.Loader{Batch: 2}, newRun(t), options("", 5)); err == nil {
		t.Error("no examples, no error")
	}
	if _, err := New(fresh(t, "llama", 1), loader, newRun(t), Options{AdamW: optim.DefaultAdamW}); err == nil {
		t.Error("no schedule, no error")
	}
	silent := &data.Loader{Examples: []data.Example{{Tokens: es[0].Tokens, From: 100}}, Batch: 1, Tokens: 40}
	if _, err := newTrainer(t, fresh(t, "llama", 1), silent, options("", 5)).Next(); err == nil || !strings.Contains(err.Error(), "no labels") {
		t.Errorf("a step without labels: %v", err)
	}

	dir := t.TempDir()
	a := newTrainer(t, fresh(t, "llama", 1), loader, options(dir, 5))
	steps(t, a, 1)
	if err := a.Save(); err != nil {
		t.Fatal(err)
	}
	other := options(dir, 5)
	other.ID = "another"
	if _, err := New(fresh(t, "llama", 1), loader, newRun(t), other); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a checkpoint of another run: %v", err)
	}
	if _, err := New(fresh(t, "deepseek2", 1), loader, newRun(t), options(dir, 5)); err == nil {
		t.Error("a checkpoint of another model is resumed")
	}

	// A gradient that is not finite ends the run and leaves the parameters as they were.
	m := fresh(t, "llama", 1)
	tr := newTrainer(t, m, loader, options("", 5))
	m.Norm.Data[3] = float32(math.Inf(1))
	before := values(m.Params()[0], false)
	if _, err := tr.Next(); err == nil || !strings.Contains(err.Error(), "not finite") {
		t.Errorf("an infinite weight: %v", err)
	}
	if !slices.Equal(values(m.Params()[0], false), before) {
		t.Error("a gradient that is not finite changed parameters")
	}
}

// TestLossOfExamples: the loss without learning is the mean over all labels, however they are packed.
func TestLossOfExamples(t *testing.T) {
	m, es := fresh(t, "llama", 1), someExamples(7, 5, 20)
	want, got := Loss(m, newRun(t), es, 1<<10), Loss(m, newRun(t), es, 21)
	if math.Abs(got-want) > 1e-6*want || want < 3 || want > 5 {
		t.Errorf("loss %v in small passes, %v in one; ln 61 is 4.11", got, want)
	}
}
