package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newRemove() *cobra.Command {
	return &cobra.Command{
		Use: "rm MODEL…", Short: "Delete models from the store", Args: arguments(1, anyNumber),
		RunE: func(cmd *cobra.Command, args []string) error { return remove(args, cmd.OutOrStdout()) },
	}
}

// remove deletes one model after another and stops at the first that fails.
func remove(names []string, w io.Writer) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := store.Remove(name); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "deleted %s\n", name); err != nil {
			return err
		}
	}
	return nil
}
