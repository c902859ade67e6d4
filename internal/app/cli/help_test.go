package cli

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
)

// The help of every command fits a terminal of 80 columns and 24 rows.
func TestHelpFits(t *testing.T) {
	root := newRoot()
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		var b strings.Builder
		cmd.SetOut(&b)
		if err := printHelp(cmd); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) > 24 {
			t.Errorf("%s: %d lines, want 24 at most:\n%s", cmd.CommandPath(), len(lines), b.String())
		}
		for _, line := range lines {
			if n := ansi.StringWidth(line); n > helpWidth {
				t.Errorf("%s: %d columns, want %d at most: %s", cmd.CommandPath(), n, helpWidth, line)
			}
		}
	}
}
