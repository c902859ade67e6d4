package cli

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/session"
)

type runOptions struct {
	modelOptions
	max, ctx                  int
	sampler                   generate.SamplerOptions
	schema, promptCache       string
	system, tokens, think     string
	stops                     []string
	raw, json                 bool
	hideThinking, verbose     bool
	seedChosen, contextChosen bool // on the command line

	chat  chat.Options
	bound *grammar.Grammar // of schema
	ids   []int32          // of tokens
}

func newRun() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use: "run MODEL [PROMPT]", Short: "Chat with a model, or answer one prompt",
		Long:    "Answer PROMPT, with the text on standard input behind it if there is one; or chat in the terminal. Away from a terminal the answer alone is printed.",
		Example: "retort run smollm2-135m \"Summarize.\" <letter.txt",
		Args:    arguments(1, anyNumber),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.seedChosen, o.contextChosen = cmd.Flags().Changed("seed"), cmd.Flags().Changed("ctx")
			return o.run(cmd.Context(), args[0], args[1:], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVarP(&o.max, "max-tokens", "n", 0, "tokens at most; 0 until the model ends")
	f.Float64Var(&o.sampler.Temperature, "temp", 0.7, "temperature: 0 takes the likeliest token")
	f.Uint64Var(&o.sampler.Seed, "seed", 0, "seed of the sampler; else chosen anew")
	f.IntVar(&o.sampler.TopK, "top-k", 40, "keep the k likeliest tokens: 0 all")
	f.Float64Var(&o.sampler.TopP, "top-p", 0.95, "keep the likeliest that reach p: 0 one, 1 all")
	f.Float64Var(&o.sampler.MinP, "min-p", 0.05, "drop below this share of the best: 0 none")
	f.Float64Var(&o.sampler.RepeatPenalty, "repeat-penalty", 1, "against repetition: 1 is off, and so is 0")
	f.IntVar(&o.ctx, "ctx", 4096, "context in tokens")
	f.StringVar(&o.system, "system", "", "system message")
	f.StringVar(&o.think, "think", "", "thinking: on (or no `WORD`), off, low, medium, high")
	f.Lookup("think").NoOptDefVal = "on"
	f.BoolVar(&o.hideThinking, "hidethinking", false, "do not show the thinking's text")
	f.StringArrayVar(&o.stops, "stop", nil, "end before this text; may be repeated")
	f.StringVar(&o.schema, "schema", "", "bind the answer to a JSON Schema: a `FILE` or {…}")
	f.BoolVar(&o.raw, "raw", false, "no chat template: continue the text")
	f.StringVar(&o.tokens, "tokens", "", "token ids instead of a prompt, as they are")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.BoolVar(&o.verbose, "verbose", false, "in a chat, print tokens and speed")
	f.StringVar(&o.promptCache, "prompt-cache", "", "begin with what `FILE` keeps, and keep the prompt")
	o.adapterFlag(cmd)
	o.flags(cmd)
	for _, name := range []string{"verbose", "hidethinking", "tokens"} { // a chat's own words: /set verbose; and what tests say
		_ = f.MarkHidden(name)
	}
	o.sampler.RepeatLast = 64
	return cmd
}

// joinThink lets the value of --think stand as a word of its own, which the flag's library knows for no flag that may
// stand alone.
func joinThink(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		out = append(out, args[i])
		if args[i] == "--think" && i+1 < len(args) && slices.Contains(chat.ThinkWords, args[i+1]) {
			i++
			out[len(out)-1] += "=" + args[i]
		}
	}
	return out
}

// check refuses options out of range before a model is loaded, and reads their values.
func (o *runOptions) check() error {
	if err := o.modelOptions.check(); err != nil {
		return err
	}
	if err := o.sampler.Check(); err != nil {
		return usageError{err}
	}
	o.sampler.SetTopP(o.sampler.TopP)
	if o.max < 0 {
		return usagef("-n is %d, want 0 or more", o.max)
	}
	if o.ctx < 1 || o.ctx > generate.MaxContext {
		return usagef("--ctx is %d, want 1 to %d", o.ctx, generate.MaxContext)
	}
	if o.schema != "" && len(o.stops) > 0 {
		return usagef("--schema and --stop exclude each other: a stop text could end the answer before it is valid")
	}
	if slices.Contains(o.stops, "") {
		return usagef("--stop is empty")
	}
	var err error
	if o.chat, err = chat.ParseThinking(o.think); err != nil {
		return usagef("--think is %w", err)
	}
	if o.tokens != "" {
		if o.ids, err = parseIDs(o.tokens); err == nil && len(o.ids) == 0 {
			err = usagef("--tokens holds no id")
		}
		if err != nil {
			return err
		}
	}
	o.bound, err = readSchema(o.schema)
	return err
}

func (o *runOptions) run(ctx context.Context, name string, words []string, in io.Reader, w, note io.Writer) error {
	if len(words) > 0 && o.tokens != "" {
		return usagef("PROMPT and --tokens exclude each other")
	}
	if err := o.check(); err != nil {
		return err
	}
	interactive := len(words) == 0 && o.tokens == "" && isTerminal(in)
	if interactive && (!isTerminal(w) || o.json || o.raw) {
		return withHint(usagef("the prompt is missing"), "retort run MODEL \"PROMPT\"; a chat needs a terminal and neither --json nor --raw")
	}
	prompt := ""
	if !interactive && o.tokens == "" {
		var err error
		if prompt, err = readPrompt(words, in); err != nil {
			return err
		}
	}
	if !o.seedChosen {
		o.sampler.Seed = rand.Uint64()
	}
	m, err := o.open(ctx, name, session.Options{Context: o.ctx, AtMost: !o.contextChosen})
	if err != nil {
		return err
	}
	defer m.close()
	if m.Limit() > m.Context {
		sayNote(note, "--ctx is %d, the model was made for %d tokens: beyond them its answers may make no sense", o.ctx, m.Context)
	}
	if o.promptCache != "" {
		if _, err := m.LoadPrompt(ctx, o.promptCache); err != nil {
			return withHint(err, "name another file to keep this prompt in, or delete that one")
		}
	}
	if interactive {
		return o.talk(ctx, m, name, in.(*os.File), w.(*os.File))
	}
	return o.runOnce(ctx, m, prompt, w, note)
}

// readPrompt returns what is asked: the words, the text on in, or both.
func readPrompt(words []string, in io.Reader) (string, error) {
	empty := withHint(usagef("the prompt is empty"), "retort run MODEL \"PROMPT\", or no prompt at a terminal to chat")
	asked := strings.Join(words, " ")
	if len(words) > 0 && strings.TrimSpace(asked) == "" {
		return "", empty // what was meant to stand there is missing
	}
	if len(words) > 0 && !isRedirected(in) {
		return asked, nil
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(string(b), "\n") // that of the last line, as a shell's $(…) takes it off
	switch blank := strings.TrimSpace(text) == ""; {
	case len(words) == 0 && blank:
		return "", empty
	case len(words) == 0:
		return text, nil
	case blank:
		return asked, nil
	}
	return asked + "\n\n" + text, nil
}

// isRedirected says whether in is a file or a pipe: not a terminal, and not /dev/null.
func isRedirected(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice == 0
}

// sayNote tells what went otherwise than may have been expected.
func sayNote(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "retort: note: %s\n", (&cleaner{}).clean(fmt.Sprintf(format, args...)))
}
