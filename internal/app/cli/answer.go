package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
)

// finishInterrupted is the finish reason of an answer that the user stopped.
const finishInterrupted generate.Finish = "interrupted"

// answer is what a model said.
type answer struct {
	text, reasoning strings.Builder
	res             generate.Result
	prompt          int // tokens
}

// reader turns the tokens of an answer into reasoning and content.
type reader struct {
	split  *chat.Splitter   // nil where all of it is content
	stream tokenizer.Stream // then
	append func(dst []byte, id int) []byte
	buf    []byte
}

func (r *reader) token(id int32) (reasoning, content string) {
	r.buf = r.append(r.buf[:0], int(id))
	if r.split == nil {
		return "", r.stream.Next(r.buf)
	}
	return r.split.Write(r.buf)
}

func (r *reader) close() (reasoning, content string) {
	if r.split == nil {
		return "", r.stream.Flush()
	}
	return r.split.Close()
}

// ask has req answered by e and hands on what the user may see of it as it comes. An answer that was interrupted
// comes with the error of ctx.
func (o *runOptions) ask(ctx context.Context, e *generate.Engine, req generate.Request, read *reader, show func(reasoning, content string)) (*answer, error) {
	a := &answer{prompt: len(req.Prompt)}
	stop := stopper{stops: o.stops}
	tell := func(r, c string) {
		a.reasoning.WriteString(r)
		a.text.WriteString(c)
		if r != "" || c != "" {
			show(r, c)
		}
	}
	req.Token = func(id int32) bool {
		r, c := read.token(id)
		tell(r, stop.write(c))
		return !stop.hit
	}
	var err error
	a.res, err = e.Generate(ctx, req)
	r, c := read.close()
	tell(r, stop.write(c)+stop.close())
	if errors.Is(err, context.Canceled) {
		a.res.Finish = finishInterrupted
	}
	return a, err
}

// runResult is what --json prints.
type runResult struct {
	Text         string          `json:"text"`
	Reasoning    string          `json:"reasoning"`
	Tokens       []int32         `json:"tokens"`
	PromptTokens int             `json:"prompt_tokens"`
	Finish       generate.Finish `json:"finish_reason"`
	PrefillTPS   float64         `json:"prefill_tps"`
	DecodeTPS    float64         `json:"decode_tps"` // of tokens behind the first, which the prompt gives
}

// result sums a up.
func (a *answer) result() runResult {
	out := runResult{Text: a.text.String(), Reasoning: a.reasoning.String(), Tokens: a.res.Tokens, PromptTokens: a.prompt, Finish: a.res.Finish,
		PrefillTPS: rate(a.prompt-a.res.Reused, a.res.Prefill.Seconds()), DecodeTPS: rate(a.res.Decoded, a.res.Decode.Seconds())}
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

// runOnce prints the answer to one prompt, as it comes or as one object. An interrupted answer is printed as far as it
// came; one that is bound by a schema only when it is whole, since a part of it is not valid.
func (o *runOptions) runOnce(ctx context.Context, l *loaded, prompt string, w io.Writer) error {
	ids, read, err := o.prompt(l, prompt)
	if err != nil {
		return err
	}
	req := o.request(l, ids)
	bound, err := o.schema(l)
	if err != nil {
		return err
	}
	if bound != nil {
		req.Mask = bound
	}
	out := o.display(w)
	show := out.show
	if o.json || bound != nil {
		show = func(string, string) {}
	}
	a, err := o.ask(ctx, l.engine, req, read, show)
	if err != nil && !errors.Is(err, context.Canceled) {
		return contextHint(err, l.engine.Model.Config.Context)
	}
	if bound != nil {
		if err == nil && !bound.Complete() {
			err = o.cutHint(len(a.res.Tokens))
		}
		if err != nil {
			return err
		}
		if !o.json {
			out.show(a.reasoning.String(), a.text.String())
		}
	}
	if o.json {
		return errors.Join(json.NewEncoder(w).Encode(a.result()), err)
	}
	return errors.Join(out.end(), err)
}

// cutHint says that an answer of n tokens ended before it was what the schema wants.
func (o *runOptions) cutHint(n int) error {
	err := fmt.Errorf("the answer was cut at %d tokens, before it was what --schema wants", n)
	if n == o.max {
		return withHint(err, "-n above %d makes room; without -n the answer ends where the schema does", n)
	}
	return withHint(err, "the context of %d tokens is full: --ctx makes room", o.ctx)
}

// contextHint says in a user's words that a prompt is too long for the context, and what helps.
func contextHint(err error, trained int) error {
	var full *generate.ContextError
	if !errors.As(err, &full) {
		return err
	}
	err = fmt.Errorf("the prompt has %d tokens, the context holds %d", full.Tokens, full.Limit)
	if full.Tokens >= trained {
		return withHint(err, "the model was made for %d tokens: only a shorter prompt helps", trained)
	}
	return withHint(err, "--ctx %d or more makes room", full.Tokens+1)
}

// prompt returns the token ids of what the model is to continue, and what reads its answer.
func (o *runOptions) prompt(l *loaded, prompt string) ([]int32, *reader, error) {
	plain := &reader{append: l.tok.AppendToken}
	switch {
	case o.tokens != "":
		list, err := parseIDs(o.tokens)
		if err == nil && len(list) == 0 {
			err = usagef("--tokens holds no id")
		}
		if err == nil {
			err = checkIDs(list, l.engine.Model.Config.Vocab)
		}
		return ids32(list), plain, err
	case o.raw:
		list := l.tok.Encode(prompt, rawText)
		if l.tok.AddBOS && l.tok.BOS >= 0 {
			list = append([]int{l.tok.BOS}, list...)
		}
		return ids32(list), plain, nil
	}
	c, err := l.chat()
	if err != nil {
		return nil, nil, err
	}
	return o.render(c, o.messages(prompt))
}

// render makes the prompt of a conversation.
func (o *runOptions) render(c *chat.Chat, msgs []chat.Message) ([]int32, *reader, error) {
	p, err := c.Prompt(msgs, o.thinking)
	if err != nil {
		return nil, nil, err
	}
	return ids32(p.IDs), &reader{split: chat.NewSplitter(p), append: c.AppendToken}, nil
}

// messages is the conversation of a single prompt.
func (o *runOptions) messages(prompt string) []chat.Message {
	var m []chat.Message
	if o.system != "" {
		m = append(m, chat.Message{Role: "system", Content: o.system})
	}
	return append(m, chat.Message{Role: "user", Content: prompt})
}

// request makes a request of the options.
func (o *runOptions) request(l *loaded, prompt []int32) generate.Request {
	return generate.Request{Prompt: prompt, Max: o.max, Sampler: o.sampler, Stop: l.stop}
}

// schema returns what binds an answer to the schema, or nil where there is none.
func (o *runOptions) schema(l *loaded) (*grammar.Matcher, error) {
	if o.schemaFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.schemaFile)
	if err != nil {
		return nil, err
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		return nil, fmt.Errorf("%s: byte %d: %w", o.schemaFile, syntax.Offset, err)
	}
	g, err := grammar.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.schemaFile, err)
	}
	return g.Start(l.vocabulary()), nil
}
