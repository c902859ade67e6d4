package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/weights"
	"retort/internal/lm/convert"
	"retort/internal/lm/session"
)

type quantizeOptions struct {
	mixture string
	threads int
}

func newQuantize() *cobra.Command {
	o := &quantizeOptions{}
	cmd := &cobra.Command{
		Use: "quantize SRC DST.gguf --type TYPE", Short: "Store a model in fewer bits",
		Long: "Write the model SRC as DST with its matrices stored as TYPE: q8_0, q6_k, q5_k_m, q4_k_m, q4_0, f16, bf16, f32 and\n" +
			"others. The types are mixed as llama.cpp does. SRC is best stored in 16 bits or more.",
		Example: "retort quantize student-f16.gguf student-q4_k_m.gguf --type q4_k_m",
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.mixture, "type", "", "how to store the matrices")
	threadsFlag(cmd, &o.threads)
	return cmd
}

func (o *quantizeOptions) run(ctx context.Context, name, dst string, w, progress io.Writer) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	if o.mixture == "" {
		return usagef("--type is missing")
	}
	mix, err := findMixture(o.mixture)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(dst, ".gguf") {
		return usagef("DST is %q, want a name that ends in .gguf", dst)
	}
	src, err := resolve(name)
	if err != nil {
		return err
	}
	return rewrite(ctx, convert.ToGGUF, src, dst, convert.Options{Mixture: mix}, o.threads, w, progress)
}

// findMixture finds the mixture that --type names.
func findMixture(name string) (weights.Mixture, error) {
	m, ok := weights.FindMixture(name)
	if t, err := quant.ParseType(name); !ok && err == nil && !t.CanEncode() {
		return m, withHint(usagef("--type is %q: %v is read and not written", name, t), "llama.cpp writes it, most of its kind with an importance matrix; here it is one of %s", strings.Join(weights.MixtureNames(), ", "))
	}
	if !ok {
		return m, usagef("--type is %q, want one of %s", name, strings.Join(weights.MixtureNames(), ", "))
	}
	return m, nil
}

// rewrite writes the model src to dst by write, with progress and notes, and compares the two.
func rewrite(ctx context.Context, write func(context.Context, string, string, convert.Options) error, src, dst string, o convert.Options, threads int, w, progress io.Writer) error {
	pool := par.New(threads)
	defer pool.Close()
	bar := newProgress(progress)
	bar.bytes = true
	defer bar.done()
	o.Pool = pool
	o.Progress = func(done, total int64, name string) { bar.set("write", int(done), int(total), name) }
	o.Twice = func(bytes int64) {
		bar.say(fmt.Sprintf("note: %s of the source are quantized already; rounding twice costs quality", byteText(bytes)))
	}
	o.Note = func(text string) { bar.say("note: " + text) }
	err := write(ctx, src, dst, o)
	if errors.Is(err, convert.ErrSame) {
		return usagef("DST %s is SRC itself", dst)
	}
	if err != nil {
		return err
	}
	bar.done()
	return summarize(w, src, dst)
}

// summarize compares two files.
func summarize(w io.Writer, paths ...string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, path := range paths {
		info, err := session.Describe(path)
		if err != nil {
			return err
		}
		var types []string
		for _, s := range info.Tensors {
			types = append(types, fmt.Sprintf("%d %s", s.Count, s.Type))
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f bits a weight\t%s\n", path, byteText(info.Size), 8*float64(info.Size)/float64(max(info.Parameters, 1)), strings.Join(types, ", "))
	}
	return t.Flush()
}
