package teacher

import (
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/session"
)

// Form is how a model is asked, without its weights: what can be known of it at no cost.
type Form struct{ *session.Form }

// Look reads the form of the model at path: a GGUF file, any part of one in parts, or a folder.
func Look(path string) (*Form, error) { return formOf(session.Look(path)) }

// LookFile is Look of a GGUF file that is open. What it returns outlives the file.
func LookFile(f *gguf.File) (*Form, error) { return formOf(session.LookFile(f)) }

func formOf(f *session.Form, err error) (*Form, error) {
	if err != nil {
		return nil, err
	}
	return &Form{f}, nil
}

// Question is one thing to ask.
type Question struct {
	Message     string // of a user, for a model that chats
	Text        string // to be continued, where Message is empty or the model does not chat
	Max         int    // tokens of the answer at most
	Temperature float64
	Seed        uint64
}

// Sent returns q with nothing but what the model is shown: the message, or else the text.
func (f *Form) Sent(q Question) Question {
	if _, err := f.Chat(); err == nil && q.Message != "" {
		q.Text = ""
	} else {
		q.Message = ""
	}
	return q
}

// Prompt returns the tokens of a question.
func (f *Form) Prompt(q Question) ([]int32, error) {
	if q = f.Sent(q); q.Message == "" {
		return PromptIDs(f.Tokenizer, q.Text), nil
	}
	return f.Form.Prompt(session.Request{Messages: []chat.Message{{Role: "user", Content: q.Message}}, Chat: chat.Options{Thinking: chat.ThinkOff}})
}

// PromptIDs returns the tokens of a text that a model is to continue: what a student is trained on is made by the
// same function as what it is asked. Unlike session.Form.Encode it leaves what looks like markup text, such as <tool_call>: what
// a task is about is data.
func PromptIDs(tok *tokenizer.Tokenizer, text string) []int32 {
	ids := TextIDs(tok, text)
	if tok.AddBOS && tok.BOS >= 0 {
		ids = append([]int32{int32(tok.BOS)}, ids...)
	}
	return ids
}

// TextIDs returns the tokens of a text that stands behind another, such as an answer.
func TextIDs(tok *tokenizer.Tokenizer, text string) []int32 {
	ids := tok.Encode(text, tokenizer.Options{})
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
