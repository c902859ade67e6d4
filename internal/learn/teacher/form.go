package teacher

import (
	"errors"

	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/model"
)

// Form is how a model is asked, without its weights: what can be known of it at no cost.
type Form struct {
	Tok     *tokenizer.Tokenizer
	Vocab   int // rows of the embedding
	Context int // tokens of prompt and answer that the model was made for

	chat *chat.Chat // nil for a model that continues text
}

// ReadForm reads the form of the model in f.
func ReadForm(f *gguf.File) (*Form, error) {
	c, err := model.ConfigFromGGUF(f)
	if err != nil {
		return nil, err
	}
	m := &Form{Vocab: c.Vocab, Context: c.Context}
	if m.Tok, err = tokenizer.FromGGUF(f); err != nil {
		return nil, err
	}
	template, err := f.StringOr("tokenizer.chat_template", "")
	if err != nil {
		return nil, err
	}
	if m.chat, err = chat.New(template, m.Tok); err != nil && !errors.Is(err, chat.ErrNoTemplate) {
		return nil, err
	}
	return m, nil
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
func (m *Form) Sent(q Question) Question {
	if m.chat != nil && q.Message != "" {
		q.Text = ""
	} else {
		q.Message = ""
	}
	return q
}

// Prompt returns the tokens of a question.
func (m *Form) Prompt(q Question) ([]int32, error) {
	var ids []int
	if q = m.Sent(q); q.Message != "" {
		p, err := m.chat.Prompt([]chat.Message{{Role: "user", Content: q.Message}}, chat.Options{Thinking: chat.ThinkOff})
		if err != nil {
			return nil, err
		}
		ids = p.IDs
	} else {
		ids = PromptIDs(m.Tok, q.Text)
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out, nil
}

// PromptIDs returns the tokens of a text that a model is to continue: what a student is trained on is made by the
// same function as what it is asked.
func PromptIDs(tok *tokenizer.Tokenizer, text string) []int {
	ids := tok.Encode(text, tokenizer.Options{})
	if tok.AddBOS && tok.BOS >= 0 {
		ids = append([]int{tok.BOS}, ids...)
	}
	return ids
}
