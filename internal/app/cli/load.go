package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/model"
)

// loaded is a model ready to answer, with its vocabulary.
type loaded struct {
	path     string
	engine   *generate.Engine
	tok      *tokenizer.Tokenizer
	template string
	worker   *generate.Worker
}

// resolve turns what the user called MODEL into a path.
func resolve(name string) (string, error) {
	store, err := openStore()
	if err != nil {
		return "", err
	}
	return store.Resolve(name)
}

// cacheFlag adds --cache-type.
func cacheFlag(cmd *cobra.Command, cacheType *string) {
	cmd.Flags().StringVar(cacheType, "cache-type", "bf16", "keys and values: bf16 or f32")
}

// checkCacheType refuses what no cache can be. The 8-bit cache is named in the surface and not built yet.
func checkCacheType(name string) error {
	switch name {
	case "bf16", "f32":
		return nil
	case "q8_0":
		return usagef("--cache-type q8_0 is not there yet, want bf16 or f32")
	}
	return usagef("--cache-type is %q, want bf16 or f32", name)
}

// load opens MODEL for answering. cacheType is bf16 or f32; a model in float32 always keeps a float32 cache. ctxTokens
// beyond the model's own context count only if beyond is set.
func load(name string, threads int, cacheType string, ctxTokens int, beyond bool) (*loaded, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	l := &loaded{path: path}
	if l.tok, l.template, err = readVocabulary(path); err != nil {
		return nil, err
	}
	cache, err := op.ParseCacheType(cacheType)
	if err != nil {
		return nil, err
	}
	l.worker = generate.NewWorker(threads)
	var m *model.Model
	l.worker.Do(func(pool *par.Pool) { m, err = model.Load(path, model.LoadOptions{Pool: pool}) })
	if err != nil {
		l.worker.Close()
		return nil, err
	}
	if !beyond {
		ctxTokens = min(ctxTokens, m.Config.Context)
	}
	l.engine = generate.New(l.worker, m, generate.Options{Cache: cache, Context: ctxTokens})
	return l, nil
}

func (l *loaded) close() {
	l.worker.Close()
	l.engine.Model.Close()
}

// chat returns the model's chat template.
func (l *loaded) chat() (*chat.Chat, error) {
	c, err := chat.New(l.template, l.tok)
	if errors.Is(err, chat.ErrNoTemplate) {
		return nil, withHint(err, "retort run MODEL --raw PROMPT continues a text")
	}
	return c, err
}

// vocabulary returns the bytes of every token, for a grammar's masks; a model may have rows beyond its vocabulary.
func (l *loaded) vocabulary() *grammar.Vocabulary {
	tokens := make([][]byte, l.engine.Model.Config.Vocab)
	var ends []int
	for id := range min(len(tokens), l.tok.Vocab()) {
		if l.tok.IsEOG(id) {
			ends = append(ends, id)
		} else if !l.tok.IsSpecial(id) {
			tokens[id] = l.tok.Bytes(id)
		}
	}
	return grammar.NewVocabulary(tokens, ends)
}

// stop says which tokens end an answer.
func (l *loaded) stop(id int32) bool { return l.tok.IsEOG(int(id)) }

// readVocabulary reads the tokenizer and the chat template, "" for none, of the model at path: a GGUF file, which may
// hold nothing else, or a folder with tokenizer.json.
func readVocabulary(path string) (*tokenizer.Tokenizer, string, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return readFolderVocabulary(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	tok, err := tokenizer.FromGGUF(f)
	if err != nil {
		return nil, "", err
	}
	template, err := f.StringOr("tokenizer.chat_template", "")
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return tok, strings.Clone(template), nil
}

// maxTokenizer bounds tokenizer.json; the largest in use have 35 MB.
const maxTokenizer = 256 << 20

func readFolderVocabulary(dir string) (*tokenizer.Tokenizer, string, error) {
	file, err := readBounded(filepath.Join(dir, "tokenizer.json"), maxTokenizer)
	if made := filepath.Join(dir, vocabularyName); errors.Is(err, fs.ErrNotExist) && exists(made) {
		return readVocabulary(made)
	}
	if err != nil {
		return nil, "", err
	}
	config, err := readOptional(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		return nil, "", err
	}
	tok, err := tokenizer.FromJSON(file, config)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", dir, err)
	}
	template, err := folderTemplate(dir)
	return tok, template, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// folderTemplate returns the chat template of a folder: chat_template.jinja, or the one in tokenizer_config.json, or in
// the vocabulary that convert wrote.
func folderTemplate(dir string) (string, error) {
	if b, err := readOptional(filepath.Join(dir, "chat_template.jinja")); err != nil || b != nil {
		return string(b), err
	}
	b, err := readOptional(filepath.Join(dir, "tokenizer_config.json"))
	if made := filepath.Join(dir, vocabularyName); err == nil && b == nil && exists(made) {
		_, template, err := readVocabulary(made)
		return template, err
	}
	if err != nil || b == nil {
		return "", err
	}
	var config struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(b, &config); err != nil {
		return "", fmt.Errorf("%s: tokenizer_config.json: %w", dir, err)
	}
	var one string
	if len(config.Template) == 0 || json.Unmarshal(config.Template, &one) == nil {
		return one, nil
	}
	var several []struct{ Name, Template string } // older models bring a list of them
	if err := json.Unmarshal(config.Template, &several); err != nil {
		return "", fmt.Errorf("%s: tokenizer_config.json: chat_template is neither a text nor a list", dir)
	}
	for _, t := range several {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

// readOptional reads a small file; a missing one is nil.
func readOptional(path string) ([]byte, error) {
	b, err := readBounded(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// readTokenizer opens the vocabulary of MODEL, which may also be a tokenizer.json.
func readTokenizer(name string) (*tokenizer.Tokenizer, error) {
	if filepath.Base(name) == "tokenizer.json" {
		tok, _, err := readFolderVocabulary(filepath.Dir(name))
		return tok, err
	}
	// A folder with a tokenizer and nothing else is no model to the store.
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		tok, _, err := readFolderVocabulary(name)
		return tok, err
	}
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	tok, _, err := readVocabulary(path)
	return tok, err
}

// rawText is how text without a template is encoded: as llama.cpp does, so that control tokens stay text.
var rawText = tokenizer.Options{UserDefined: true}

// ids32 converts the tokenizer's ids to the model's.
func ids32(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
