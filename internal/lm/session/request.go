package session

import (
	"errors"
	"fmt"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
)

// Request is what a model is asked. Of Messages, Tokens and Text exactly one is set.
type Request struct {
	Messages []chat.Message // a conversation, for the model's chat template
	Tokens   []int32        // ids, as they are
	Text     string         // to be continued, behind a BOS where the model's file asks for one

	Chat    chat.Options // of Messages: thinking, effort, tools
	Max     int          // tokens of the answer at most; 0 is no bound but the context
	Sampler generate.SamplerOptions
	// Stop are texts that end the answer before them, wherever they come, in reasoning too. They may name control tokens.
	Stop []string
	// Schema, if not nil, binds what the model answers, behind its reasoning. It excludes Stop, which could end an answer
	// before it is valid.
	Schema *grammar.Grammar
	// IgnoreEnd goes on behind the tokens that end an answer.
	IgnoreEnd bool
	// Logprobs, if above 0, asks for an event for each token: its probability and those of the likeliest this many.
	Logprobs int
	// Key names whom the request is for: keys take turns where there is more to do than can be done at once.
	Key string
	// Plain computes one token at a time: nothing is foreseen. It changes no answer.
	Plain bool
}

// check refuses what contradicts itself.
func (r *Request) check() error {
	given := 0
	for _, set := range []bool{r.Messages != nil, r.Tokens != nil, r.Text != ""} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("session: messages, tokens and text exclude each other")
	case r.Max < 0 || r.Logprobs < 0:
		return fmt.Errorf("session: at most %d tokens and %d likeliest, want 0 or more", r.Max, r.Logprobs)
	case r.Schema != nil && len(r.Stop) > 0:
		return errors.New("session: a schema and a stop text exclude each other: the text could end the answer before it is valid")
	}
	for _, stop := range r.Stop {
		if stop == "" {
			return errors.New("session: a stop text is empty")
		}
	}
	return r.Sampler.Check()
}

// prompt is what a model reads.
type prompt struct {
	ids  []int32
	chat *chat.Prompt // nil where it is no conversation
}

// prompt makes the prompt of r.
func (f *Form) prompt(r *Request) (prompt, error) {
	switch {
	case r.Tokens != nil:
		return prompt{ids: r.Tokens}, f.checkIDs(r.Tokens)
	case r.Messages != nil:
		c, err := f.Chat()
		if err != nil {
			return prompt{}, err
		}
		p, err := c.Prompt(r.Messages, r.Chat)
		return prompt{narrow(p.IDs), &p}, err
	}
	ids := f.Encode(r.Text)
	if f.Tokenizer.AddBOS && f.Tokenizer.BOS >= 0 {
		ids = append([]int32{int32(f.Tokenizer.BOS)}, ids...)
	}
	return prompt{ids: ids}, nil
}

// Encode returns the tokens of a text, without BOS. Control tokens stay text, as in llama.cpp.
func (f *Form) Encode(text string) []int32 {
	return narrow(f.Tokenizer.Encode(text, tokenizer.Options{UserDefined: true}))
}

// Prompt returns the tokens that r gives a model to read.
func (f *Form) Prompt(r Request) ([]int32, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p, err := f.prompt(&r)
	return p.ids, err
}

// checkIDs refuses ids that the model has no row for.
func (f *Form) checkIDs(ids []int32) error {
	for _, id := range ids {
		if id < 0 || int(id) >= f.Rows {
			return fmt.Errorf("session: token id %d, want 0 to %d", id, f.Rows-1)
		}
	}
	return nil
}

// narrow converts the tokenizer's ids to the model's.
func narrow(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
