package session

import (
	"testing"

	"retort/internal/lm/chat"
	"retort/internal/lm/scripted"
)

var hello = []chat.Message{{Role: "user", Content: "hello"}}

func TestSmoke(t *testing.T) {
	m := open(t, scripted.Model{Text: []string{"Hi", " there"}, Control: marks, Template: chatml, Next: chain("<|go|>", "Hi", " there", "!")}, Options{})
	res := ask(t, m, Request{Messages: hello})
	t.Logf("%+v", res)
}
