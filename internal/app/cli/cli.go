// Package cli is the command line: a file a command, each with its options, its flags and a run that parses,
// calls one package and prints. It decides nothing that another program could want to decide.
//
// Results go to standard output, progress and errors to standard error. Open this file first, then run.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"retort/internal/app/hub"
)

// Exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is an error of the one who typed: the command's right use is shown with it.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// hintError carries a line of advice beside the error.
type hintError struct {
	error
	hint string
}

func (e hintError) Unwrap() error { return e.error }

// withHint adds advice to err.
func withHint(err error, format string, args ...any) error {
	return hintError{err, fmt.Sprintf(format, args...)}
}

// usagef is a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run executes the command line args and returns the exit status.
func Run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills, should the first take too long
	root := newRoot()
	root.SetArgs(joinThink(args))
	var unwritten error // cobra knows no help that fails
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { unwritten = printHelp(cmd) })
	err := errors.Join(root.ExecuteContext(ctx), unwritten)
	if err != nil {
		printError(root.ErrOrStderr(), err)
	}
	return status(err)
}

// status returns the exit status for err.
func status(err error) int {
	var usage usageError
	var argument *hub.ArgumentError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled): // nothing but a signal cancels
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &argument):
		return exitUsage
	}
	return exitFailed
}

// printError prints err as "retort: error: …" and what helps below it.
func printError(w io.Writer, err error) {
	say := func(kind, text string) { // an error may quote files and servers
		fmt.Fprintf(w, "retort: %s\n", (&cleaner{}).clean(kind+text))
	}
	if errors.Is(err, context.Canceled) {
		say("interrupted", "")
	} else {
		say("error: ", err.Error())
	}
	var hint hintError
	var hubError *hub.Error
	switch {
	case errors.As(err, &hint):
		say("hint: ", hint.hint)
	case errors.As(err, &hubError) && hubError.Hint() != "":
		say("hint: ", hubError.Hint())
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:     "retort COMMAND",
		Short:   "Run, distil, examine and serve language models on an ordinary CPU",
		Long:    "Retort runs language models on an ordinary CPU, distils a big one into a small one that does one job, and proves how good the small one is.",
		Example: "retort demo\nretort pull qwen2.5-coder:1.5b\nretort run qwen2.5-coder:1.5b \"Why is the sky blue?\"",
		Args:    arguments(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(commands()...)
	root.Version = Version
	root.Flags().Bool("version", false, "print the version")
	root.SetVersionTemplate("retort {{.Version}}\n")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	cobra.EnableCommandSorting = false // the order is a newcomer's
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(usageError{err}, "usage: %s (%s --help)", cmd.UseLine(), cmd.CommandPath())
	})
	markUsage(root)
	for _, c := range root.Commands() {
		c.Flags().SortFlags = false // the order of their file: the most used first
	}
	return root
}

// commands lists every command in the order in which a newcomer meets them.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newDemo(), newRun(), newPull(), newList(), newShow(), newRemove(),
		newDistill(), newReport(), newTrain(), newEval(),
		newQuantize(), newConvert(), newTokenize(), newBench(), newVersion(),
	}
}

// markUsage makes complaints about arguments usage errors, and shows the right use with each.
func markUsage(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			var hint hintError
			if status(err) == exitUsage && !errors.As(err, &hint) {
				return withHint(err, "usage: %s (%s --help)", cmd.UseLine(), cmd.CommandPath())
			}
			return err
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err != nil && cmd.Parent() == nil {
				return withHint(usagef("no command %q", args[0]), "retort --help lists the commands")
			}
			if err != nil {
				return withHint(usageError{err}, "usage: %s", cmd.UseLine())
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		markUsage(c)
	}
}

// anyNumber is no bound for arguments.
const anyNumber = math.MaxInt

// arguments demands from least to most of them.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch names := strings.Fields(cmd.Use)[1:]; {
		case len(args) < least:
			return fmt.Errorf("%s is missing", strings.TrimRight(names[len(args)], "…"))
		case len(args) > most:
			return fmt.Errorf("%q is one argument too many", args[most])
		}
		return nil
	}
}

// threadsFlag adds -t/--threads.
func threadsFlag(cmd *cobra.Command, threads *int) {
	cmd.Flags().IntVarP(threads, "threads", "t", runtime.NumCPU(), "worker threads")
}

const maxThreads = 1024

func checkThreads(n int) error {
	if n < 1 || n > maxThreads {
		return usagef("--threads is %d, want 1 to %d", n, maxThreads)
	}
	return nil
}
