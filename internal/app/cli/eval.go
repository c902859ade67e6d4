package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"retort/internal/learn/eval"
	"retort/internal/lm/session"
)

type evalOptions struct {
	modelOptions
	perplexity       string
	data, split, out string
	limit, ctx       int
	json             bool
}

func newEval() *cobra.Command {
	o := &evalOptions{}
	cmd := &cobra.Command{
		Use: "eval MODEL [RECIPE]", Short: "Examine a model",
		Long: "Let MODEL, a GGUF file, a folder or a name, sit the exam of RECIPE, a folder or a built-in one; what distill trained gets the prompt that it learned.\n" +
			"Or measure how well MODEL foresees the text in FILE. The whole text is tokenized once as raw text, without BOS, and\n" +
			"cut into chunks of --ctx tokens without overlap; each is scored from its second token.",
		Example: "retort eval student.gguf ledger --split val --json\nretort eval smollm2-135m --perplexity book.txt --json",
		Args:    arguments(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd.Flags(), len(args) == 2); err != nil {
				return err
			}
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.perplexity, "perplexity", "", "the text to foresee")
	f.StringVar(&o.split, "split", "val", "items of the recipe: dev or val")
	f.IntVar(&o.limit, "limit", 0, "items at most; 0 is all")
	f.StringVar(&o.data, "data", "", "folder of the data, instead of the recipe's")
	f.StringVar(&o.out, "out", "", "folder of predictions.jsonl; none is made twice")
	f.IntVar(&o.ctx, "ctx", 2048, "tokens of a chunk")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	o.adapterFlag(cmd)
	o.flags(cmd)
	return cmd
}

// check refuses options that are out of range or that the exam, or else the perplexity, would ignore.
func (o *evalOptions) check(flags *pflag.FlagSet, exam bool) error {
	if err := o.modelOptions.check(); err != nil {
		return err
	}
	switch {
	case exam && o.perplexity != "":
		return usagef("RECIPE and --perplexity exclude each other")
	case exam && (o.split != "dev" && o.split != "val" || o.limit < 0):
		return usagef("--split is %q and --limit %d, want dev or val, and 0 or more", o.split, o.limit)
	case exam:
		return checkIdle(flags, "RECIPE", "ctx", "cache-type")
	case o.perplexity == "":
		return usagef("what to examine is missing: RECIPE or --perplexity FILE")
	case o.ctx < 2:
		return usagef("--ctx is %d, want 2 at least", o.ctx)
	}
	return checkIdle(flags, "--perplexity", "split", "limit", "data", "out")
}

// checkIdle refuses flags that say nothing about what was asked for.
func checkIdle(flags *pflag.FlagSet, asked string, names ...string) error {
	for _, name := range names {
		if f := flags.Lookup(name); f.Changed {
			return usagef("--%s is %q, want none with %s", name, f.Value, asked)
		}
	}
	return nil
}

func (o *evalOptions) run(ctx context.Context, args []string, w, progress io.Writer) error {
	if len(args) == 2 {
		return o.runExam(ctx, args[0], args[1], w, progress)
	}
	return o.runPerplexity(ctx, args[0], w, progress)
}

func (o *evalOptions) runPerplexity(ctx context.Context, name string, w, progress io.Writer) error {
	text, err := os.ReadFile(o.perplexity)
	if err != nil {
		return err
	}
	m, err := o.open(ctx, name, session.Options{})
	if err != nil {
		return err
	}
	defer m.close()
	ids := m.Encode(string(text))
	if len(ids) < 2 {
		return fmt.Errorf("%s has %d tokens, want 2 at least", o.perplexity, len(ids))
	}
	bar := newProgress(progress)
	defer bar.done()
	p, err := eval.MeasurePerplexity(ctx, m.Engine(), ids, o.ctx, func(done, total int) { bar.set("score", done, total, "") })
	if err != nil {
		return err
	}
	bar.done()
	if o.json {
		return json.NewEncoder(w).Encode(p)
	}
	_, err = fmt.Fprintf(w, "perplexity %.4f  (nll %.6f, %d tokens)\n", p.PPL, p.NLL, p.Tokens)
	return err
}
