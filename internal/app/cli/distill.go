package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"retort/internal/format/gguf"
	"retort/internal/learn/cost"
	"retort/internal/learn/distill"
)

type distillOptions struct {
	distill.Options
	teacher, adapter, student, budget string
}

func newDistill() *cobra.Command {
	o := &distillOptions{}
	cmd := &cobra.Command{
		Use: "distill RECIPE", Short: "Make a small model that does one job, and prove how good it is",
		Long: "Let the teacher answer, verify its answers, train the student on them, examine both, and write report.html.\nRECIPE is a folder or the name of a built-in recipe. Teacher and student are GGUF files, any part of one in parts, folders\n" +
			"with config.json and safetensors, or names of models; what comes out is student.gguf. The same command goes on where it was stopped.",
		Example: "retort distill receipts --teacher qwen2.5-coder-1.5b --student smollm2-135m --data DIR --out run",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.teacher, "teacher", "", "the model that is learned from")
	f.StringVar(&o.adapter, "teacher-adapter", "", "let the teacher answer with the PEFT adapter in `DIR`")
	f.StringVar(&o.student, "student", "", "the model that learns")
	f.StringVar(&o.Data, "data", "", "folder of the data, instead of the recipe's")
	f.StringVar(&o.Out, "out", "retort-distill", "folder of the run")
	f.StringVar(&o.budget, "budget", "", "for teaching and training, over the folder's life: 45m, 2h or 2usd; the exam is sat in any case")
	f.Uint64Var(&o.Seed, "seed", 0, "seed of every random choice")
	f.IntVar(&o.Train, "train-items", 0, "items of the train pool at most")
	f.IntVar(&o.Exam, "exam-items", 0, "items of the exam at most")
	threadsFlag(cmd, &o.Threads)
	return cmd
}

func (o *distillOptions) run(ctx context.Context, recipe string, w, progress io.Writer) error {
	if err := checkThreads(o.Threads); err != nil {
		return err
	}
	if o.Train < 0 || o.Exam < 0 {
		return usagef("--train-items is %d and --exam-items %d, want 0 or more; 0 is all", o.Train, o.Exam)
	}
	var err error
	if o.Budget, err = parseBudget(o.budget); err != nil {
		return err
	}
	if o.teacher == "" || o.student == "" {
		return withHint(usagef("--teacher and --student are needed"), "retort demo shows the whole story with models of its own")
	}
	if o.Teacher, err = findSource(o.teacher); err != nil {
		return err
	}
	o.Teacher.Adapter = o.adapter
	if o.Student, err = findSource(o.student); err != nil {
		return err
	}
	o.Recipe = recipe
	return runDistill(ctx, o.Options, w, progress)
}

// findSource finds a model by its name or path.
func findSource(name string) (distill.Source, error) {
	path, err := resolve(name)
	return distill.Source{Path: path, Name: baseName(name)}, err
}

// runDistill runs the pipeline with a progress display and prints what came out.
func runDistill(ctx context.Context, o distill.Options, w, out io.Writer) error {
	bar := newProgress(out)
	o.Version, o.Command = Version, os.Args
	o.Progress = func(p distill.Progress) { bar.set(p.Phase, p.Done, p.Total, p.Note) }
	res, err := distill.Run(ctx, o)
	bar.done()
	if err != nil {
		if ctx.Err() != nil {
			return withHint(err, "the same command goes on")
		}
		return err
	}
	return printResult(w, res)
}

// printResult prints the verdict, the table of the exam and where the report lies.
func printResult(w io.Writer, res *distill.Result) error {
	rep := res.Report
	fmt.Fprintf(w, "\n%s\n%s\n\n", rep.Verdict.Headline, strings.Join(rep.Verdict.Says, "\n"))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "role\tmodel\tall fields exact\tloose\tms an item")
	for _, r := range rep.Roles {
		fmt.Fprintf(t, "%s\t%s\t%.1f %%\t%.1f %%\t%.1f\n", r.Role, r.Model.Name, 100*r.Exact.Share, 100*r.Loose.Share, r.MeanMS)
	}
	t.Flush()
	fmt.Fprintln(w)
	if res.Stopped != "" {
		fmt.Fprintf(w, "not complete: %s\n", res.Stopped)
	}
	_, err := fmt.Fprintf(w, "report: %s/report.html\n", strings.TrimSuffix(res.Dir, "/"))
	return err
}

// Bounds of a budget; none at all is no bound.
const (
	minBudget = time.Second
	maxBudget = 10 * 365 * 24 * time.Hour
)

// parseBudget reads 45m, 1h30m or 2usd; money is time on the machine of the price table.
func parseBudget(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if amount, ok := strings.CutSuffix(strings.ToLower(s), "usd"); ok {
		var usd float64
		usd, err = strconv.ParseFloat(strings.TrimSpace(amount), 64)
		d = time.Duration(min(usd/cost.Default().Machine.Hour*float64(time.Hour), 2*float64(maxBudget)))
	}
	if err != nil {
		return 0, withHint(usagef("--budget %q is no duration and no amount", s), "45m, 1h30m or 2usd")
	}
	if d < minBudget || d > maxBudget {
		return 0, usagef("--budget is %q, want %v to %v of this machine", s, minBudget, maxBudget)
	}
	return d, nil
}

// baseName is the last part of a model's name or path, without what says that it is a file, or a part of one.
func baseName(name string) string {
	if abs, err := filepath.Abs(name); err == nil && filepath.Base(name) != filepath.Base(abs) {
		name = abs // "." or ".."
	}
	name = strings.TrimRight(name, `/\`)
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if _, ok := gguf.Parts(name); ok {
		name = name[:len(name)-len("-00001-of-00001.gguf")]
	}
	return strings.TrimSuffix(name, ".gguf")
}
