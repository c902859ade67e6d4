package cli

import (
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
)

type runOptions struct {
	max, ctx, threads         int
	sampler                   generate.SamplerOptions
	cacheType, schemaFile     string
	system, tokens, think     string
	stops                     []string
	raw, json                 bool
	hideThinking, verbose     bool
	thinking                  chat.Options
	seedChosen, contextChosen bool // on the command line
}

func newRun() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use: "run MODEL [PROMPT]", Short: "Chat with a model, or answer one prompt",
		Long:    "Answer PROMPT, or chat in the terminal without one. Away from a terminal the answer alone is printed, and the prompt may come from standard input.",
		Example: "retort run smollm2-135m \"Name three fruits.\"",
		Args:    arguments(1, anyNumber),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.seedChosen, o.contextChosen = cmd.Flags().Changed("seed"), cmd.Flags().Changed("ctx")
			return o.run(cmd.Context(), args[0], args[1:], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVarP(&o.max, "max-tokens", "n", 0, "tokens at most; 0 until the model ends")
	f.Float64Var(&o.sampler.Temperature, "temp", 0.7, "temperature; 0 is greedy")
	f.Uint64Var(&o.sampler.Seed, "seed", 0, "seed of the sampler; else chosen anew")
	f.IntVar(&o.sampler.TopK, "top-k", 40, "keep the k likeliest tokens; 0 keeps all")
	f.Float64Var(&o.sampler.TopP, "top-p", 0.95, "keep the likeliest that reach p")
	f.Float64Var(&o.sampler.MinP, "min-p", 0.05, "drop below this share of the best")
	f.Float64Var(&o.sampler.RepeatPenalty, "repeat-penalty", 1, "against repetition; 1 is off")
	f.IntVar(&o.ctx, "ctx", 4096, "context in tokens")
	cacheFlag(cmd, &o.cacheType)
	f.StringVar(&o.system, "system", "", "system message")
	f.StringVar(&o.think, "think", "", "thinking: on, off, low, medium, high")
	f.Lookup("think").NoOptDefVal = "on"
	f.BoolVar(&o.hideThinking, "hidethinking", false, "do not show the thinking's text")
	f.StringArrayVar(&o.stops, "stop", nil, "end before this text; may be repeated")
	f.StringVar(&o.schemaFile, "schema", "", "bind the answer to this JSON Schema")
	f.BoolVar(&o.raw, "raw", false, "no chat template: continue the text")
	f.StringVar(&o.tokens, "tokens", "", "token ids instead of a prompt, as they are")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.BoolVar(&o.verbose, "verbose", false, "in a chat, print tokens and speed")
	threadsFlag(cmd, &o.threads)
	_ = f.MarkHidden("verbose") // a chat's own word: /set verbose
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
	if o.schemaFile != "" && len(o.stops) > 0 {
		return usagef("--schema and --stop exclude each other: a stop text could end the answer before it is valid")
	}
	for _, stop := range o.stops {
		if stop == "" {
			return usagef("--stop is empty")
		}
	}
	var err error
	if o.thinking, err = parseThink(o.think); err != nil {
		return err
	}
	return checkCacheType(o.cacheType)
}

// parseThink reads the value of --think.
func parseThink(value string) (chat.Options, error) {
	switch value {
	case "":
		return chat.Options{}, nil
	case "on", "true":
		return chat.Options{Thinking: chat.ThinkOn}, nil
	case "off", "false":
		return chat.Options{Thinking: chat.ThinkOff}, nil
	case "low", "medium", "high":
		return chat.Options{Thinking: chat.ThinkOn, Effort: value}, nil
	}
	return chat.Options{}, usagef("--think is %q, want on, off, low, medium or high", value)
}

func (o *runOptions) run(ctx context.Context, name string, words []string, in io.Reader, w io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	given := len(words) > 0 || o.tokens != ""
	if len(words) > 0 && o.tokens != "" {
		return usagef("PROMPT and --tokens exclude each other")
	}
	prompt := strings.Join(words, " ")
	interactive := !given && isTerminal(in)
	switch {
	case interactive && (!isTerminal(w) || o.json || o.raw || o.schemaFile != ""):
		return withHint(usagef("the prompt is missing"), "retort run MODEL \"PROMPT\"; a chat needs a terminal and neither --json, --raw nor --schema")
	case !interactive && !given:
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		prompt = strings.TrimSuffix(string(b), "\n") // that of the last line, as a shell's $(…) takes it off
	}
	if !interactive && o.tokens == "" && strings.TrimSpace(prompt) == "" {
		return withHint(usagef("the prompt is empty"), "retort run MODEL \"PROMPT\", or no prompt at a terminal to chat")
	}
	if !o.seedChosen {
		o.sampler.Seed = rand.Uint64()
	}
	l, err := load(name, o.threads, o.cacheType, o.ctx, o.contextChosen)
	if err != nil {
		return err
	}
	defer l.close()
	o.ctx = l.engine.Context()
	if interactive {
		return o.chat(ctx, l, name, in.(*os.File), w.(*os.File))
	}
	return o.runOnce(ctx, l, prompt, w)
}
