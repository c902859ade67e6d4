package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"retort/internal/app/hub"
	"retort/internal/lm/session"
)

type showOptions struct{ json, hash, template bool }

func newShow() *cobra.Command {
	o := &showOptions{}
	cmd := &cobra.Command{
		Use: "show MODEL", Short: "Show what a model is",
		Long: "Show the architecture, size, quantization, context, template, tokenizer, licence and hashes of MODEL. Of a model\n" +
			"outside the store the hash is computed only with --hash.",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], cmd.OutOrStdout()) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print one JSON object")
	cmd.Flags().BoolVar(&o.hash, "hash", false, "read the files for their SHA-256; in the store, check it")
	cmd.Flags().BoolVar(&o.template, "template", false, "print the chat template and nothing else")
	return cmd
}

// modelInfo is what show tells.
type modelInfo struct {
	session.Info
	Source string     `json:"source,omitempty"` // these two are known of models in the store
	Files  []hub.File `json:"files,omitempty"`
}

func (o *showOptions) run(ctx context.Context, name string, w io.Writer) error {
	path, err := resolve(name)
	if err != nil {
		return err
	}
	found, err := session.Describe(path)
	if err != nil {
		return err
	}
	if o.template {
		if found.Template == nil {
			return nil
		}
		_, err := io.WriteString(w, found.Template.Text)
		return err
	}
	info := &modelInfo{Info: found}
	if err := o.hashes(ctx, name, path, info); err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(info)
	}
	return info.print(w)
}

// hashes adds what the store knows of the files, and with --hash what reading them gives.
func (o *showOptions) hashes(ctx context.Context, name, path string, info *modelInfo) error {
	store, err := openStore()
	if err != nil {
		return err
	}
	entries, _ := store.List() // a damaged neighbour is not this model's matter
	for _, e := range entries {
		if e.Path == path {
			info.Source, info.Files = e.Source, e.Files
			if o.hash {
				return store.Verify(ctx, e.Name, nil)
			}
			return nil
		}
	}
	if !o.hash {
		return nil
	}
	paths := []string{path}
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		if paths, err = filepath.Glob(filepath.Join(path, "*.safetensors")); err != nil {
			return err
		}
	}
	for _, p := range paths {
		f, err := hashFile(ctx, p)
		if err != nil {
			return err
		}
		info.Files = append(info.Files, f)
	}
	return nil
}

func hashFile(ctx context.Context, path string) (hub.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return hub.File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, &contextReader{ctx, f})
	return hub.File{Name: filepath.Base(path), Size: n, SHA256: hex.EncodeToString(h.Sum(nil))}, err
}

// contextReader ends with the error of its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

func (m *modelInfo) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value = clean(value); value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	row("path", m.Path)
	row("name", m.Name)
	row("architecture", m.Architecture)
	row("parameters", fmt.Sprintf("%s (%d)", countText(m.Parameters), m.Parameters))
	row("size", byteText(m.Size))
	for i, s := range m.Tensors {
		name := ""
		if i == 0 {
			name = "stored as"
		}
		fmt.Fprintf(t, "%s\t%s: %d tensors, %s, %.1f %%\n", name, s.Type, s.Count, byteText(s.Size), 100*float64(s.Size)/float64(max(m.Size, 1)))
	}
	row("context", number(m.Context))
	row("width", number(m.Width))
	row("layers", number(m.Layers))
	if m.Heads > 0 {
		row("heads", fmt.Sprintf("%d, %d for keys and values", m.Heads, m.KVHeads))
	}
	row("tokenizer", m.Tokenizer)
	row("vocabulary", number(m.Vocabulary))
	if m.Template != nil {
		row("chat template", fmt.Sprintf("%d bytes, sha256 %.12s", m.Template.Bytes, m.Template.SHA256))
	} else {
		row("chat template", "none")
	}
	row("licence", m.License)
	row("source", m.Source)
	for _, f := range m.Files {
		row("sha256", f.SHA256+"  "+f.Name)
	}
	return t.Flush()
}

// countText writes a number of parameters as people say it.
func countText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f K", float64(n)/1e3)
}
