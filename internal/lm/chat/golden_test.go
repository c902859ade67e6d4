package chat

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// TestPromptsOfTransformers compares prompts with those that jinja2 and HF tokenizers make of the same conversations
// (ref/prompts.py).
func TestPromptsOfTransformers(t *testing.T) {
	b, err := os.ReadFile("testdata/prompts.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Prompts map[string][]struct {
			Messages []struct {
				Role      string `json:"role"`
				Content   string `json:"content"`
				Reasoning string `json:"reasoning_content"`
			} `json:"messages"`
			Finished bool  `json:"finished"`
			IDs      []int `json:"ids"`
		} `json:"prompts"`
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	for name, prompts := range golden.Prompts {
		t.Run(name, func(t *testing.T) {
			tok, template := load(t, "tokenizers/"+name)
			c := newChat(t, template, tok)
			for i, want := range prompts {
				msgs := make([]Message, len(want.Messages))
				for k, m := range want.Messages {
					msgs[k] = Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning}
				}
				if got := prompt(t, c, msgs, Options{Finished: want.Finished}); !slices.Equal(got.IDs, want.IDs) {
					t.Errorf("prompt %d:\n got %v %q\nwant %v %q", i, got.IDs, tok.DecodeSpecial(got.IDs), want.IDs, tok.DecodeSpecial(want.IDs))
				}
			}
		})
	}
}
