// Package tokenizer turns text into token ids and ids into bytes: byte-level BPE as GPT-2, Llama 3, Qwen and DeepSeek
// use it, BPE over characters with byte fallback, and SentencePiece as Llama 2 uses it. Vocabularies come from GGUF
// metadata or from a tokenizer.json.
//
// It knows no models, no chat templates and no prompts. Text is text: an added token such as <|im_end|> becomes one id
// only where the caller asks for it, because whoever wrote the text could otherwise end a turn.
//
// Open this file first, then bpe.go (the merges), scan.go (how words are cut) and added.go (added tokens).
package tokenizer

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// A Tokenizer is one vocabulary with everything needed to use it. It does not change once made and is safe for
// concurrent use.
type Tokenizer struct {
	BOS, EOS, UNK, PAD int  // ids, -1 where the vocabulary has none
	AddBOS, AddEOS     bool // whether the model wants BOS before, EOS after a text; Encode adds neither

	vocabulary
	scheme     scheme
	added      matcher
	normalize  []normalizer // of tokenizer.json, on what lies between added tokens
	pad        padding
	stripPad   bool  // Decode takes off the space that pad puts before a text
	repairUTF8 bool  // not every byte has a token: what is not UTF-8 becomes U+FFFD, as in llama.cpp
	eot, eom   int   // ends of turn and message where a file gives their ids, else -1
	ends       []int // more ends of an answer that the files give
	eog        map[int]bool
	pre        string   // tokenizer.ggml.pre of this vocabulary, "" for SentencePiece and where no name fits
	merges     []string // as GGUF stores them, for Metadata
	scores     []float32
	scratch    sync.Pool // of *scratch
}

// padding is when a piece of text gets a space in front, so that a word at the start looks like one inside.
type padding int

const (
	padNone   padding = iota
	padStart          // at the start of the text and behind an added token, even before a space (SentencePiece)
	padFirst          // at the start of the text, unless a space is there
	padAlways         // every piece between added tokens, unless a space is there
)

// scheme is how text without added tokens becomes ids.
type scheme interface {
	encode(dst []int, text string, s *scratch) []int
}

// Options say what text may become. With the zero value it becomes ordinary tokens, and of the added tokens only those
// that cannot be mistaken for markup, such as a run of spaces: right for everything that others wrote.
type Options struct {
	// Special lets every added token match, control tokens too: for chat templates, and for tokenize --special. It is
	// what HF tokenizers do by default and llama.cpp does with parse_special.
	Special bool
	// UserDefined lets added tokens that are not control tokens match even where they look like markup, such as
	// <tool_call>. It is what llama.cpp does without parse_special, hence what tokenize does by default.
	UserDefined bool
}

// Encode returns the ids of text. It adds no BOS and no EOS.
func (t *Tokenizer) Encode(text string, o Options) []int {
	if text == "" {
		return nil
	}
	s, _ := t.scratch.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	defer t.scratch.Put(s)
	if t.repairUTF8 && !utf8.ValidString(text) {
		text = repair(text)
	}
	ids := make([]int, 0, len(text)/3+4)
	fragments := t.added.partition(text, o, t.normalized)
	for i, f := range fragments {
		if f.id != none {
			ids = append(ids, int(f.id))
			continue
		}
		if t.pads(f.text, i == 0, i == 0 || fragments[i-1].id != none) {
			f.text = " " + f.text
		}
		ids = t.scheme.encode(ids, f.text, s)
	}
	return ids
}

// pads reports whether a space goes before a piece, which may be the first of all or follow an added token.
func (t *Tokenizer) pads(piece string, first, start bool) bool {
	switch t.pad {
	case padStart:
		return start
	case padFirst, padAlways:
		return (first || t.pad == padAlways) && piece[0] != ' ' && !strings.HasPrefix(piece, escapedSpace)
	}
	return false
}

// repair replaces every byte of s that is not UTF-8 by U+FFFD. strings.ToValidUTF8 would make one of a run.
func repair(s string) string {
	var b strings.Builder
	for _, r := range s { // an invalid byte ranges as U+FFFD
		b.WriteRune(r)
	}
	return b.String()
}

// normalized applies the normalizers to a piece of text.
func (t *Tokenizer) normalized(piece string) string {
	for _, n := range t.normalize {
		piece = n(piece)
	}
	return piece
}

// Decode returns the text of ids without control tokens. Where the tokenizer puts a space before every text, one leading
// space is taken off again. The result holds U+FFFD for nothing: bytes that are not UTF-8 stay as they are.
func (t *Tokenizer) Decode(ids []int) string { return t.decode(ids, false) }

// DecodeSpecial is Decode with the text of control tokens.
func (t *Tokenizer) DecodeSpecial(ids []int) string { return t.decode(ids, true) }

func (t *Tokenizer) decode(ids []int, special bool) string {
	var b []byte
	start := true // nothing but control tokens so far
	for _, id := range ids {
		if special && t.IsSpecial(id) {
			b = append(b, t.text[id]...)
			continue
		}
		n := len(b)
		b = t.AppendToken(b, id)
		if start && len(b) > n {
			start = false
			if t.stripPad && b[n] == ' ' && t.kind[id] != userDefined {
				b = append(b[:n], b[n+1:]...)
			}
		}
	}
	return string(b)
}

// AppendToken appends the bytes that id stands for in text: none for control tokens and ids that are not in the
// vocabulary. The bytes of one token need not be whole UTF-8 sequences; see Stream.
func (t *Tokenizer) AppendToken(dst []byte, id int) []byte { return append(dst, t.Bytes(id)...) }

// Vocab is the number of ids: 0 to Vocab()-1. A model's output may be wider, padded.
func (t *Tokenizer) Vocab() int { return len(t.text) }

// Token is the token as the vocabulary spells it, in GPT-2's byte alphabet or with ▁ for a space; "" for ids that are
// not in the vocabulary.
func (t *Tokenizer) Token(id int) string {
	if id < 0 || id >= len(t.text) {
		return ""
	}
	return t.text[id]
}

// ID finds a token by its spelling in the vocabulary.
func (t *Tokenizer) ID(token string) (int, bool) {
	id, ok := t.byText[token]
	return int(id), ok
}

// IsSpecial reports whether id is a control token or the unknown token: one that stands for no text.
func (t *Tokenizer) IsSpecial(id int) bool {
	return id >= 0 && id < len(t.kind) && (t.kind[id] == control || t.kind[id] == unknown)
}

// IsUnused reports whether id stands for no token, though a model may have a row for it: it lies beyond the vocabulary, is
// a hole in it, or a token that the file calls unused, such as those that fill holes. As in llama.cpp it becomes no text.
func (t *Tokenizer) IsUnused(id int) bool {
	return id < 0 || id >= len(t.text) || t.text[id] == "" || t.kind[id] == unused
}

// IsEOG reports whether a model that chooses id has finished: EOS, the end of a turn, the end of a message, and whatever
// else its files say.
func (t *Tokenizer) IsEOG(id int) bool { return t.eog[id] }
