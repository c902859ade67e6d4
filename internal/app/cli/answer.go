package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"retort/internal/format/atomicfile"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/session"
)

// runResult is what --json prints.
type runResult struct {
	Text         string         `json:"text"`
	Reasoning    string         `json:"reasoning"`
	Tokens       []int32        `json:"tokens"`
	PromptTokens int            `json:"prompt_tokens"`
	Finish       session.Finish `json:"finish_reason"`
	PrefillTPS   float64        `json:"prefill_tps"`
	DecodeTPS    float64        `json:"decode_tps"` // of tokens behind the first, which the prompt gives
	CachedTokens int            `json:"cached_tokens"`
	Drafted      int            `json:"drafted"`
	Taken        int            `json:"taken"`
}

// summary is res as --json has it.
func summary(res session.Result) runResult {
	t := res.Timing
	out := runResult{Text: res.Text, Reasoning: res.Reasoning, Tokens: res.Tokens, PromptTokens: res.Usage.Prompt, Finish: res.Finish,
		PrefillTPS: rate(res.Usage.Prompt-res.Usage.Cached, t.Prefill.Seconds()), DecodeTPS: rate(t.Decoded, t.Decode.Seconds()),
		CachedTokens: res.Usage.Cached, Drafted: t.Drafted, Taken: t.Taken}
	if out.Tokens == nil {
		out.Tokens = []int32{}
	}
	return out
}

func rate(n int, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// request is what the options ask for, without a prompt.
func (o *runOptions) request() session.Request {
	return session.Request{Chat: o.chat, Max: o.max, Sampler: o.sampler, Stop: o.stops, Schema: o.bound}
}

// messages puts the system message, if there is one, before msgs.
func (o *runOptions) messages(msgs ...chat.Message) []chat.Message {
	if o.system == "" {
		return msgs
	}
	return append([]chat.Message{{Role: "system", Content: o.system}}, msgs...)
}

// runOnce prints the answer to one prompt, as it comes or as one object. An interrupted answer is printed as far as it
// came; one that is bound by a schema only when it is whole, since a part of it is not valid.
func (o *runOptions) runOnce(ctx context.Context, m *opened, prompt string, w, note io.Writer) error {
	r := o.request()
	switch {
	case o.ids != nil:
		r.Tokens = o.ids
	case o.raw:
		r.Text = prompt
	default:
		r.Messages = o.messages(chat.Message{Role: "user", Content: prompt})
	}
	a, err := m.Start(ctx, r)
	if err != nil {
		return explain(err, m)
	}
	out := o.display(w)
	for e := range a.Events() {
		if !o.json && o.bound == nil {
			out.event(e)
		}
	}
	res, err := a.Wait()
	kept := o.keep(ctx, m, slices.Concat(a.Prompt(), res.Tokens)) // told behind the answer, which is there whatever it says
	if err != nil && (!errors.Is(err, context.Canceled) || o.bound != nil) {
		return errors.Join(explain(err, m), kept)
	}
	if o.json {
		return errors.Join(json.NewEncoder(w).Encode(summary(res)), err, kept)
	}
	if o.bound != nil {
		out.show(res.Reasoning, res.Text)
	}
	err = errors.Join(out.end(), err, kept)
	if res.Finish == session.FinishLength {
		sayNote(note, "%s", whyCut(res, m))
	}
	return err
}

// keep saves what was computed of tokens, if that is wanted.
func (o *runOptions) keep(ctx context.Context, m *opened, tokens []int32) error {
	if o.promptCache == "" || len(tokens) == 0 {
		return nil
	}
	return m.SavePrompt(context.WithoutCancel(ctx), o.promptCache, tokens)
}

// whyCut says why an answer is not whole, and what makes room.
func whyCut(res session.Result, m *opened) string {
	if res.Full {
		return fmt.Sprintf("the answer was cut: the context of %d tokens is full, and --ctx makes room", m.Limit())
	}
	return fmt.Sprintf("the answer was cut at %d tokens, as -n says", len(res.Tokens))
}

// explain says in a user's words why there is no answer, and what helps.
func explain(err error, m *opened) error {
	var cut *session.CutError
	var full *generate.ContextError
	switch {
	case errors.Is(err, chat.ErrNoTemplate):
		return withHint(err, "retort run MODEL --raw PROMPT continues a text")
	case errors.As(err, &cut):
		err = fmt.Errorf("the answer was cut at %d tokens, before it was what --schema wants", cut.Tokens)
		switch {
		case cut.Thinking:
			return withHint(err, "it was still thinking: --think off leaves that out")
		case !cut.Full:
			return withHint(err, "-n above %d makes room; without -n the answer ends where the schema does", cut.Tokens)
		}
		return withHint(err, "the context of %d tokens is full: --ctx makes room", m.Limit())
	case errors.As(err, &full):
		err = fmt.Errorf("the prompt has %d tokens, the context holds %d", full.Tokens, full.Limit)
		if full.Tokens >= m.Context {
			return withHint(err, "the model was made for %d tokens: only a shorter prompt helps", m.Context)
		}
		return withHint(err, "--ctx %d or more makes room", full.Tokens+1)
	}
	return err
}

// maxSchema bounds the file of a schema.
const maxSchema = 4 << 20

// readSchema compiles the schema that value is or names; nil where it is empty.
func readSchema(value string) (*grammar.Grammar, error) {
	if value == "" {
		return nil, nil
	}
	name, text := value, []byte(value)
	if strings.HasPrefix(strings.TrimSpace(value), "{") {
		name = "--schema"
	} else {
		var err error
		if text, err = atomicfile.ReadFile(value, maxSchema); err != nil {
			return nil, err
		}
	}
	g, err := grammar.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}
