package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// maxNesting bounds Sequences in Sequences: each level is read again, and published files have two.
const maxNesting = 8

// hfFile is a tokenizer.json.
type hfFile struct {
	AddedTokens   []hfAdded       `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         hfModel         `json:"model"`
}

type hfAdded struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// looksSpecial is the rule by which llama.cpp's converter makes control tokens of added tokens that are not flagged
// special: DeepSeek's <｜User｜> is one.
func (a *hfAdded) looksSpecial() bool {
	s := a.Content
	return strings.HasPrefix(s, "<|") && strings.HasSuffix(s, "|>") || strings.HasPrefix(s, "<｜") && strings.HasSuffix(s, "｜>") ||
		strings.HasPrefix(s, "<unused") && strings.HasSuffix(s, ">") || s == "<pad>" || s == "<mask>"
}

type hfModel struct {
	Type         string         `json:"type"`
	Vocab        map[string]int `json:"vocab"`
	Merges       hfMerges       `json:"merges"`
	Unk          *string        `json:"unk_token"`
	ByteFallback bool           `json:"byte_fallback"`
	FuseUnk      bool           `json:"fuse_unk"`
	IgnoreMerges bool           `json:"ignore_merges"`
	Prefix       *string        `json:"continuing_subword_prefix"`
	Suffix       *string        `json:"end_of_word_suffix"`
}

// hfMerges are the merges as "left right", which files write so or as ["left", "right"].
type hfMerges []string

func (m *hfMerges) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(data, []byte("[")), " \t\r\n"), []byte("[")) {
		return json.Unmarshal(data, (*[]string)(m))
	}
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return err
	}
	*m = make(hfMerges, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 || p[0] == "" || p[1] == "" || strings.Contains(p[0]+p[1], " ") {
			return fmt.Errorf("merge %d is %q, want two texts without spaces", i, p)
		}
		(*m)[i] = p[0] + " " + p[1]
	}
	return nil
}

// FromJSON makes the tokenizer of a tokenizer.json of HF tokenizers. config is the tokenizer_config.json beside it, which
// names BOS, EOS and PAD; without it (nil) only what post_processor adds is known. The model must be BPE, byte-level or
// with ▁ for spaces. A part that is not known is an error that names it.
func FromJSON(file, config []byte) (*Tokenizer, error) {
	t, err := fromJSON(file, hfBeside{config: config})
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func fromJSON(file []byte, beside hfBeside) (*Tokenizer, error) {
	var f hfFile
	if err := json.Unmarshal(file, &f); err != nil {
		// Other models keep their vocabulary in other shapes: better to name the model than the shape.
		var head struct{ Model struct{ Type string } }
		if json.Unmarshal(file, &head) == nil && head.Model.Type != "BPE" && head.Model.Type != "" {
			return nil, fmt.Errorf("model type %q, want BPE", head.Model.Type)
		}
		return nil, err
	}
	if f.Model.Type != "BPE" && f.Model.Type != "" {
		return nil, fmt.Errorf("model type %q, want BPE", f.Model.Type)
	}
	if m := &f.Model; m.Prefix != nil && *m.Prefix != "" || m.Suffix != nil && *m.Suffix != "" {
		return nil, fmt.Errorf("model with continuing_subword_prefix or end_of_word_suffix")
	}
	t := &Tokenizer{}
	var pre hfPre
	if err := pre.add(f.PreTokenizer, 0); err != nil {
		return nil, err
	}
	var err error
	if t.normalize, err = hfNormalizer(f.Normalizer, 0); err != nil {
		return nil, err
	}
	t.pad, t.stripPad = pre.pad, hfStrips(f.Decoder, 0)
	spelled := metaspace
	if pre.byteLevel {
		spelled = byteLevel
	}
	if err := t.hfVocabulary(&f, spelled); err != nil {
		return nil, err
	}
	if err := t.hfScheme(&f.Model, &pre); err != nil {
		return nil, err
	}
	return t, t.hfSpecial(&f, beside)
}

// hfVocabulary fills the table of tokens from the model's vocabulary and the added tokens.
func (t *Tokenizer) hfVocabulary(f *hfFile, spelled spelling) error {
	size, err := hfSize(f)
	if err != nil {
		return err
	}
	texts, kinds := make([]string, size), make([]kind, size)
	for i := range kinds {
		kinds[i] = unused
	}
	for text, id := range f.Model.Vocab {
		if kinds[id] != unused {
			return fmt.Errorf("tokens %q and %q have one id, %d", texts[id], text, id)
		}
		texts[id], kinds[id] = text, normal
		if _, ok := parseByteToken(text); ok && f.Model.ByteFallback {
			kinds[id] = byteToken
		}
		if f.Model.Unk != nil && text == *f.Model.Unk {
			kinds[id] = unknown
		}
	}
	var added []addedToken
	for _, a := range f.AddedTokens {
		if kinds[a.ID] != unused && texts[a.ID] != a.Content {
			return fmt.Errorf("added token %q has the id of %q, %d", a.Content, texts[a.ID], a.ID)
		}
		texts[a.ID], kinds[a.ID] = a.Content, userDefined
		isControl := a.Special || a.looksSpecial()
		if isControl {
			kinds[a.ID] = control
		}
		content := a.Content
		if a.Normalized {
			content = t.normalized(content) // as HF does: a token is looked for as text would look there
		}
		if content != "" {
			added = append(added, addedToken{id: int32(a.ID), text: content, control: isControl, singleWord: a.SingleWord,
				lstrip: a.LStrip, rstrip: a.RStrip, normalized: a.Normalized})
		}
	}
	if t.vocabulary, err = newVocabulary(texts, kinds, spelled); err != nil {
		return err
	}
	t.added, err = newMatcher(added, false)
	return err
}

// hfSize is how many ids there are, and gives added tokens that are in the model's vocabulary its ids.
func hfSize(f *hfFile) (int, error) {
	entries := len(f.Model.Vocab) + len(f.AddedTokens)
	size := 0
	check := func(text string, id int) error {
		if id < 0 || id > 2*entries+1<<16 { // some vocabularies have holes, none as many as that
			return fmt.Errorf("token %q has id %d among %d tokens", text, id, entries)
		}
		size = max(size, id+1)
		return nil
	}
	for text, id := range f.Model.Vocab {
		if err := check(text, id); err != nil {
			return 0, err
		}
	}
	for i := range f.AddedTokens {
		a := &f.AddedTokens[i]
		if id, ok := f.Model.Vocab[a.Content]; ok {
			a.ID = id // HF, too, believes the model
		}
		if err := check(a.Content, a.ID); err != nil {
			return 0, err
		}
		if a.Content == "" {
			return 0, fmt.Errorf("added token %d is empty", a.ID)
		}
	}
	return size, nil
}

// hfScheme makes the BPE scheme: byte-level, or over code points.
func (t *Tokenizer) hfScheme(m *hfModel, pre *hfPre) error {
	b := &bpe{stages: pre.stages, escape: pre.escape, unk: none, fuse: m.FuseUnk, vocab: len(t.text)}
	ids := make(map[string]int32, len(m.Vocab))
	for text, id := range m.Vocab {
		ids[text] = int32(id)
	}
	if m.Unk != nil {
		if id, ok := ids[*m.Unk]; ok {
			b.unk = id
		}
	}
	if pre.byteLevel {
		t.byteSymbols(b, ids)
	} else {
		b.runes = ids
		for i := range b.first {
			b.first[i] = none
			if id, ok := ids[fmt.Sprintf("<0x%02X>", i)]; ok && m.ByteFallback {
				b.first[i] = id
			}
		}
	}
	if err := b.learn(m.Merges, ids, true, true); err != nil {
		return err
	}
	if m.IgnoreMerges {
		b.words = ids
		if pre.byteLevel {
			b.words = t.wholeWords(ids)
		}
	}
	t.scheme, t.merges = b, m.Merges
	if pre.byteLevel {
		t.pre = pre.ggufName(m.IgnoreMerges)
	}
	return nil
}

// hfStrips reports whether a decoder takes off the space that was put before the text.
func hfStrips(raw json.RawMessage, depth int) bool {
	var d struct {
		Type           string
		Decoders       []json.RawMessage
		Content        string
		Start          int
		PrependScheme  string `json:"prepend_scheme"`
		AddPrefixSpace *bool  `json:"add_prefix_space"`
	}
	if isNull(raw) || depth > maxNesting || json.Unmarshal(raw, &d) != nil {
		return false
	}
	for _, raw := range d.Decoders {
		if hfStrips(raw, depth+1) {
			return true
		}
	}
	return d.Type == "Strip" && d.Content == " " && d.Start > 0 ||
		d.Type == "Metaspace" && d.PrependScheme != "never" && (d.AddPrefixSpace == nil || *d.AddPrefixSpace)
}
