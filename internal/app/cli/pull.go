package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"retort/internal/app/hub"
)

type pullOptions struct {
	name, sha256 string
	replace      bool
	offline      bool
}

func newPull() *cobra.Command {
	o := &pullOptions{}
	cmd := &cobra.Command{
		Use: "pull MODEL", Short: "Bring a model into the store",
		Long: "Bring MODEL into the store: a file or folder is copied; a URL, hf:owner/repo[:file] or family:size is downloaded.\n" +
			"Of a GGUF in parts, NAME-00001-of-00003.gguf, any part brings all. What cannot be run is refused before its weights come.\n" +
			"A pull that breaks off goes on where it was when the same command runs again.",
		Example: "retort pull ./qwen2.5-coder-1.5b.gguf\nretort pull hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF:Q4_K_M --name coder\nretort pull qwen2.5-coder:1.5b",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.name, "name", "", "name in the store (default: made from the source)")
	cmd.Flags().StringVar(&o.sha256, "sha256", "", "hash that the single file must have")
	cmd.Flags().BoolVar(&o.offline, "offline", false, "ask no host; RETORT_OFFLINE=1 says the same for every command")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "take the place of a model of that name from another source")
	return cmd
}

func (o *pullOptions) run(ctx context.Context, model string, w, progress io.Writer) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	bar := newProgress(progress)
	bar.bytes = true
	defer bar.done()
	note := ""
	e, err := store.Pull(ctx, model, hub.PullOptions{Name: o.name, SHA256: o.sha256, Replace: o.replace, Offline: o.offline, Progress: func(p hub.Progress) {
		if p.Note != "" && p.Note != note {
			note = p.Note
			bar.say(note)
		}
		if p.File != "" {
			bar.set(p.Phase+" "+p.File, int(p.Done), int(p.Total), "")
		}
	}})
	if err != nil {
		return err
	}
	bar.done()
	_, err = fmt.Fprintf(w, "%s  %s  sha256 %.12s\n", e.Name, byteText(e.Size), e.SHA256)
	return err
}

// openStore opens the model store of this user.
func openStore() (*hub.Store, error) {
	home, err := hub.DefaultHome()
	if err != nil {
		return nil, err
	}
	return hub.Open(home)
}
