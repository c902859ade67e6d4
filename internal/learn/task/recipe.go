package task

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
)

// A Recipe is recipe.yaml: what the task is, where its data lies, and how teacher, student and exam are set.
type Recipe struct {
	Name        string  `yaml:"name"`
	Description string  `yaml:"description"`
	Data        Data    `yaml:"data"`
	Splits      Splits  `yaml:"splits"`
	Fields      []Field `yaml:"fields"`
	Teacher     Teacher `yaml:"teacher"`
	Verify      []Check `yaml:"verify"`
	Student     Student `yaml:"student"`
	Exam        Exam    `yaml:"exam"`
}

// Data says where items come from: a folder in a format, or a generator in this program.
type Data struct {
	Format    string `yaml:"format"`    // jsonl (one file a split) or sroie (box/NNN.csv, key/NNN.json)
	Path      string `yaml:"path"`      // relative to the recipe
	Generated string `yaml:"generated"` // ledger
	Seed      uint64 `yaml:"seed"`      // of the generator
}

// Splits name the parts: a file for jsonl, a range of numbers for sroie, a count for generated data.
type Splits struct {
	Train string `yaml:"train"`
	Dev   string `yaml:"dev"`
	Val   string `yaml:"val"`
}

// A Field is one value of the answer and how it is judged.
type Field struct {
	Name    string `yaml:"name" json:"name"`
	Grader  string `yaml:"grader" json:"grader"`  // loose (the default) or exact: whether a loosely equal value counts
	Occurs  string `yaml:"occurs" json:"-"`       // text or letters: the value must stand in the text, for check occurs
	Format  string `yaml:"format" json:"-"`       // date or amount, for check format
	Pattern string `yaml:"pattern" json:"-"`      // a regular expression for the whole value, for check format
	Snap    bool   `yaml:"snap" json:"-"`         // write the value as the text writes it
	Empty   bool   `yaml:"may_be_empty" json:"-"` // an empty value passes occurs and format

	pattern *regexp.Regexp
}

// Teacher says how the teacher is asked.
type Teacher struct {
	Examples    []string `yaml:"examples"` // ids of dev items shown in the prompt
	Samples     int      `yaml:"samples"`  // answers per item
	Temperature float64  `yaml:"temperature"`
	MaxTokens   int      `yaml:"max_tokens"`
}

// A Check is one verifier of the list; which of the other keys it needs is written at checks in verify.go.
type Check struct {
	Check string  `yaml:"check"`
	Field string  `yaml:"field"`
	Other string  `yaml:"other"`
	Share float64 `yaml:"share"`
	// Repair replaces the value by what the check knows from the text alone, instead of refusing the answer.
	Repair bool `yaml:"repair"`
}

// Student says how the student is trained.
type Student struct {
	Prompt       string  `yaml:"prompt"` // with {{text}}
	Mode         string  `yaml:"mode"`   // full or lora
	Epochs       int     `yaml:"epochs"`
	Batch        int     `yaml:"batch"` // items a step
	LearningRate float64 `yaml:"learning_rate"`
	Schedule     string  `yaml:"schedule"` // constant, linear, cosine or wsd
	WarmupSteps  int     `yaml:"warmup_steps"`
	WeightDecay  float64 `yaml:"weight_decay"`
	Clip         float64 `yaml:"clip"` // gradient norm; 0 is off
	LoraRank     int     `yaml:"lora_rank"`
	LoraAlpha    float64 `yaml:"lora_alpha"`
	MaxTokens    int     `yaml:"max_tokens"` // longest prompt with answer; longer items are left out and counted
}

// Exam says what is examined and which figure counts.
type Exam struct {
	Split     string `yaml:"split"`
	Metric    string `yaml:"metric"`   // loose or exact, of all fields together
	Baseline  string `yaml:"baseline"` // rules, linear or none
	MaxTokens int    `yaml:"max_tokens"`
}

// MaxYAML bounds a recipe.yaml and a training config: one is a page long, and YAML's anchors can blow up a larger one.
const MaxYAML = 64 << 10

// ParseRecipe reads recipe.yaml. An unknown key, a wrong type or a value out of bounds is an error that names its line or
// its key.
func ParseRecipe(text []byte) (Recipe, error) {
	r := defaults()
	if err := ReadYAML("recipe.yaml", text, &r); err != nil {
		return Recipe{}, err
	}
	if err := r.check(); err != nil {
		return Recipe{}, fmt.Errorf("recipe.yaml: %w", err)
	}
	return r, nil
}

// ReadYAML reads the text of the file name, whoever wrote it, into the struct at v. Errors are of one line.
func ReadYAML(name string, text []byte, v any) (err error) {
	if len(text) > MaxYAML {
		return fmt.Errorf("%s: %d bytes or more, want at most %d", name, len(text), MaxYAML)
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%s: holds a zero byte", name)
	}
	defer func() {
		// The library is fed hostile files here; it has panicked on some.
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: not readable as YAML: %v", name, p)
		}
	}()
	if err := yaml.UnmarshalWithOptions(text, v, yaml.Strict()); err != nil {
		return fmt.Errorf("%s:%s", name, yamlError(err))
	}
	return nil
}

func yamlError(err error) string {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, oneLine(at.GetMessage()))
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return " " + oneLine(first)
}

// oneLine writes a message that may quote the file with blanks for control characters.
func oneLine(message string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
}

func defaults() Recipe {
	return Recipe{
		Teacher: Teacher{Samples: 1, MaxTokens: 256},
		Student: Student{
			Prompt: "{{text}}\n", Mode: "full", Epochs: 3, Batch: 8, LearningRate: 3e-4, Schedule: "cosine",
			WarmupSteps: 20, Clip: 1, LoraRank: 16, LoraAlpha: 32, MaxTokens: 2048,
		},
		Exam: Exam{Split: Val, Metric: "loose", Baseline: "none", MaxTokens: 256},
	}
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// check holds every bound of a recipe.
func (r *Recipe) check() error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`).MatchString(r.Name) {
		return fmt.Errorf("name: %q, want small letters, digits, '.', '_', '-'", r.Name)
	}
	if err := r.checkData(); err != nil {
		return err
	}
	if err := r.checkFields(); err != nil {
		return err
	}
	for _, c := range []struct {
		key  string
		v    float64
		a, b float64
	}{
		{"teacher.samples", float64(r.Teacher.Samples), 1, 64},
		{"teacher.temperature", r.Teacher.Temperature, 0, 2},
		{"teacher.max_tokens", float64(r.Teacher.MaxTokens), 1, 1 << 20},
		{"student.epochs", float64(r.Student.Epochs), 1, 1000},
		{"student.batch", float64(r.Student.Batch), 1, 4096},
		{"student.learning_rate", r.Student.LearningRate, 1e-8, 1},
		{"student.warmup_steps", float64(r.Student.WarmupSteps), 0, 1e6},
		{"student.weight_decay", r.Student.WeightDecay, 0, 1},
		{"student.clip", r.Student.Clip, 0, 1e6},
		{"student.lora_rank", float64(r.Student.LoraRank), 1, 1024},
		{"student.lora_alpha", r.Student.LoraAlpha, 1e-3, 1e5},
		{"student.max_tokens", float64(r.Student.MaxTokens), 8, 1 << 20},
		{"exam.max_tokens", float64(r.Exam.MaxTokens), 1, 1 << 20},
	} {
		if !(c.v >= c.a && c.v <= c.b) { // also refuses NaN
			return fmt.Errorf("%s: %v, want %v to %v", c.key, c.v, c.a, c.b)
		}
	}
	for _, c := range []struct{ key, v, words string }{
		{"student.mode", r.Student.Mode, "full lora"},
		{"student.schedule", r.Student.Schedule, "constant linear cosine wsd"},
		{"exam.split", r.Exam.Split, "dev val"},
		{"exam.metric", r.Exam.Metric, "loose exact"},
		{"exam.baseline", r.Exam.Baseline, "rules linear none"},
	} {
		if err := oneOf(c.key, c.v, c.words); err != nil {
			return err
		}
	}
	return r.checkVerify()
}

func (r *Recipe) checkData() error {
	d := r.Data
	switch {
	case d.Generated != "":
		if d.Format != "" || d.Path != "" {
			return errors.New("data: generated data has neither format nor path")
		}
		return oneOf("data.generated", d.Generated, "ledger")
	case d.Path == "":
		return errors.New("data: want path and format, or generated")
	}
	return oneOf("data.format", d.Format, "jsonl sroie")
}

func (r *Recipe) checkFields() error {
	if len(r.Fields) == 0 || len(r.Fields) > 64 {
		return fmt.Errorf("fields: %d, want 1 to 64", len(r.Fields))
	}
	seen := map[string]bool{}
	for i := range r.Fields {
		f := &r.Fields[i]
		if !fieldName.MatchString(f.Name) || seen[f.Name] {
			return fmt.Errorf("fields[%d].name: %q, want a new name of letters, digits and '_'", i, f.Name)
		}
		seen[f.Name] = true
		if f.Grader == "" {
			f.Grader = "loose"
		}
		key := "fields." + f.Name + "."
		if err := oneOf(key+"grader", f.Grader, "loose exact"); err != nil {
			return err
		}
		if err := oneOf(key+"occurs", f.Occurs, " text letters"); err != nil {
			return err
		}
		if err := oneOf(key+"format", f.Format, " date amount"); err != nil {
			return err
		}
		if f.Pattern != "" {
			re, err := regexp.Compile(`^(?:` + f.Pattern + `)$`)
			if err != nil {
				return fmt.Errorf("%spattern: %w", key, err)
			}
			f.pattern = re
		}
	}
	return nil
}

func (r *Recipe) field(name string) (Field, bool) {
	for _, f := range r.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// oneOf reports an error unless v is one of the words; words that begin with a blank allow the empty one too.
func oneOf(key, v, words string) error {
	for _, w := range strings.Split(words, " ") {
		if v == w {
			return nil
		}
	}
	return fmt.Errorf("%s: %q, want one of: %s", key, v, strings.TrimSpace(words))
}
