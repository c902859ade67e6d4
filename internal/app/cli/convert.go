package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/format/weights"
	"retort/internal/lm/convert"
)

type convertOptions struct {
	mixture string
	adapter string
	threads int
}

func newConvert() *cobra.Command {
	o := &convertOptions{}
	cmd := &cobra.Command{
		Use: "convert SRC DST", Short: "Turn GGUF into safetensors, and back",
		Long: "Write the model SRC in the form of DST's name: a name that ends in .gguf is a GGUF file, every other one a folder with config.json, safetensors and tokenizer.json, " +
			"in which quantized tensors are decoded. Without --type a GGUF file keeps the types of SRC; a folder has one for all its tensors, norms too: " +
			"f32 or f16 where most of SRC is stored so, else bf16.",
		Example: "retort convert ./Qwen2.5-0.5B qwen.gguf --type q8_0\nretort convert student.gguf ./student\nretort convert base.gguf merged.gguf --adapter ./adapter",
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.mixture, "type", "", "how to store the matrices; in a folder f32, f16 or bf16, of all tensors")
	cmd.Flags().StringVar(&o.adapter, "adapter", "", "a PEFT adapter's folder, merged into the matrices")
	threadsFlag(cmd, &o.threads)
	return cmd
}

func (o *convertOptions) run(ctx context.Context, name, dst string, w, progress io.Writer) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	var mix weights.Mixture
	if o.mixture != "" {
		var err error
		if mix, err = findMixture(o.mixture); err != nil {
			return err
		}
	}
	write := convert.ToGGUF
	if toFolder := !strings.HasSuffix(dst, ".gguf"); toFolder {
		if mix.Name != "" && mix.Name != "f32" && mix.Name != "f16" && mix.Name != "bf16" {
			return usagef("--type is %q, want f32, f16 or bf16 in a folder", o.mixture)
		}
		write, dst = convert.ToFolder, filepath.Clean(dst)
	}
	src, err := resolve(name)
	if err != nil {
		return err
	}
	return rewrite(ctx, write, src, dst, convert.Options{Mixture: mix, Adapter: o.adapter}, o.threads, w, progress)
}
