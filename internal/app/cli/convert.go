package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

type convertOptions struct {
	mixture string
	threads int
}

func newConvert() *cobra.Command {
	o := &convertOptions{}
	cmd := &cobra.Command{
		Use: "convert SRC DST", Short: "Turn GGUF into safetensors, and back",
		Long: "Write the model SRC in the form of DST's name: a name that ends in .gguf is a GGUF file, every other one a folder with config.json, safetensors and tokenizer.json, " +
			"in which quantized tensors are decoded. Without --type a GGUF file keeps the types of SRC; a folder has one for all its tensors, norms too: " +
			"f32 or f16 where most of SRC is stored so, else bf16.",
		Example: "retort convert ./Qwen2.5-0.5B qwen.gguf --type q8_0\nretort convert student.gguf ./student",
		Args:    arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&o.mixture, "type", "", "how to store the matrices; in a folder f32, f16 or bf16, of all tensors")
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
	if toFolder := !strings.HasSuffix(dst, ".gguf"); toFolder {
		if mix.Name != "" && mix.Name != "f32" && mix.Name != "f16" && mix.Name != "bf16" {
			return usagef("--type is %q, want f32, f16 or bf16 in a folder", o.mixture)
		}
		return o.toFolder(ctx, name, dst, mix, w, progress)
	}
	src, err := resolve(name)
	if err != nil {
		return err
	}
	return requantize(ctx, src, dst, mix, o.threads, w, progress)
}

// toFolder writes the model name into the folder dst. A new one appears by one rename when it is whole; one that is there,
// and empty, gets its config.json last, without which it is no model.
func (o *convertOptions) toFolder(ctx context.Context, name, dst string, mix weights.Mixture, w, progress io.Writer) error {
	path, err := resolve(name)
	if err != nil {
		return err
	}
	dst = filepath.Clean(dst)
	if err := checkPlace(path, dst); err != nil {
		return err
	}
	list, err := os.ReadDir(dst)
	there := err == nil
	if len(list) > 0 || err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("%s is there already, want a new or empty folder", dst)
	}
	info, err := describe(path)
	if err != nil {
		return err
	}
	t := mix.Main
	if mix.Name == "" {
		t = quant.BF16
		if kept, err := quant.ParseType(info.Tensors[0].Type); err == nil && (kept == quant.F32 || kept == quant.F16) {
			t = kept
		}
	}
	s, err := openSource(path)
	if err != nil {
		return err
	}
	defer s.Close()
	pool := par.New(o.threads)
	defer pool.Close()
	m, err := model.Load(path, model.LoadOptions{Pool: pool})
	if err != nil {
		return err
	}
	defer m.Close()
	in := filepath.Dir(dst)
	if there {
		in = dst // it may be where the user is, or a disk of its own: it stays the folder that it is
	}
	aside, err := os.MkdirTemp(in, ".retort-convert.*")
	if err != nil {
		return fmt.Errorf("make %s: %w", dst, err)
	}
	defer os.RemoveAll(aside)
	stage := filepath.Join(aside, "model") // with the permissions of any new folder
	if err := m.WriteSafetensors(ctx, stage, t); err != nil {
		return err
	}
	if err := keepMetadata(stage, s.md); err != nil {
		return err
	}
	note, err := copyTokenizer(ctx, path, stage, s)
	if err != nil {
		return err
	}
	if there {
		err = moveInto(stage, dst)
	} else {
		err = os.Rename(stage, dst)
	}
	if err != nil {
		return err
	}
	os.RemoveAll(aside)
	if note != "" {
		fmt.Fprintln(progress, clean("note: "+note))
	}
	return summarize(w, path, dst)
}

// moveInto moves the files of a model's folder into dst, config.json last; after an error none is there.
func moveInto(stage, dst string) (err error) {
	list, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	var names, moved []string
	for _, d := range list {
		if d.Name() != model.ConfigName {
			names = append(names, d.Name())
		}
	}
	defer func() {
		for _, name := range moved {
			if err != nil {
				os.Remove(filepath.Join(dst, name))
			}
		}
	}()
	for _, name := range append(names, model.ConfigName) {
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(dst, name)); err != nil {
			return err
		}
		moved = append(moved, name)
	}
	return nil
}

// tokenizerFiles are the files of a folder that say how text becomes tokens.
var tokenizerFiles = []string{"tokenizer.json", vocabularyName, "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "special_tokens_map.json"}

// copyTokenizer brings the vocabulary of the model at path into the folder dst. note is what the user should know of it.
func copyTokenizer(ctx context.Context, path, dst string, s *source) (note string, err error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return folderVocabulary(ctx, dst, s.md)
	}
	for _, name := range tokenizerFiles {
		b, err := readBounded(filepath.Join(path, name), maxTokenizer)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dst, name), b, 0o666)
		}
		if err != nil {
			return "", fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return "", nil
}

// folderVocabulary writes what a GGUF file says of its vocabulary as tokenizer.json and the files beside it. Where that has
// no certain form it is kept as it is, and note says why.
func folderVocabulary(ctx context.Context, dst string, md *gguf.Metadata) (note string, err error) {
	template, err := md.StringOr("tokenizer.chat_template", "")
	if err != nil {
		return "", err
	}
	var file, config []byte
	tok, err := tokenizer.FromMetadata(md)
	if err == nil {
		file, config, err = tok.JSON(template)
	}
	if err != nil {
		note = fmt.Sprintf("the vocabulary is kept as %s, which Retort alone reads: %v", vocabularyName, err)
		return note, writeVocabulary(ctx, filepath.Join(dst, vocabularyName), md)
	}
	ends, err := generationConfig(tok)
	if err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{"tokenizer.json": file, "tokenizer_config.json": config, "generation_config.json": ends} {
		if err := os.WriteFile(filepath.Join(dst, name), b, 0o666); err != nil {
			return "", err
		}
	}
	return "", nil
}

// generationConfig says where an answer ends. Without it transformers know no end.
func generationConfig(tok *tokenizer.Tokenizer) ([]byte, error) {
	c := struct {
		BOS *int  `json:"bos_token_id,omitempty"`
		EOS []int `json:"eos_token_id,omitempty"`
		PAD *int  `json:"pad_token_id,omitempty"`
	}{}
	if tok.BOS >= 0 {
		c.BOS = &tok.BOS
	}
	if tok.PAD >= 0 {
		c.PAD = &tok.PAD
	}
	for id := range tok.Vocab() {
		if tok.IsEOG(id) {
			c.EOS = append(c.EOS, id)
		}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	return append(b, '\n'), err
}
