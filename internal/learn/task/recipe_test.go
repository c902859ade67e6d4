package task

import (
	"strings"
	"testing"
)

const small = `name: small
data: {format: jsonl, path: data}
splits: {train: train.jsonl, dev: dev.jsonl, val: val.jsonl}
fields:
  - name: company
  - name: total
    grader: exact
    format: amount
`

func TestParseRecipe(t *testing.T) {
	r, err := ParseRecipe([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if r.Fields[0].Grader != "loose" || r.Fields[1].Grader != "exact" || r.Exam.Metric != "loose" || r.Student.Epochs != 3 {
		t.Errorf("defaults are not set: %+v", r)
	}
}

// TestRecipeErrors: each bad recipe is refused with what, where and the bound.
func TestRecipeErrors(t *testing.T) {
	for _, c := range []struct{ add, want string }{
		{"colour: red\n", "9:1: unknown field \"colour\""},
		{"student: {epochs: 0}\n", "student.epochs: 0, want 1 to 1000"},
		{"student: {epochs: many}\n", "9:"},
		{"student: {learning_rate: .nan}\n", "student.learning_rate: NaN"},
		{"student: {mode: half}\n", `student.mode: "half", want one of: full lora`},
		{"verify: [{check: magic}]\n", `verify[0].check: "magic"`},
		{"verify: [{check: agree}]\n", "verify[0].share: 0"},
		{"verify: [{check: schema, repair: true}]\n", "verify[0].repair"},
		{"verify: [{check: differ, field: total, other: x}]\n", `"x" is no field`},
		{"exam: {split: train}\n", `exam.split: "train"`},
		{"name: other\n", "9:1:"},
		{"teacher: {samples: [1\n", "recipe.yaml:"},
		{"a: &a [*a]\n", "recipe.yaml:"},
		{"\x00", "zero byte"},
		{strings.Repeat("#", MaxYAML), "want at most 65536"},
	} {
		_, err := ParseRecipe([]byte(small + c.add))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %.40q: %v, want %q", c.add, err, c.want)
		}
	}
	for _, c := range []struct{ old, new, want string }{
		{"name: small", "name: Small Talk", "name:"},
		{"format: jsonl", "format: xml", "data.format"},
		{"path: data", "generated: ledger", "neither format nor path"},
		{"- name: total", "- name: company", "fields[1].name"},
		{"grader: exact", "grader: strict", "fields.total.grader"},
		{"format: amount", "pattern: '['", "fields.total.pattern"},
	} {
		_, err := ParseRecipe([]byte(strings.Replace(small, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}

func TestPrompt(t *testing.T) {
	p, err := parsePrompt("p", "Do it.\n{{#examples}}\nIn: {{text}}\nOut: {{answer}}\n{{/examples}}\nIn: {{text}}\nOut:\n")
	if err != nil {
		t.Fatal(err)
	}
	// What is filled in is never a template: a text may hold marks.
	examples := []Item{{Text: "{{answer}}", Gold: Fields{"a": "{{text}}"}}}
	got := p.fill("{{text}} {{answer}}", examples, func(f Fields) string { return f["a"] })
	if want := "Do it.\nIn: {{answer}}\nOut: {{text}}\nIn: {{text}} {{answer}}\nOut:"; got != want {
		t.Errorf("filled %q, want %q", got, want)
	}
	for in, want := range map[string]string{
		"no mark":                "want once",
		"{{text}} {{text}}":      "2 times",
		"{{text}} {{answer}}":    "outside",
		"{{text}} {{x}}":         "unknown mark",
		"{{#examples}} {{text}}": "not closed",
		"{{#examples}}{{text}}{{/examples}}{{text}}": "once each",
	} {
		if _, err := parsePrompt("p", in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parsePrompt(%q) = %v, want %q", in, err, want)
		}
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("a: &a [x]\nb: *a\nc: {<<: *a}"))
	f.Add([]byte("name: |\n  x\n ? - [\n"))
	f.Add([]byte("\"0\\n\x1b\n\n\": 1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecipe(b)
		if err == nil && (len(r.Fields) == 0 || r.Name == "") {
			t.Fatalf("accepted without name or fields: %q", b)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "recipe.yaml")) {
			t.Fatalf("error is not one line of recipe.yaml: %q", err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	f.Add("```json\n{\"a\": \"x\", \"b\": 1}\n```")
	f.Add(`{"a": null, "b": "😀", "b": true}`)
	f.Fuzz(func(t *testing.T, s string) {
		names := []string{"a", "b"}
		fields, err := ParseAnswer(names, s)
		if err != nil {
			return
		}
		tk := &Task{Recipe: Recipe{Fields: []Field{{Name: "a"}, {Name: "b"}}}}
		again, err := ParseAnswer(names, tk.Answer(fields))
		if err != nil {
			t.Fatalf("%q reads as %v, whose canonical form is refused: %v", s, fields, err)
		}
		for _, n := range names {
			if again[n] != fields[n] {
				t.Fatalf("%q: field %s is %q, then %q", s, n, fields[n], again[n])
			}
		}
	})
}
