package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"retort/internal/app/hub"
)

func newList() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the models in the store", Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return list(asJSON, cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// list prints what is whole, and then fails if something is not.
func list(asJSON bool, w io.Writer) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	entries, damaged := store.List()
	if asJSON {
		if entries == nil {
			entries = []hub.Entry{}
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(entries); err != nil {
			return err
		}
		return damaged
	}
	if len(entries) == 0 && damaged == nil {
		_, err := fmt.Fprintf(w, "no models in %s; retort pull MODEL brings one\n", store.Home())
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSIZE\tPULLED\tSOURCE")
	for _, e := range entries {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", e.Name, byteText(e.Size), e.Date.Local().Format(time.DateOnly), clean(e.Source))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return damaged
}

// byteText writes a number of bytes as disks and hubs count them, in powers of 1000.
func byteText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.95 && unit < 4 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[unit])
}
