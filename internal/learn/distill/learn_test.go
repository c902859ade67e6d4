package distill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/lm/model"
)

// TestTrainID: whatever decides the student decides the name of its training, so that no checkpoint of another is gone on
// with.
func TestTrainID(t *testing.T) {
	r := looked(t, tinyOptions(t))
	set, _ := r.trainingSet()
	f, err := openStored(r.o.Student)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	schedule := optim.Schedule{Kind: "linear", Peak: 1, Steps: 9, Warmup: 2, Decay: 1}
	first := r.trainID(f, set, schedule)
	if again := r.trainID(f, slices.Clone(set), schedule); again != first {
		t.Fatalf("the same training is %s and %s", first, again)
	}
	seen := map[string]string{first: "nothing"}
	other := func(name string, id string) {
		t.Helper()
		if same, twice := seen[id]; twice {
			t.Errorf("with another %s the training is that with another %s", name, same)
		}
		seen[id] = name
	}
	r.o.Seed++
	other("seed", r.trainID(f, set, schedule))
	r.o.Seed--

	sum := r.student.sum
	r.student.sum = "0" + sum[1:]
	other("student", r.trainID(f, set, schedule))
	r.student.sum = sum

	longer := *f.file
	longer.Tensors = longer.Tensors[1:]
	other("list of tensors", r.trainID(&stored{file: &longer}, set, schedule))

	fewer := slices.Clone(set)
	other("number of examples", r.trainID(f, fewer[1:], schedule))
	fewer[0].Tokens = slices.Clone(fewer[0].Tokens)
	fewer[0].Tokens[2]++
	other("token", r.trainID(f, fewer, schedule))
	fewer[0] = data.Example{Tokens: set[0].Tokens, From: set[0].From + 1}
	other("place of the answer", r.trainID(f, fewer, schedule))

	for i := range reflect.TypeFor[optim.Schedule]().NumField() {
		name, restore := nudge(t, reflect.ValueOf(&schedule).Elem(), i)
		other("schedule "+name, r.trainID(f, set, schedule))
		restore()
	}
	rec := reflect.ValueOf(&r.task.Recipe.Student).Elem()
	for i := range rec.NumField() {
		name, restore := nudge(t, rec, i)
		other("student."+name, r.trainID(f, set, schedule))
		restore()
	}
	if again := r.trainID(f, set, schedule); again != first {
		t.Error("the test did not restore what it changed")
	}
}

// nudge changes a field of s and returns its name and what changes it back.
func nudge(t *testing.T, s reflect.Value, i int) (name string, restore func()) {
	t.Helper()
	v, before := s.Field(i), reflect.ValueOf(s.Field(i).Interface())
	switch name = s.Type().Field(i).Name; {
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.CanFloat():
		v.SetFloat(v.Float() + 1)
	default:
		t.Fatalf("%s is a %v", name, v.Kind())
	}
	return name, func() { v.Set(before) }
}

// TestFinishedKeepsWhatItTook: a run that is reported again tells how many parameters learned and what memory that took.
func TestFinishedKeepsWhatItTook(t *testing.T) {
	o := tinyOptions(t)
	first, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	a := *first.Report.Manifest.Training
	if a.Trained < 1000 || a.Memory < 1000 {
		t.Fatalf("%d parameters, %d bytes", a.Trained, a.Memory)
	}
	again, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if b := *again.Report.Manifest.Training; !reflect.DeepEqual(a, b) {
		t.Errorf("reported again: %+v, want %+v", b, a)
	}
}

// TestFinishedOfOtherFiles: what is no student of this training is not taken for it.
func TestFinishedOfOtherFiles(t *testing.T) {
	r := looked(t, tinyOptions(t))
	r.m.Training = &report.Training{}
	if r.finished("id") {
		t.Error("no file is a finished student")
	}
	put := func(edit func(*gguf.Metadata)) {
		t.Helper()
		if err := os.Rename(oddModel(t, t.TempDir(), "m", 1, func(*model.Config) {}, edit), filepath.Join(r.o.Out, studentFile)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		want bool
		edit func(*gguf.Metadata)
	}{
		{"another training", false, func(md *gguf.Metadata) { md.Set(keyTraining, gguf.ValueOf("other")) }},
		{"a training that was stopped", false, func(md *gguf.Metadata) { md.Set(keyTraining, gguf.ValueOf("")) }},
		{"no training", false, func(*gguf.Metadata) {}},
		{"before it was kept", true, func(md *gguf.Metadata) { md.Set(keyTraining, gguf.ValueOf("id")) }},
		{"no number", false, func(md *gguf.Metadata) {
			md.Set(keyTraining, gguf.ValueOf("id"))
			md.Set(keyMemory, gguf.ValueOf("much"))
		}},
	} {
		put(c.edit)
		if got := r.finished("id"); got != c.want {
			t.Errorf("%s: finished is %v, want %v", c.name, got, c.want)
		}
	}
}

// hollow is the file at path with nothing but its embedding: it can be looked at and not loaded.
func hollow(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Parse("hollow", hollowBytes(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func hollowBytes(t *testing.T, path string) []byte {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path = filepath.Join(t.TempDir(), "hollow.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for k, v := range f.All() {
		w.Set(k, v)
	}
	x := f.Tensor("token_embd.weight")
	w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
		_, err := dst.Write(x.Data())
		return err
	})
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestNothingLeftLoadsNothing: where every question is answered, no weights are loaded.
func TestNothingLeftLoadsNothing(t *testing.T) {
	o := tinyOptions(t)
	sum := sumOf(t, o.Teacher)
	held := func(f func() *gguf.File) Source {
		return Source{Name: "held", Open: func() (*gguf.File, string, error) { return f(), sum, nil }}
	}
	path := o.Teacher.Path
	whole := held(func() *gguf.File {
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	empty := held(func() *gguf.File { return hollow(t, path) })
	e := ExamineOptions{Recipe: o.Recipe, Model: empty, Split: task.Val, Out: t.TempDir(), Threads: 2}
	if _, err := Examine(context.Background(), e); err == nil {
		t.Fatal("a model without tensors answers: the test sees nothing")
	}
	e.Model = whole
	first, err := Examine(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	e.Model = empty
	if again, err := Examine(context.Background(), e); err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("with nothing left to ask: %+v, %v; want %+v", again, err, first)
	}
	o.Teacher = whole
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	o.Teacher = empty
	// The student's file is taken for the one that was hashed, by its size and time.
	made := filepath.Join(o.Out, studentFile)
	info, err := os.Stat(made)
	if err != nil {
		t.Fatal(err)
	}
	b := append(hollowBytes(t, made), make([]byte, info.Size())...)[:info.Size()]
	if err := os.WriteFile(made, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(made, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), o); err != nil {
		t.Errorf("a run that is complete: %v", err)
	}
	if err := os.Remove(filepath.Join(o.Out, report.PredictionsFile)); err != nil {
		t.Fatal(err)
	}
	o.Teacher = whole
	if _, err := Run(context.Background(), o); err == nil {
		t.Error("a student without tensors answers: the test sees nothing")
	}
}

// TestDescribe: the layout of a file is part of what it is.
func TestDescribe(t *testing.T) {
	f, err := openStored(tinyOptions(t).Student)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var b bytes.Buffer
	f.describe(&b)
	x := &f.file.Tensors[0]
	if want := fmt.Sprintf("%s %v %d %v\n", x.Name, x.Dims, x.Offset, x.Type); !bytes.HasPrefix(b.Bytes(), []byte(want)) || bytes.Count(b.Bytes(), []byte("\n")) != len(f.file.Tensors) {
		t.Errorf("described as\n%s\nwant %d lines like %s", b.Bytes(), len(f.file.Tensors), want)
	}
}
