package tokenizer

import (
	"fmt"

	"retort/internal/format/gguf"
)

// Keys of GGUF metadata.
const (
	keyModel       = "tokenizer.ggml.model"
	keyPre         = "tokenizer.ggml.pre"
	keyTokens      = "tokenizer.ggml.tokens"
	keyTypes       = "tokenizer.ggml.token_type"
	keyScores      = "tokenizer.ggml.scores"
	keyMerges      = "tokenizer.ggml.merges"
	keyBOS         = "tokenizer.ggml.bos_token_id"
	keyEOS         = "tokenizer.ggml.eos_token_id"
	keyUNK         = "tokenizer.ggml.unknown_token_id"
	keyPAD         = "tokenizer.ggml.padding_token_id"
	keyEOT         = "tokenizer.ggml.eot_token_id"
	keyEOM         = "tokenizer.ggml.eom_token_id"
	keyAddBOS      = "tokenizer.ggml.add_bos_token"
	keyAddEOS      = "tokenizer.ggml.add_eos_token"
	keySpacePrefix = "tokenizer.ggml.add_space_prefix"
	keyEnds        = "retort.eog_token_ids" // ends of an answer beyond those that llama.cpp has keys or names for
)

// FromGGUF makes the tokenizer that a GGUF file describes. The models "gpt2" (byte-level BPE) and "llama"
// (SentencePiece) are known.
//
// Where add_bos_token is missing, SentencePiece adds BOS and BPE does not, except for the pre-tokenizers of Llama 3 and
// Tekken, for which llama.cpp does. A special id outside the vocabulary counts as missing, as in llama.cpp. Empty texts
// are holes; a text that is there twice is an error.
func FromGGUF(f *gguf.File) (*Tokenizer, error) {
	t, err := FromMetadata(&f.Metadata)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return t, nil
}

// FromMetadata is FromGGUF for metadata without a file.
func FromMetadata(md *gguf.Metadata) (*Tokenizer, error) {
	model, err := md.String(keyModel)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t := &Tokenizer{}
	switch model {
	case "gpt2":
		err = t.loadBPE(md)
	case "llama":
		err = t.loadSPM(md)
	default:
		err = fmt.Errorf("%s is %q; known are gpt2, llama", keyModel, model)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func (t *Tokenizer) loadBPE(md *gguf.Metadata) error {
	name, err := md.StringOr(keyPre, "")
	if err != nil {
		return err
	}
	pre, err := pretokenizerNamed(name)
	if err != nil {
		return err
	}
	if err := t.loadTokens(md, byteLevel); err != nil {
		return err
	}
	if t.merges, err = md.Strings(keyMerges); err != nil {
		return err
	}
	t.pre = name
	b := &bpe{stages: pre.stages, unk: none, vocab: len(t.text)}
	t.byteSymbols(b, t.byText)
	ids := make(map[string]int32, len(t.text))
	for text, id := range t.byText {
		if k := t.kind[id]; k != control && k != unknown {
			ids[text] = id
		}
	}
	if err := b.learn(t.merges, ids, false, false); err != nil {
		return err
	}
	if pre.ignoreMerges {
		b.words = t.wholeWords(ids)
	}
	t.scheme = b
	return t.loadSpecial(md, [4]int{none, none, none, none}, pre.addBOS)
}

// byteSymbols finds the token of every byte. A control token that looks like one letter of the alphabet is not a byte.
func (t *Tokenizer) byteSymbols(b *bpe, ids map[string]int32) {
	for c, r := range alphabet {
		b.first[c] = none
		if id, ok := ids[string(r)]; ok && t.kind[id] != control && t.kind[id] != unknown {
			b.first[c] = id
		} else {
			t.repairUTF8 = true
		}
	}
}

// wholeWords are the tokens of a model that ignores merges for words it knows, by their bytes.
func (t *Tokenizer) wholeWords(ids map[string]int32) map[string]int32 {
	words := make(map[string]int32, len(ids))
	for _, id := range ids {
		if t.kind[id] == normal {
			words[string(t.Bytes(int(id)))] = id
		}
	}
	return words
}

func (t *Tokenizer) loadSPM(md *gguf.Metadata) error {
	if err := t.loadTokens(md, metaspace); err != nil {
		return err
	}
	var err error
	if t.scores, err = loadScores(md, len(t.text)); err != nil {
		return err
	}
	if t.stripPad, err = md.BoolOr(keySpacePrefix, true); err != nil {
		return err
	}
	if t.stripPad {
		t.pad = padStart
	}
	if err := t.loadSpecial(md, [4]int{1, 2, 0, none}, true); err != nil {
		return err
	}
	t.scheme = t.newSPM()
	return nil
}

// newSPM makes the scheme from the table of tokens and their scores.
func (t *Tokenizer) newSPM() *spm {
	m := &spm{ids: make(map[string]int32, len(t.text)), scores: t.scores, unk: int32(t.UNK), split: true}
	for i := range m.bytes {
		m.bytes[i] = none
	}
	for id, text := range t.text {
		switch t.kind[id] {
		case control, unknown:
			continue
		case byteToken:
			m.bytes[t.Bytes(id)[0]] = int32(id)
			continue
		}
		if text != "" {
			m.ids[text] = int32(id)
			m.long = max(m.long, len(text))
			m.split = m.split && !joinsWords(text)
		}
	}
	return m
}

// loadTokens reads the table of tokens and their types; without types all are normal.
func (t *Tokenizer) loadTokens(md *gguf.Metadata, how spelling) error {
	texts, err := md.Strings(keyTokens)
	if err != nil {
		return err
	}
	types, err := md.IntsOr(keyTypes, nil)
	if err != nil {
		return err
	}
	if types != nil && len(types) < len(texts) {
		return fmt.Errorf("%s has %d elements, %s %d", keyTypes, len(types), keyTokens, len(texts))
	}
	kinds := make([]kind, len(texts))
	for i := range texts {
		kinds[i] = normal
		if types != nil {
			if types[i] < 0 || types[i] > int(byteToken) {
				return fmt.Errorf("%s[%d] is %d, want 0 to %d", keyTypes, i, types[i], byteToken)
			}
			kinds[i] = kind(types[i])
		}
		if _, isByte := parseByteToken(texts[i]); isByte && types == nil && how == metaspace {
			kinds[i] = byteToken
		}
		// In byte-level vocabularies </s> can be an ordinary token, the end of struck out HTML.
		if controlNames[texts[i]] && !(texts[i] == "</s>" && how == byteLevel) {
			kinds[i] = control
		}
	}
	if t.vocabulary, err = newVocabulary(texts, kinds, how); err != nil {
		return err
	}
	var added []addedToken
	for id, text := range texts {
		if k := kinds[id]; text != "" && (k == control || k == unknown || k == userDefined) {
			added = append(added, addedToken{id: int32(id), text: text, control: k != userDefined})
		}
	}
	t.added, err = newMatcher(added, true)
	return err
}

func loadScores(md *gguf.Metadata, n int) ([]float32, error) {
	scores, err := md.FloatsOr(keyScores, make([]float32, n))
	if err != nil {
		return nil, err
	}
	if len(scores) < n {
		return nil, fmt.Errorf("%s has %d elements, want %d", keyScores, len(scores), n)
	}
	return scores, nil
}

// loadSpecial reads the ids of BOS, EOS, UNK and PAD, given what they are where the file does not say, and what to add.
func (t *Tokenizer) loadSpecial(md *gguf.Metadata, missing [4]int, addBOS bool) (err error) {
	id := func(key string, missing int) int {
		v, e := md.IntOr(key, missing)
		if e != nil {
			err = e
		}
		if v < 0 || v >= len(t.text) {
			v = missing
		}
		if v >= len(t.text) {
			v = none
		}
		return v
	}
	t.BOS, t.EOS = id(keyBOS, missing[0]), id(keyEOS, missing[1])
	t.UNK, t.PAD = id(keyUNK, missing[2]), id(keyPAD, missing[3])
	t.eot, t.eom = id(keyEOT, none), id(keyEOM, none)
	if err != nil {
		return err
	}
	if t.ends, err = md.IntsOr(keyEnds, nil); err != nil {
		return err
	}
	if t.AddBOS, err = md.BoolOr(keyAddBOS, addBOS); err != nil {
		return err
	}
	if t.AddEOS, err = md.BoolOr(keyAddEOS, false); err != nil {
		return err
	}
	if t.AddBOS && t.BOS < 0 {
		return fmt.Errorf("%s is true, but there is no %s", keyAddBOS, keyBOS)
	}
	if t.AddEOS && t.EOS < 0 {
		return fmt.Errorf("%s is true, but there is no %s", keyAddEOS, keyEOS)
	}
	t.findEnds()
	return nil
}
