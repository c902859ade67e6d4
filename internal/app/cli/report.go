package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"retort/internal/learn/distill"
	"retort/internal/learn/report"
)

func newReport() *cobra.Command {
	return &cobra.Command{
		Use: "report DIR", Short: "Make a run's report again, from its predictions and manifest alone", Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := filepath.Clean(args[0])
			rep, err := report.Build(dir)
			if err != nil {
				return withHint(err, "DIR is a folder that retort distill left: it holds %s and %s", report.PredictionsFile, report.ManifestFile)
			}
			return printResult(cmd.OutOrStdout(), &distill.Result{Dir: dir, Stopped: rep.Manifest.Stopped, Report: rep})
		},
	}
}
