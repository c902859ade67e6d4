package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/learn/teacher"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// passTokens is how many tokens of several examples go through the student at a time.
const passTokens = 2048

// learn trains the student on the verified answers and writes student.gguf. It returns whether there is a student.
func (r *run) learn(ctx context.Context) (bool, error) {
	if len(r.examples) == 0 {
		r.stopped("no answer of the teacher passed the verifiers: there is nothing to learn from")
		return false, nil
	}
	r.state.enter("load the student")
	set, left := r.trainingSet()
	if len(set) == 0 {
		r.stopped("every example is longer than student.max_tokens or the student's context")
		return false, nil
	}
	loader := &data.Loader{Examples: set, Batch: min(r.task.Recipe.Student.Batch, len(set)), Tokens: passTokens, Seed: r.o.Seed}
	schedule := r.schedule(loader)
	r.m.Training = r.training(set, left, loader, schedule)
	f, err := openStored(r.o.Student)
	if err != nil {
		return false, err
	}
	defer f.close()
	id := r.trainID(f, set, schedule)
	if r.finished(id) {
		r.tell("train", schedule.Steps, schedule.Steps, "")
		return true, nil
	}
	// What an earlier run trained is a student too, however little of the budget is left.
	begun, err := train.Of(r.o.Out, id)
	if err != nil {
		return false, err
	}
	if !begun && r.over(trainShare) {
		r.stopped("the budget ended before the student was trained")
		return false, nil
	}
	m, err := f.load(r.loadOptions())
	if err != nil {
		return false, err
	}
	return r.train(ctx, m, f, loader, schedule, id, begun)
}

// loadOptions says what of the student learns.
func (r *run) loadOptions() model.LoadOptions {
	rec := r.task.Recipe.Student
	if rec.Mode == "lora" {
		return model.LoadOptions{Precision: tensor.BFloat16, LoRA: &model.LoRAConfig{Rank: rec.LoraRank, Alpha: rec.LoraAlpha, Seed: r.o.Seed}}
	}
	return model.LoadOptions{Train: true, Precision: tensor.BFloat16}
}

// trainingSet makes the sequences: the student's prompt, the answer, the end. Only the answer carries labels. Those longer
// than the recipe or the student allows are left out and counted.
func (r *run) trainingSet() (set []data.Example, left int) {
	tok, most := r.student.form.Tokenizer, min(r.task.Recipe.Student.MaxTokens, r.student.form.Context)
	for i, it := range r.learned {
		prompt := teacher.PromptIDs(tok, r.task.StudentPrompt(it))
		tokens := append(slices.Clip(prompt), teacher.TextIDs(tok, r.task.Answer(r.examples[i].Fields))...)
		tokens = append(tokens, int32(tok.EOS))
		if len(tokens) > most {
			left++
			continue
		}
		set = append(set, data.Example{Tokens: tokens, From: len(prompt)})
	}
	return set, left
}

func (r *run) schedule(l *data.Loader) optim.Schedule {
	s := r.task.Recipe.Student
	steps := l.StepsPerEpoch() * s.Epochs
	return optim.Schedule{Kind: s.Schedule, Peak: s.LearningRate, Steps: steps, Warmup: min(s.WarmupSteps, steps/2), Decay: steps / 5}
}

func (r *run) training(set []data.Example, left int, l *data.Loader, schedule optim.Schedule) *report.Training {
	s := r.task.Recipe.Student
	t := &report.Training{Examples: len(set), LeftOut: left, Mode: s.Mode, Epochs: s.Epochs, Steps: schedule.Steps, Batch: l.Batch,
		LearningRate: s.LearningRate, Schedule: s.Schedule}
	for _, e := range set {
		t.Tokens += int64(len(e.Tokens) * s.Epochs)
		t.LabelTokens += int64((len(e.Tokens) - e.From) * s.Epochs)
	}
	return t
}

// trainID is the hash of all that decides the student: a checkpoint of another is not gone on with.
func (r *run) trainID(f *stored, set []data.Example, schedule optim.Schedule) string {
	h := sha256.New()
	s := r.task.Recipe.Student
	b, _ := json.Marshal([]any{r.o.Seed, s, schedule, set})
	h.Write(b)
	f.describe(h)
	h.Write([]byte(r.student.sum))
	return hex.EncodeToString(h.Sum(nil))
}

// Metadata of student.gguf: which training it is the end of, and what that took.
const (
	keyTraining   = "retort.training"
	keyParameters = "retort.training.parameters" // that learned
	keyMemory     = "retort.training.memory"     // bytes
)

// finished says whether student.gguf is the finished student of this training, and reads back what that took.
func (r *run) finished(id string) bool {
	f, err := gguf.Open(filepath.Join(r.o.Out, studentFile))
	if err != nil {
		return false
	}
	defer f.Close()
	if got, err := f.StringOr(keyTraining, ""); err != nil || got != id {
		return false
	}
	params, err := f.IntOr(keyParameters, 0)
	memory, err2 := f.IntOr(keyMemory, 0)
	r.m.Training.Trained, r.m.Training.Memory = int64(params), int64(memory)
	return err == nil && err2 == nil
}

// train runs the steps that are missing, where begun from the checkpoint, and writes student.gguf.
func (r *run) train(ctx context.Context, m *model.Model, f *stored, loader *data.Loader, schedule optim.Schedule, id string, begun bool) (bool, error) {
	defer m.Close()
	rec := r.task.Recipe.Student
	params := 0
	for _, p := range m.Params() {
		p.Slices(func(v, _ []float32) { params += len(v) })
	}
	r.m.Training.Trained, r.m.Training.Memory = int64(params), train.Fit(m, loader)
	if !begun {
		if err := r.dropOther(); err != nil {
			return false, err
		}
	}
	pool := par.New(r.o.Threads)
	defer pool.Close()
	adamw := optim.DefaultAdamW
	adamw.WeightDecay, adamw.Clip = rec.WeightDecay, rec.Clip
	t, err := train.New(m, loader, tensor.NewRun(pool), train.Options{Dir: r.o.Out, Schedule: schedule, AdamW: adamw, Every: checkpointEvery, ID: id})
	if err != nil {
		return false, err
	}
	defer t.Close()
	r.state.enter("train")
	r.tell("train", t.Step(), schedule.Steps, fmt.Sprintf("needs about %.1f GB", float64(r.m.Training.Memory)/1e9))
	var failed error
	err = t.Run(ctx, func() bool { return failed != nil || r.over(trainShare) }, func(l train.Line) {
		failed = r.state.tick()
		r.tell("train", l.Step, schedule.Steps, fmt.Sprintf("loss %.4f", l.Loss))
	})
	if err = errors.Join(err, failed); err != nil {
		return false, err
	}
	if !t.Done() {
		r.stopped(fmt.Sprintf("the budget ended after %d of %d training steps", t.Step(), schedule.Steps))
		id = ""
	}
	r.state.enter("write the student")
	return true, r.writeStudent(ctx, m, f, id)
}

const checkpointEvery = time.Minute

// dropOther removes the checkpoint and log of another training: other answers, or another recipe.
func (r *run) dropOther() error {
	for _, name := range []string{train.CheckpointName, train.LogName} {
		if err := os.Remove(filepath.Join(r.o.Out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// writeStudent writes student.gguf with the metadata of the model that it comes from, and beside a LoRA's merged
// weights the adapter for others' tools.
func (r *run) writeStudent(ctx context.Context, m *model.Model, f *stored, id string) error {
	md, err := f.metadata(m.Config.Vocab)
	if err != nil {
		return err
	}
	md.Set("general.name", gguf.ValueOf(r.task.Recipe.Name+" student of "+r.teacher.name()))
	md.Set(keyTraining, gguf.ValueOf(id))
	md.Set(keyParameters, gguf.ValueOf(uint64(r.m.Training.Trained)))
	md.Set(keyMemory, gguf.ValueOf(uint64(r.m.Training.Memory)))
	if r.task.Recipe.Student.Mode == "lora" {
		if err := writeAdapter(ctx, m, filepath.Join(r.o.Out, "adapter"), id); err != nil {
			return err
		}
	}
	return m.WriteGGUF(ctx, filepath.Join(r.o.Out, studentFile), md, quant.Q8_0)
}

// items returns the items of the exam.
func (r *run) items() ([]task.Item, error) {
	items, err := r.task.ExamItems(r.task.Recipe.Exam.Split)
	if err == nil && r.o.Exam > 0 && len(items) > r.o.Exam {
		items = items[:r.o.Exam]
	}
	return items, err
}
