package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/chat"
	"retort/internal/lm/grammar"
	"retort/internal/lm/model"
)

// Form is what can be known of a model without its weights, at no cost: how text becomes its tokens and back. It is safe
// for concurrent use.
type Form struct {
	Info      Info
	Tokenizer *tokenizer.Tokenizer
	Rows      int // of the embedding: every token id is below; the tokenizer may know fewer
	Context   int // tokens of prompt and answer that the model was made for

	config     model.Config
	chat       *chat.Chat // nil where there is no template
	vocabulary func() *vocabulary
}

// Look reads the form of the model at path, which may be what Host.Open takes.
func Look(path string) (*Form, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return lookFolder(path)
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return LookFile(f)
}

// LookFile is Look of a GGUF file that is open. What it returns outlives the file.
func LookFile(f *gguf.File) (*Form, error) {
	c, err := model.ConfigFromGGUF(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	files, err := tokenizer.FromGGUFFile(f)
	if err != nil {
		return nil, err
	}
	return newForm(infoOfFile(f), c, files)
}

func lookFolder(path string) (*Form, error) {
	b, err := atomicfile.ReadFile(filepath.Join(path, model.ConfigName), maxConfig)
	if err != nil {
		return nil, err
	}
	c, err := model.ConfigFromJSON(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	info, err := infoOfFolder(path)
	if err != nil {
		return nil, err
	}
	files, err := tokenizer.Open(path)
	if err != nil {
		return nil, err
	}
	return newForm(info, c, files)
}

func newForm(info Info, c model.Config, files *tokenizer.Files) (*Form, error) {
	if n := files.Tokenizer.Vocab(); n > c.Vocab {
		return nil, fmt.Errorf("%s: its tokenizer has %d tokens, want %d at most: the rows of its embedding", info.Path, n, c.Vocab)
	}
	f := &Form{Info: info, Tokenizer: files.Tokenizer, Rows: c.Vocab, Context: c.Context, config: c}
	var err error
	if f.chat, err = chat.New(files.ChatTemplate, files.Tokenizer); err != nil && !errors.Is(err, chat.ErrNoTemplate) {
		return nil, fmt.Errorf("%s: %w", info.Path, err)
	}
	f.vocabulary = sync.OnceValue(f.newVocabulary)
	return f, nil
}

// Chat is the model's chat template, or chat.ErrNoTemplate.
func (f *Form) Chat() (*chat.Chat, error) {
	if f.chat == nil {
		return nil, chat.ErrNoTemplate
	}
	return f.chat, nil
}

// thinks says whether the model's template knows thinking blocks, which the model may then open by itself.
func (f *Form) thinks() bool {
	return f.Info.Template != nil && strings.Contains(f.Info.Template.Text, thinkOpen)
}

// text appends what token id stands for in an answer: that of the marks around reasoning too.
func (f *Form) text(dst []byte, id int) []byte {
	if f.chat != nil {
		return f.chat.AppendToken(dst, id)
	}
	return f.Tokenizer.AppendToken(dst, id)
}

// vocabulary is a model's tokens for the masks of its answers.
type vocabulary struct {
	*grammar.Vocabulary
	thoughts func() *thoughts // made when a model thinks first
}

// newVocabulary sorts the tokens. Those that end an answer end it; control tokens, tokens of no use and rows without one
// have no bytes, and are never written.
func (f *Form) newVocabulary() *vocabulary {
	tokens := make([][]byte, f.Rows)
	var ends []int
	for id := range min(len(tokens), f.Tokenizer.Vocab()) {
		if f.Tokenizer.IsEOG(id) {
			ends = append(ends, id)
		} else {
			tokens[id] = f.Tokenizer.Bytes(id)
		}
	}
	v := &vocabulary{Vocabulary: grammar.NewVocabulary(tokens, ends)}
	v.thoughts = sync.OnceValue(func() *thoughts { return newThoughts(f, tokens) })
	return v
}
