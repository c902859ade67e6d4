package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/learn/report"
	"retort/internal/learn/task"
	"retort/internal/lm/convert"
	"retort/internal/lm/model"
)

// exactModel is a tinyModel that loses nothing on the way into a folder, with a template and ends of its own.
func exactModel(t *testing.T, dir, name string, seed uint64) string {
	t.Helper()
	return storedModel(t, dir, name, seed, quant.F32, func(*model.Config) {}, func(md *gguf.Metadata) {
		md.Set("tokenizer.chat_template", gguf.ValueOf(echoTemplate))
	})
}

// folderOf writes the model at path as a folder.
func folderOf(t *testing.T, path string) string {
	t.Helper()
	dir := strings.TrimSuffix(path, ".gguf")
	if err := convert.ToFolder(context.Background(), path, dir, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// partsOf writes the model at path in two parts, and returns their paths.
func partsOf(t *testing.T, path string) (paths []string) {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	half := len(f.Tensors) / 2
	for i, tensors := range [][]gguf.Tensor{f.Tensors[:half], f.Tensors[half:]} {
		part := fmt.Sprintf("%s-%05d-of-00002.gguf", strings.TrimSuffix(path, ".gguf"), i+1)
		w, err := gguf.Create(part)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		if i == 0 {
			for k, v := range f.All() {
				w.Set(k, v)
			}
		}
		w.Set("split.no", gguf.ValueOf(uint16(i)))
		w.Set("split.count", gguf.ValueOf(uint16(2)))
		w.Set("split.tensors.count", gguf.ValueOf(int32(len(f.Tensors))))
		for _, x := range tensors {
			w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
				_, err := dst.Write(x.Data())
				return err
			})
		}
		if err := w.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, part)
	}
	return paths
}

// results is what a run came to, without what the models' files decide: keys.
func results(t *testing.T, dir string) string {
	t.Helper()
	s := settle(t, dir)
	for i := range s.Predictions {
		s.Predictions[i].Key = ""
	}
	return s.text()
}

// student opens the student of a run.
func student(t *testing.T, dir string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(filepath.Join(dir, studentFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestFormsOfModels: teacher and student may be files, files in parts or folders, and a run comes to the same.
func TestFormsOfModels(t *testing.T) {
	dir := t.TempDir()
	teacher, learner := exactModel(t, dir, "teacher", 1), exactModel(t, dir, "student", 2)
	run := func(teacher, student string) Options {
		t.Helper()
		o := Options{Recipe: "testdata/colours", Teacher: Source{Path: teacher}, Student: Source{Path: student}, Out: filepath.Join(t.TempDir(), "run"), Seed: 7, Threads: 2, Width: 3}
		if res, err := Run(context.Background(), o); err != nil || res.Stopped != "" {
			t.Fatalf("%s, %s: %v", teacher, student, err)
		}
		return o
	}
	o := run(teacher, learner)
	want, made := results(t, o.Out), student(t, o.Out)
	ends, err := tokenizer.FromGGUF(made)
	if err != nil {
		t.Fatal(err)
	}
	for name, forms := range map[string][2]string{"parts": {partsOf(t, teacher)[1], partsOf(t, learner)[0]}, "folders": {folderOf(t, teacher), folderOf(t, learner)}} {
		o := run(forms[0], forms[1])
		if got := results(t, o.Out); got != want {
			t.Errorf("of %s:\n%s\nwant\n%s", name, got, want)
		}
		f := student(t, o.Out)
		for i := range made.Tensors {
			a, b := &made.Tensors[i], f.Tensor(made.Tensors[i].Name)
			if b == nil || a.Type != b.Type || !slices.Equal(a.Data(), b.Data()) {
				t.Errorf("of %s: the student's %s differs", name, a.Name)
			}
		}
		tok, err := tokenizer.FromGGUF(f)
		if err != nil {
			t.Fatal(err)
		}
		for id := range ends.Vocab() {
			if tok.IsEOG(id) != ends.IsEOG(id) || tok.Token(id) != ends.Token(id) {
				t.Errorf("of %s: token %d is %q, end %v; want %q, %v", name, id, tok.Token(id), tok.IsEOG(id), ends.Token(id), ends.IsEOG(id))
			}
		}
		if got, err := f.StringOr("general.name", ""); err != nil || got != "colours student of "+(Source{Path: forms[0]}).name() {
			t.Errorf("of %s: the student is called %q, %v", name, got, err)
		}
		if template, err := f.StringOr("tokenizer.chat_template", ""); err != nil || template != echoTemplate {
			t.Errorf("of %s: the student's template is %q, %v", name, template, err)
		}
		// The same command has nothing left to do.
		asked := counted(&o)
		if _, err := Run(context.Background(), o); err != nil || asked["exam of the teacher"]+asked["exam of the student"]+asked["train"] != 0 {
			t.Errorf("of %s, again: %v, %v", name, asked, err)
		}
	}
}

// TestLoRAOfAFolder: the frozen part of a folder is written too.
func TestLoRAOfAFolder(t *testing.T) {
	o := tinyOptions(t)
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "epochs: 3", "mode: lora, lora_rank: 4, epochs: 1")
	o.Student.Path = folderOf(t, exactModel(t, t.TempDir(), "student", 2))
	if res, err := Run(context.Background(), o); err != nil || res.Stopped != "" {
		t.Fatal(err)
	}
	if s := settle(t, o.Out); len(s.Predictions) != 18 {
		t.Errorf("%d predictions, want 18", len(s.Predictions))
	}
}

// TestStudentIsPadded: student.gguf has as many tokens as the embedding has rows, which llama.cpp wants.
func TestStudentIsPadded(t *testing.T) {
	o := tinyOptions(t)
	rows := 0
	o.Student.Path = oddModel(t, t.TempDir(), "wide", 2, func(c *model.Config) { c.Vocab += 64; rows = c.Vocab }, func(*gguf.Metadata) {})
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromGGUF(student(t, o.Out))
	if err != nil || tok.Vocab() != rows || !tok.IsUnused(rows-1) || tok.IsUnused(rows-65) {
		t.Errorf("%d tokens, want %d, the last 64 unused (%v)", tok.Vocab(), rows, err)
	}
}

// TestFolderRefusedBeforeAnythingIsPaid: a folder that could not become student.gguf ends the run before the teacher is asked.
func TestFolderRefusedBeforeAnythingIsPaid(t *testing.T) {
	o := tinyOptions(t)
	o.Student.Path = folderOf(t, exactModel(t, t.TempDir(), "student", 2))
	path := filepath.Join(o.Student.Path, model.ConfigName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(b), `"num_hidden_layers": 2`, `"num_hidden_layers": 3`, 1)
	if more == string(b) {
		t.Fatal("config.json does not say how many layers there are")
	}
	put(t, path, more)
	if _, err := Run(context.Background(), o); err == nil || !strings.HasPrefix(err.Error(), "student: ") || !strings.Contains(err.Error(), "blk.2.") {
		t.Errorf("a folder without its last layer: %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Out, teacherFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the teacher was asked first (%v)", err)
	}
}

// sums is a run that has nothing but a state, for the sums of models.
func sums(t *testing.T) *run {
	t.Helper()
	st, err := openState(filepath.Join(t.TempDir(), stateFile))
	if err != nil {
		t.Fatal(err)
	}
	return &run{state: st}
}

func sumOf(t *testing.T, s Source) string {
	t.Helper()
	sum, err := sums(t).sum(s)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// listed is what sha256sum says of files, by the names given.
func listed(t *testing.T, names ...string) string {
	t.Helper()
	text := ""
	for i := 0; i < len(names); i += 2 {
		b, err := os.ReadFile(names[i+1])
		if err != nil {
			t.Fatal(err)
		}
		text += sha(b) + "  " + names[i] + "\n"
	}
	return sha([]byte(text))
}

// TestSum: a single file is named by its hash, what consists of several by all of them.
func TestSum(t *testing.T) {
	dir := t.TempDir()
	path := tinyModel(t, dir, "model", 1)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := sumOf(t, Source{Path: path}); got != sha(b) {
		t.Errorf("a file: %s, want its SHA-256 %s", got, sha(b))
	}
	parts := partsOf(t, path)
	want := listed(t, "model-00001-of-00002.gguf", parts[0], "model-00002-of-00002.gguf", parts[1])
	for _, p := range parts {
		if got := sumOf(t, Source{Path: p}); got != want {
			t.Errorf("%s: %s, want %s whichever part is named", p, got, want)
		}
	}
	lone := filepath.Join(dir, "lone-00001-of-00002.gguf") // a whole file of that name
	if err := os.WriteFile(lone, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := sumOf(t, Source{Path: lone}); got != sha(b) {
		t.Errorf("a whole file with the name of a part: %s, want %s", got, sha(b))
	}
	adapter := filepath.Join(dir, "adapter")
	for name, text := range map[string]string{"adapter_config.json": "c", "adapter_model.safetensors": "w", "README.md": "r"} {
		put(t, filepath.Join(adapter, name), text)
	}
	want = listed(t, "model.gguf", path, "adapter/adapter_config.json", filepath.Join(adapter, "adapter_config.json"), "adapter/adapter_model.safetensors", filepath.Join(adapter, "adapter_model.safetensors"))
	if got := sumOf(t, Source{Path: path, Adapter: adapter}); got != want {
		t.Errorf("with an adapter: %s, want %s", got, want)
	}
	embedded := Source{Open: func() (*gguf.File, string, error) {
		f, err := gguf.Parse("held", b)
		return f, sha(b), err
	}}
	if got := sumOf(t, embedded); got != sha(b) {
		t.Errorf("held: %s, want %s", got, sha(b))
	}
	if embedded.Adapter = adapter; sumOf(t, embedded) != want {
		t.Error("held, with an adapter: not as a file")
	}
	if _, err := sums(t).sum(Source{Path: path, Adapter: dir}); err == nil || !strings.HasPrefix(err.Error(), "adapter "+dir+", want a folder") {
		t.Errorf("a folder that is no adapter: %v", err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSumOfAFolder: whatever decides an answer decides the sum, nothing else does.
func TestSumOfAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	files := []string{"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "special_tokens_map.json",
		"model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}
	var list []string
	for _, name := range files {
		put(t, filepath.Join(dir, name), "first "+name)
		list = append(list, name, filepath.Join(dir, name))
	}
	s := Source{Path: dir}
	before := sumOf(t, s)
	if want := listed(t, list...); before != want {
		t.Errorf("%s, want %s", before, want)
	}
	put(t, filepath.Join(dir, "README.md"), "about it")
	if sumOf(t, s) != before {
		t.Error("README.md decides what the model is")
	}
	seen := map[string]string{before: "nothing"}
	for _, name := range append(files, "model.safetensors") { // a single file goes before its shards
		put(t, filepath.Join(dir, name), "second "+name)
		sum := sumOf(t, s)
		if other, twice := seen[sum]; twice {
			t.Errorf("with another %s the sum is that of another %s", name, other)
		}
		seen[sum] = name
	}
	put(t, filepath.Join(dir, "model-00001-of-00002.safetensors"), "third")
	if sum := sumOf(t, s); seen[sum] == "" {
		t.Error("a shard beside model.safetensors decides what the model is")
	}
}

// TestChangedModel: a model that is another than the one that was looked at answers nothing.
func TestChangedModel(t *testing.T) {
	o := tinyOptions(t)
	r := looked(t, o)
	b, err := os.ReadFile(o.Student.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Teacher.Path, append(b, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err := r.open(context.Background(), r.teacher, 1, 0); err == nil || !strings.Contains(err.Error(), "teacher has changed") {
		t.Errorf("opened %v, %v", l, err)
	}
}

// TestAdapter: a model answers with its adapter, is named and kept so, and one that this pipeline trained gets the student's
// prompt. Nobody learns on from one.
func TestAdapter(t *testing.T) {
	o := tinyOptions(t)
	o.Recipe = changeRecipe(t, o.Recipe, "recipe.yaml", "epochs: 3", "mode: lora, lora_rank: 4, epochs: 3")
	if _, err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	adapted := o.Student
	adapted.Adapter = filepath.Join(o.Out, "adapter")
	out := t.TempDir()
	examine := func(s Source) (*Examined, []report.Prediction) {
		t.Helper()
		e, err := Examine(context.Background(), ExamineOptions{Recipe: o.Recipe, Model: s, Split: task.Val, Out: out, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := report.ReadPredictions(filepath.Join(out, report.PredictionsFile))
		if err != nil {
			t.Fatal(err)
		}
		return e, slices.DeleteFunc(lines, func(p report.Prediction) bool { return p.Role != e.Role })
	}
	base, plain := examine(o.Student)
	with, answers := examine(adapted)
	if base.Role != report.RoleModel || base.Model != "student" || with.Role != report.RoleStudent || with.Model != "student + adapter" {
		t.Errorf("examined %q as %s, and %q as %s", base.Model, base.Role, with.Model, with.Role)
	}
	for i := range plain {
		if plain[i].Key == answers[i].Key {
			t.Errorf("item %s has the same key with and without the adapter", plain[i].ID)
		}
	}
	loud := o.Student
	loud.Adapter = loudAdapter(t, o.Student.Path)
	e, answers := examine(loud)
	same := 0
	for i := range plain {
		if plain[i].Answer == answers[i].Answer {
			same++
		}
	}
	if same == len(plain) || e.Role != report.RoleModel {
		t.Errorf("an adapter of large numbers changes no answer, or is a student: %s", e.Role)
	}
	if e, _ := examine(Source{Path: filepath.Join(o.Out, studentFile)}); e.Role != report.RoleStudent {
		t.Errorf("the merged student is examined as %s", e.Role)
	}
	folder := filepath.Join(t.TempDir(), "as-folder")
	if err := convert.ToFolder(context.Background(), filepath.Join(o.Out, studentFile), folder, convert.Options{}); err != nil {
		t.Fatal(err)
	}
	if e, _ := examine(Source{Path: folder}); e.Role != report.RoleStudent || e.Model != "as-folder" {
		t.Errorf("the student as a folder is examined as %s, %q", e.Role, e.Model)
	}
	o.Out += "-more"
	o.Teacher = adapted
	if res, err := Run(context.Background(), o); err != nil || res.Report.Roles[0].Model.Name != "student + adapter" {
		t.Errorf("a teacher with an adapter: %v", err)
	}
	o.Student = adapted
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "student: an adapter") {
		t.Errorf("a student with an adapter: %v", err)
	}
}

// loudAdapter makes an adapter of the model at path that changes what it says.
func loudAdapter(t *testing.T, path string) string {
	t.Helper()
	m, err := model.Load(path, model.LoadOptions{LoRA: &model.LoRAConfig{Rank: 4, Alpha: 8, Seed: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, p := range m.Params() {
		p.Slices(func(v, _ []float32) {
			for i := range v {
				v[i] = float32(rng.NormFloat64())
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "loud")
	if err := m.WriteAdapter(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
