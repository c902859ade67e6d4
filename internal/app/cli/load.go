package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"retort/internal/app/hub"
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
	path   string
	engine *generate.Engine
	tok    *tokenizer.Tokenizer
	file   *gguf.File
	pool   *par.Pool
}

// resolve turns what the user called MODEL into a path.
func resolve(name string) (string, error) {
	home, err := hub.DefaultHome()
	if err != nil {
		return "", err
	}
	store, err := hub.Open(home)
	if err != nil {
		return "", err
	}
	path, err := store.Resolve(name)
	if err != nil {
		return "", err
	}
	return path, nil
}

// load opens MODEL for answering. cacheType is bf16 or f32; a model in float32 always keeps a float32 cache.
func load(name string, threads int, cacheType string) (*loaded, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	return loadPath(path, threads, cacheType)
}

func loadPath(path string, threads int, cacheType string) (*loaded, error) {
	l := &loaded{path: path}
	var err error
	if l.file, err = gguf.Open(path); err != nil {
		return nil, err
	}
	if l.tok, err = tokenizer.FromGGUF(l.file); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	l.pool = par.New(threads)
	m, err := model.Load(path, model.LoadOptions{Pool: l.pool})
	if err != nil {
		l.file.Close()
		l.pool.Close()
		return nil, err
	}
	l.engine = generate.New(m, l.pool, cacheType != "f32" && !m.Float32)
	return l, nil
}

func (l *loaded) close() {
	l.engine.Model.Close()
	l.pool.Close()
	l.file.Close()
}

// chat returns the model's chat template.
func (l *loaded) chat() (*chat.Chat, error) {
	template, err := l.file.StringOr("tokenizer.chat_template", "")
	if err != nil {
		return nil, err
	}
	c, err := chat.New(template, l.tok)
	if errors.Is(err, chat.ErrNoTemplate) {
		return nil, withHint(err, "retort run MODEL --raw continues a text")
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

// readTokenizer opens the vocabulary of MODEL: a GGUF file, or a folder with tokenizer.json.
func readTokenizer(name string) (*tokenizer.Tokenizer, error) {
	path, err := resolve(name)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".json") {
		path = filepath.Dir(path)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		file, err := os.ReadFile(filepath.Join(path, "tokenizer.json"))
		if err != nil {
			return nil, err
		}
		config, err := os.ReadFile(filepath.Join(path, "tokenizer_config.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return tokenizer.FromJSON(file, config)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return tokenizer.FromGGUF(f)
}

// ids32 and ids convert between the tokenizer's ids and the model's.
func ids32(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

func ids(ids32 []int32) []int {
	out := make([]int, len(ids32))
	for i, id := range ids32 {
		out[i] = int(id)
	}
	return out
}
