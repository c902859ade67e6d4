package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
)

// copyVocabulary copies the files that say how text becomes tokens from one folder into another.
func copyVocabulary(from, to string) error {
	for _, name := range tokenizer.FolderFiles {
		b, err := atomicfile.ReadFile(filepath.Join(from, name), tokenizer.MaxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o666)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	return nil
}

// folderVocabulary writes what a GGUF file says of its vocabulary as tokenizer.json and the files beside it. Where that has
// no certain form it is kept as it is, and note says why.
func folderVocabulary(ctx context.Context, dst string, md *gguf.Metadata) (note string, err error) {
	template, err := md.StringOr(tokenizer.TemplateKey, "")
	if err != nil {
		return "", err
	}
	var file, config []byte
	tok, err := tokenizer.FromMetadata(md)
	if err == nil {
		file, config, err = tok.JSON(template)
	}
	if err != nil {
		note = fmt.Sprintf("the vocabulary is kept as %s, which Retort alone reads: %v", tokenizer.GGUFName, err)
		return note, writeMetadata(ctx, filepath.Join(dst, tokenizer.GGUFName), md)
	}
	ends, err := generationConfig(tok)
	if err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{tokenizer.FileName: file, tokenizer.ConfigName: config, tokenizer.GenerationName: ends} {
		if err := os.WriteFile(filepath.Join(dst, name), b, 0o666); err != nil {
			return "", err
		}
	}
	return "", nil
}

// writeMetadata writes everything but the tensors of a model.
func writeMetadata(ctx context.Context, path string, md *gguf.Metadata) error {
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	for key, v := range md.All() {
		w.Set(key, v)
	}
	return w.Commit(ctx)
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
