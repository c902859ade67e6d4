package session_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"retort/internal/lm/chat"
	"retort/internal/lm/grammar"
	"retort/internal/lm/scripted"
	"retort/internal/lm/session"
	"retort/models"
)

// A model that comes with the program turns a sentence into a ledger entry.
func ExampleModel_Ask() {
	host := session.NewHost(1)
	defer host.Close()
	file, _, err := models.LedgerTeacher()
	if err != nil {
		log.Fatal(err)
	}
	m, err := host.OpenFile(context.Background(), file, session.Options{})
	if err != nil {
		log.Fatal(err)
	}
	schema, err := grammar.Compile([]byte(`{"type": "object", "required": ["date", "debit", "credit"], "properties": {
		"date": {"type": "string", "format": "date"}, "debit": {"enum": ["travel", "meals", "cash"]}, "credit": {"enum": ["card", "cash", "bank"]}}}`))
	if err != nil {
		log.Fatal(err)
	}
	res, err := m.Ask(context.Background(), session.Request{
		Text:   "On 3 March 2026 we paid Vega Travel $120.00 for two train tickets by bank transfer.\n",
		Schema: schema,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Text)
	fmt.Println(res.Finish, res.Usage.Prompt)
	// Output:
	// {"date": "2026-03-03", "debit": "travel", "credit": "bank"}
	// stop 30
}

// Events come while the model writes.
func ExampleModel_Start() {
	host := session.NewHost(1)
	defer host.Close()
	path, remove := thinker()
	defer remove()
	m, err := host.Open(context.Background(), path, session.Options{})
	if err != nil {
		log.Fatal(err)
	}
	a, err := m.Start(context.Background(), session.Request{
		Messages: []chat.Message{{Role: "user", Content: "What is six times seven?"}},
		Stop:     []string{"\n\n"},
	})
	if err != nil {
		log.Fatal(err)
	}
	reasoning, content := "", ""
	for e := range a.Events() {
		switch e.Kind {
		case session.Reasoning:
			reasoning += e.Text
		case session.Content:
			content += e.Text
		case session.Finished:
			fmt.Println(e.Result.Finish)
		}
	}
	fmt.Println("thinks: ", reasoning)
	fmt.Println("answers:", content)
	if _, err := a.Wait(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// stop
	// thinks:  let me see
	// answers: 42
}

// What can be known of a model without its weights costs nothing.
func ExampleLook() {
	path, remove := thinker()
	defer remove()
	f, err := session.Look(path)
	if err != nil {
		log.Fatal(err)
	}
	ids, err := f.Prompt(session.Request{Messages: []chat.Message{{Role: "user", Content: "Hi"}}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Info.Architecture, f.Context, len(ids))
	// Output:
	// llama 512 7
}

// thinker makes the file of a model that thinks before it answers, and what removes it.
func thinker() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "retort-example-")
	if err != nil {
		log.Fatal(err)
	}
	path = filepath.Join(dir, "thinker.gguf")
	if err := (scripted.Model{
		Text: []string{"let", " me", " see", "42"}, Control: []string{"<|end|>", "<think>", "</think>"},
		Template: "{% for m in messages %}{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}A: <think>{% endif %}",
		Next:     map[string]string{"<think>": "let", "let": " me", " me": " see", " see": "</think>", "</think>": "42"},
	}).Write(path); err != nil {
		log.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}
