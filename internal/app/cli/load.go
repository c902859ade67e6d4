package cli

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"retort/internal/compute/op"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/session"
)

// resolve turns what the user called MODEL into a path.
func resolve(name string) (string, error) {
	store, err := openStore()
	if err != nil {
		return "", err
	}
	return store.Resolve(name)
}

// modelOptions are those of a command that computes with one model.
type modelOptions struct {
	threads int
	cache   string // how keys and values are kept
	adapter string // folder of a PEFT adapter
}

// flags adds -t/--threads and --cache-type.
func (o *modelOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.cache, "cache-type", op.CacheBF16.String(), "keep keys and values as `TYPE`: bf16, f32, q8_0")
	threadsFlag(cmd, &o.threads)
}

// adapterFlag adds --adapter.
func (o *modelOptions) adapterFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.adapter, "adapter", "", "answer with the PEFT adapter in `DIR`")
}

// check refuses options out of range before a model is loaded.
func (o *modelOptions) check() error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	if _, err := op.ParseCacheType(o.cache); err != nil {
		return usagef("--cache-type is %q, want bf16, f32 or q8_0", o.cache)
	}
	return nil
}

// opened is a model on a host of its own.
type opened struct {
	*session.Model
	host *session.Host
}

// open opens MODEL.
func (o *modelOptions) open(ctx context.Context, name string, so session.Options) (*opened, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	so.Cache, so.Adapter = o.cache, o.adapter
	h := session.NewHost(o.threads)
	m, err := h.Open(ctx, path, so)
	if err != nil {
		h.Close()
		return nil, err
	}
	return &opened{m, h}, nil
}

func (m *opened) close() { m.host.Close() }

// readTokenizer opens the vocabulary of MODEL, which may also be a tokenizer.json or a folder with nothing else.
func readTokenizer(name string) (*tokenizer.Tokenizer, error) {
	path := name
	if info, err := os.Stat(name); filepath.Base(name) != tokenizer.FileName && (err != nil || !info.IsDir()) {
		if path, err = resolve(name); err != nil {
			return nil, err
		}
	}
	files, err := tokenizer.Open(path)
	if err != nil {
		return nil, err
	}
	return files.Tokenizer, nil
}
