package task

import (
	"errors"
	"fmt"
	"strings"
)

// A prompt is a template: literal text, {{text}} and, before it, at most one section {{#examples}} … {{/examples}} that is
// repeated per example and knows {{text}} and {{answer}}. What is filled in is never read as a template again.
type prompt struct {
	before, section, after string
}

func parsePrompt(name, s string) (*prompt, error) {
	s = strings.TrimSuffix(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	p := &prompt{after: s}
	if before, rest, ok := strings.Cut(s, "{{#examples}}"); ok {
		section, after, ok := strings.Cut(rest, "{{/examples}}")
		if !ok {
			return nil, fmt.Errorf("%s: {{#examples}} is not closed by {{/examples}}", name)
		}
		// The line breaks after the marks belong to the marks.
		p.before, p.section, p.after = before, strings.TrimPrefix(section, "\n"), strings.TrimPrefix(after, "\n")
		if strings.Count(section, "{{text}}") != 1 || strings.Count(section, "{{answer}}") != 1 {
			return nil, fmt.Errorf("%s: want {{text}} and {{answer}} once each between {{#examples}} and {{/examples}}", name)
		}
	}
	if n := strings.Count(p.after, "{{text}}"); n != 1 {
		return nil, fmt.Errorf("%s: {{text}} %d times outside the examples, want once and after them", name, n)
	}
	for _, part := range []string{p.before, p.section, p.after} {
		left := strings.NewReplacer("{{text}}", "", "{{answer}}", "").Replace(part)
		if i := strings.Index(left, "{{"); i >= 0 {
			return nil, fmt.Errorf("%s: unknown mark %.20q", name, left[i:])
		}
	}
	if strings.Contains(p.before+p.after, "{{answer}}") {
		return nil, errors.New(name + ": {{answer}} outside the examples")
	}
	return p, nil
}

func (p *prompt) fill(text string, examples []Item, answer func(Fields) string) string {
	var b strings.Builder
	b.WriteString(p.before)
	if p.section != "" {
		for _, e := range examples {
			b.WriteString(strings.NewReplacer("{{text}}", e.Text, "{{answer}}", answer(e.Gold)).Replace(p.section))
		}
	}
	head, tail, _ := strings.Cut(p.after, "{{text}}")
	b.WriteString(head)
	b.WriteString(text)
	b.WriteString(tail)
	return b.String()
}

// Prompt is what the teacher is asked about an item: the user's message, with instructions and the recipe's examples. It
// begins alike for all items, so a teacher computes that part once.
func (t *Task) Prompt(it Item) string { return t.prompt.fill(it.Text, t.examples, t.Answer) }

// StudentPrompt is what the student sees before the answer, in training and in the exam.
func (t *Task) StudentPrompt(it Item) string { return t.student.fill(it.Text, nil, nil) }

// Line is an item as plain training text: the student's prompt and, if gold is known, the answer.
func (t *Task) Line(it Item) string {
	if it.Gold == nil {
		return t.StudentPrompt(it)
	}
	return t.StudentPrompt(it) + t.Answer(it.Gold)
}
