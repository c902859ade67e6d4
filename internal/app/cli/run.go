package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
)

type runOptions struct {
	max, ctx, threads     int
	sampler               generate.SamplerOptions
	cacheType, schemaFile string
	system, tokens        string
	raw, json             bool
}

func newRun() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use: "run MODEL [PROMPT]", Short: "Chat with a model, or answer one prompt",
		Long:    "Answer PROMPT, or chat in the terminal without one. With standard input or output elsewhere the answer alone is\nprinted; a prompt may then come from standard input.",
		Example: "retort run smollm2-135m \"Name three fruits.\"\nretort run qwen2.5-coder-1.5b --schema schema.json < receipt.txt",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], strings.Join(args[1:], " "), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVarP(&o.max, "max-tokens", "n", 0, "tokens at most (default: until the model ends or the context is full)")
	f.Float64Var(&o.sampler.Temperature, "temp", 0.7, "temperature; 0 takes the most likely token")
	f.Uint64Var(&o.sampler.Seed, "seed", 0, "seed of the sampler")
	f.IntVar(&o.sampler.TopK, "top-k", 40, "keep the k most likely tokens; 0 keeps all")
	f.Float64Var(&o.sampler.TopP, "top-p", 0.95, "keep the most likely tokens that together reach p")
	f.Float64Var(&o.sampler.MinP, "min-p", 0.05, "drop tokens less likely than this share of the best")
	f.Float64Var(&o.sampler.RepeatPenalty, "repeat-penalty", 1, "make recent tokens less likely; 1 is off")
	f.IntVar(&o.ctx, "ctx", 4096, "context in tokens")
	f.StringVar(&o.cacheType, "cache-type", "bf16", "keys and values: bf16 or f32")
	f.StringVar(&o.system, "system", "", "system message")
	f.StringVar(&o.schemaFile, "schema", "", "bind the answer to this JSON Schema")
	f.BoolVar(&o.raw, "raw", false, "no chat template: continue the text")
	f.StringVar(&o.tokens, "tokens", "", "token ids instead of a prompt, used as they are")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	threadsFlag(cmd, &o.threads)
	o.sampler.RepeatLast = 64
	return cmd
}

// check refuses options out of range before a model is loaded.
func (o *runOptions) check() error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	if err := o.sampler.Check(); err != nil {
		return usageError{err}
	}
	if o.max < 0 || o.ctx < 1 {
		return usagef("-n is %d and --ctx %d, want 0 and 1 at least", o.max, o.ctx)
	}
	if o.cacheType != "bf16" && o.cacheType != "f32" {
		return usagef("--cache-type is %q, want bf16 or f32", o.cacheType)
	}
	return nil
}

func (o *runOptions) run(ctx context.Context, name, prompt string, in io.Reader, w io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	if prompt == "" && o.tokens == "" && !readable(in) {
		return usagef("interactive chat is on its way; give a PROMPT")
	}
	if prompt == "" && o.tokens == "" {
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		if prompt = string(b); strings.TrimSpace(prompt) == "" {
			return withHint(usagef("the prompt is empty"), "retort run MODEL \"PROMPT\", or no prompt at a terminal to chat")
		}
	}
	l, err := load(name, o.threads, o.cacheType)
	if err != nil {
		return err
	}
	defer l.close()
	return o.answer(ctx, l, prompt, w)
}

// readable says whether in is a file or a pipe with a prompt, and no terminal.
func readable(in io.Reader) bool {
	return !isTerminal(in)
}

// runResult is what --json prints.
type runResult struct {
	Text         string          `json:"text"`
	Reasoning    string          `json:"reasoning"`
	Tokens       []int32         `json:"tokens"`
	PromptTokens int             `json:"prompt_tokens"`
	Finish       generate.Finish `json:"finish_reason"`
	PrefillTPS   float64         `json:"prefill_tps"`
	DecodeTPS    float64         `json:"decode_tps"`
}

// answer prints the answer to one prompt, as it comes or as one object.
func (o *runOptions) answer(ctx context.Context, l *loaded, prompt string, w io.Writer) error {
	ids, split, err := o.prompt(l, prompt)
	if err != nil {
		return err
	}
	req, err := o.request(l, ids)
	if err != nil {
		return err
	}
	var text, reasoning strings.Builder
	show := func(r, c string) {
		reasoning.WriteString(r)
		text.WriteString(c)
		if !o.json {
			io.WriteString(w, c)
		}
	}
	var piece []byte
	req.Token = func(id int32) bool {
		piece = split.appendToken(piece[:0], int(id))
		show(split.Write(piece))
		return true
	}
	res, err := l.engine.NewSequence(o.ctx).Generate(ctx, req)
	show(split.Close())
	if err != nil {
		return contextHint(err)
	}
	if !o.json {
		_, err = io.WriteString(w, "\n")
		return err
	}
	out := runResult{Text: text.String(), Reasoning: reasoning.String(), Tokens: res.Tokens, PromptTokens: len(ids), Finish: res.Finish,
		PrefillTPS: rate(len(ids)-res.Reused, res.Prefill.Seconds()), DecodeTPS: rate(len(res.Tokens), res.Decode.Seconds())}
	if out.Tokens == nil {
		out.Tokens = []int32{}
	}
	return json.NewEncoder(w).Encode(out)
}

func rate(n int, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// contextHint adds what helps when a prompt is too long.
func contextHint(err error) error {
	if e, ok := err.(*generate.ContextError); ok {
		return withHint(err, "--ctx %d or more makes room", e.Tokens)
	}
	return err
}

// reader turns the tokens of an answer into reasoning and content.
type reader struct {
	*chat.Splitter
	appendToken func(dst []byte, id int) []byte
}

// prompt returns the token ids of what the model is to continue, and what reads its answer.
func (o *runOptions) prompt(l *loaded, prompt string) ([]int32, reader, error) {
	plain := reader{chat.NewSplitter(chat.Prompt{}), l.tok.AppendToken}
	switch {
	case o.tokens != "":
		list, err := parseIDs(o.tokens)
		if err == nil && len(list) == 0 {
			err = usagef("--tokens holds no id")
		}
		return ids32(list), plain, err
	case o.raw:
		list := l.tok.Encode(prompt, tokenizer.Options{})
		if l.tok.AddBOS && l.tok.BOS >= 0 {
			list = append([]int{l.tok.BOS}, list...)
		}
		return ids32(list), plain, nil
	}
	c, err := l.chat()
	if err != nil {
		return nil, plain, err
	}
	p, err := c.Prompt(o.messages(prompt), chat.Options{})
	return ids32(p.IDs), reader{chat.NewSplitter(p), c.AppendToken}, err
}

// messages is the conversation of a single prompt.
func (o *runOptions) messages(prompt string) []chat.Message {
	var m []chat.Message
	if o.system != "" {
		m = append(m, chat.Message{Role: "system", Content: o.system})
	}
	return append(m, chat.Message{Role: "user", Content: prompt})
}

// request makes a request of the options, bound by the schema if there is one.
func (o *runOptions) request(l *loaded, prompt []int32) (generate.Request, error) {
	req := generate.Request{Prompt: prompt, Max: o.max, Sampler: o.sampler, Stop: l.stop}
	if o.schemaFile == "" {
		return req, nil
	}
	schema, err := os.ReadFile(o.schemaFile)
	if err != nil {
		return req, err
	}
	g, err := grammar.Compile(schema)
	if err != nil {
		return req, fmt.Errorf("%s: %w", o.schemaFile, err)
	}
	req.Mask = g.Start(l.vocabulary())
	return req, nil
}
