package chat

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
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

// TestToolsOfTransformers compares conversations with tools, calls and results with what jinja2 renders of them
// (ref/tools.py). Where the template hides a part, the error says so.
func TestToolsOfTransformers(t *testing.T) {
	b, err := os.ReadFile("testdata/tools.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Tools []struct {
			Function struct {
				Name        string          `json:"name"`
				Description string          `json:"description"`
				Parameters  json.RawMessage `json:"parameters"`
			} `json:"function"`
		} `json:"tools"`
		Chats map[string][]struct {
			Role      string `json:"role"`
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
			CallID    string `json:"tool_call_id"`
			Name      string `json:"name"`
			Calls     []struct {
				ID       string `json:"id"`
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"chats"`
		Results map[string]map[string]struct {
			Text, Error string
			Hidden      []string
		} `json:"results"`
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	var tools []Tool
	for _, tool := range golden.Tools {
		tools = append(tools, Tool(tool.Function))
	}
	chats := map[string][]Message{}
	for name, list := range golden.Chats {
		for _, m := range list {
			msg := Message{Role: m.Role, Content: m.Content, Reasoning: m.Reasoning, ToolCallID: m.CallID, Name: m.Name}
			for _, call := range m.Calls {
				msg.ToolCalls = append(msg.ToolCalls, ToolCall{call.ID, call.Function.Name, call.Function.Arguments})
			}
			chats[name] = append(chats[name], msg)
		}
	}
	tok, _ := load(t, "tokenizers/deepseek-v3")
	for file, results := range golden.Results {
		c := newChat(t, published(t, file), tok)
		for name, want := range results {
			chat, with := strings.CutSuffix(name, "/tools")
			o := Options{}
			if with {
				o.Tools = tools
			}
			got, err := c.render(chats[chat], o)
			switch {
			case want.Hidden != nil || want.Error != "":
				if err == nil || want.Hidden != nil && !strings.Contains(err.Error(), "does not show") {
					t.Errorf("%s, %s: %v, want an error for %v %s", file, name, err, want.Hidden, want.Error)
				}
			case err != nil || got.Text != want.Text:
				t.Errorf("%s, %s: %v\n got %q\nwant %q", file, name, err, got.Text, want.Text)
			}
		}
	}
}
