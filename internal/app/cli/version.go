package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/compute/cpu"
)

// Version is the release; the linker may set it.
var Version = "0.1.0-dev"

func newVersion() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version, the CPU and the kernels chosen for it", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return printVersion(cmd.OutOrStdout(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printVersion(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"version": Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
			"cpu": cpu.Name(), "features": cpu.Features(), "kernels": cpu.Kernels()})
	}
	_, err := fmt.Fprintf(w, "retort %s (%s, %s/%s)\ncpu      %s\nfeatures %s\nkernels  %s\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH,
		cpu.Name(), strings.Join(cpu.Features(), " "), strings.Join(cpu.Kernels(), " "))
	return err
}
