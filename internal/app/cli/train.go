package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"retort/internal/learn/distill"
)

type trainOptions struct {
	out     string
	threads int
}

func newTrain() *cobra.Command {
	o := &trainOptions{}
	cmd := &cobra.Command{
		Use: "train CONFIG", Short: "Train a small model from scratch",
		Long: "Train the model that CONFIG describes. The same command goes on where it was stopped; at the end DIR holds\nmodel.gguf, beside loss.jsonl and the checkpoint.",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "retort-train", "folder for checkpoints, loss.jsonl and model.gguf")
	threadsFlag(cmd, &o.threads)
	return cmd
}

func (o *trainOptions) run(ctx context.Context, config string, w, progress io.Writer) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	c, err := distill.ReadScratch(config)
	if err != nil {
		return withHint(err, "CONFIG is a YAML file such as models/ledger/base.yaml: model, data, train")
	}
	bar := newProgress(progress)
	defer bar.done()
	path, err := distill.TrainScratch(ctx, c, o.out, o.threads, func(p distill.ScratchProgress) {
		bar.set("train", p.Line.Step, p.Steps, fmt.Sprintf("loss %.4f", p.Line.Loss))
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, path)
	return err
}
