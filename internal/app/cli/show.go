package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"retort/internal/app/hub"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
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
	Path         string        `json:"path"`
	Name         string        `json:"name,omitempty"` // as the file calls it
	Architecture string        `json:"architecture"`
	Parameters   int64         `json:"parameters"`
	Size         int64         `json:"size"`    // bytes of tensors
	Tensors      []typeShare   `json:"tensors"` // by stored type, the most bytes first
	Context      int           `json:"context_length,omitempty"`
	Width        int           `json:"embedding_length,omitempty"`
	Layers       int           `json:"block_count,omitempty"`
	Heads        int           `json:"head_count,omitempty"`
	KVHeads      int           `json:"head_count_kv,omitempty"`
	Tokenizer    string        `json:"tokenizer,omitempty"`
	Vocabulary   int           `json:"vocabulary,omitempty"`
	Template     *templateInfo `json:"chat_template"` // null where there is none
	License      string        `json:"license,omitempty"`
	Source       string        `json:"source,omitempty"` // these two are known of models in the store
	Files        []hub.File    `json:"files,omitempty"`
	template     string
	shares       map[string]int // index into Tensors
}

// typeShare is how much of a model is stored in one way.
type typeShare struct {
	Type       string `json:"type"`
	Count      int    `json:"count"`
	Parameters int64  `json:"parameters"`
	Size       int64  `json:"size"`
}

type templateInfo struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func (o *showOptions) run(ctx context.Context, name string, w io.Writer) error {
	path, err := resolve(name)
	if err != nil {
		return err
	}
	info, err := describe(path)
	if err != nil {
		return err
	}
	if o.template {
		_, err := io.WriteString(w, info.template)
		return err
	}
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

// describe reads the headers of the model at path.
func describe(path string) (*modelInfo, error) {
	info := &modelInfo{Path: path, shares: map[string]int{}}
	read := info.readGGUF
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		read = info.readFolder
	}
	if err := read(path); err != nil {
		return nil, err
	}
	sort.SliceStable(info.Tensors, func(i, j int) bool { return info.Tensors[i].Size > info.Tensors[j].Size })
	if info.template != "" {
		sum := sha256.Sum256([]byte(info.template))
		info.Template = &templateInfo{len(info.template), hex.EncodeToString(sum[:])}
	}
	return info, nil
}

func (m *modelInfo) readGGUF(path string) error {
	f, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range f.Tensors {
		t := &f.Tensors[i]
		m.add(t.Type.String(), int64(t.Elements()), t.Size)
	}
	// A key that is missing or of another type is not shown; show must work on files that will not run.
	text := func(key string) string { s, _ := f.StringOr(key, ""); return strings.Clone(s) }
	number := func(key string) int { n, _ := f.IntOr(m.Architecture+"."+key, 0); return n }
	m.Architecture = text("general.architecture")
	m.Name, m.License, m.template = text("general.name"), text("general.license"), text("tokenizer.chat_template")
	m.Context, m.Width, m.Layers = number("context_length"), number("embedding_length"), number("block_count")
	m.Heads, m.KVHeads = number("attention.head_count"), number("attention.head_count_kv")
	m.Tokenizer = strings.TrimSuffix(text("tokenizer.ggml.model")+" "+text("tokenizer.ggml.pre"), " ")
	if v, ok := f.Value("tokenizer.ggml.tokens"); ok {
		m.Vocabulary = v.Len()
	}
	return nil
}

// maxConfig bounds the JSON files of a folder that are read whole; the largest config.json in use have some 100 KB.
const maxConfig = 4 << 20

func (m *modelInfo) readFolder(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range f.Tensors {
		t := &f.Tensors[i]
		m.add(string(t.DType), int64(t.Elements()), t.Size)
	}
	var config struct {
		Arch    string `json:"model_type"`
		Context int    `json:"max_position_embeddings"`
		Width   int    `json:"hidden_size"`
		Layers  int    `json:"num_hidden_layers"`
		Heads   int    `json:"num_attention_heads"`
		KVHeads int    `json:"num_key_value_heads"`
		Vocab   int    `json:"vocab_size"`
	}
	b, err := readBounded(filepath.Join(path, "config.json"), maxConfig)
	if err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		return fmt.Errorf("%s: config.json: %w", path, err)
	}
	m.Architecture, m.Context, m.Width, m.Layers = config.Arch, config.Context, config.Width, config.Layers
	m.Heads, m.KVHeads, m.Vocabulary = config.Heads, config.KVHeads, config.Vocab
	if _, err := os.Stat(filepath.Join(path, "tokenizer.json")); err == nil {
		m.Tokenizer = "tokenizer.json"
	}
	m.template, err = folderTemplate(path)
	return err
}

func (m *modelInfo) add(typ string, params, size int64) {
	i, ok := m.shares[typ]
	if !ok {
		i = len(m.Tensors)
		m.shares[typ] = i
		m.Tensors = append(m.Tensors, typeShare{Type: typ})
	}
	s := &m.Tensors[i]
	s.Count, s.Parameters, s.Size = s.Count+1, s.Parameters+params, s.Size+size
	m.Parameters, m.Size = m.Parameters+params, m.Size+size
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

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%d bytes, want a file of at most %d", info.Size(), limit)}
	}
	return os.ReadFile(path)
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
