package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// JSON writes t as the tokenizer.json that HF tokenizers reads, and as the tokenizer_config.json beside it, which carries
// template, a chat template or "". FromJSON makes a tokenizer of the two that gives the same
// ids; a token such as <|x|> that was defined for users counts as a control token there.
//
// Words are cut by the expressions of published files. llama.cpp, whom FromGGUF follows, reads three of them otherwise: it
// takes no 'ſ for a contraction, no white space into DeepSeek's classes of CJK and punctuation, and numbers of DeepSeek-LLM
// as a run. Only texts with the first two can have other ids, since that vocabulary joins no digits. What GGUF does not keep,
// such as the NFC of Qwen's own file, is not there either. SentencePiece becomes BPE with merges in the order of HF's own
// converter.
//
// It is an error where no form is certain: words cut in a way that no published file has, merges that lead to no token,
// scores that order no merges, normalizers.
func (t *Tokenizer) JSON(template string) (file, config []byte, err error) {
	f, err := t.jsonFile()
	if err != nil {
		return nil, nil, fmt.Errorf("tokenizer: no tokenizer.json: %w", err)
	}
	if file, err = encodeJSON(f); err != nil {
		return nil, nil, err
	}
	config, err = encodeJSON(&jsonConfig{AddBOS: t.AddBOS, AddEOS: t.AddEOS, BOS: t.name(t.BOS), EOS: t.name(t.EOS), UNK: t.name(t.UNK),
		PAD: t.name(t.PAD), Template: template, Class: "PreTrainedTokenizerFast"})
	return file, config, err
}

// jsonFile is a tokenizer.json as it is written. Keys that are null are keys that HF tokenizers wants.
type jsonFile struct {
	Version       string    `json:"version"`
	Truncation    any       `json:"truncation"`
	Padding       any       `json:"padding"`
	AddedTokens   []hfAdded `json:"added_tokens"`
	Normalizer    any       `json:"normalizer"`
	PreTokenizer  any       `json:"pre_tokenizer"`
	PostProcessor any       `json:"post_processor"`
	Decoder       any       `json:"decoder"`
	Model         jsonModel `json:"model"`
}

type jsonModel struct {
	Type         string         `json:"type"`
	Dropout      any            `json:"dropout"`
	Unk          *string        `json:"unk_token"`
	Prefix       any            `json:"continuing_subword_prefix"`
	Suffix       any            `json:"end_of_word_suffix"`
	FuseUnk      bool           `json:"fuse_unk"`
	ByteFallback bool           `json:"byte_fallback"`
	IgnoreMerges bool           `json:"ignore_merges"`
	Vocab        jsonVocabulary `json:"vocab"`
	Merges       []string       `json:"merges"`
}

// jsonConfig is a tokenizer_config.json. The class is the one that takes tokenizer.json as it is; others build their own
// pre_tokenizer.
type jsonConfig struct {
	AddBOS   bool    `json:"add_bos_token"`
	AddEOS   bool    `json:"add_eos_token"`
	BOS      *string `json:"bos_token"`
	EOS      *string `json:"eos_token"`
	UNK      *string `json:"unk_token"`
	PAD      *string `json:"pad_token"`
	CleanUp  bool    `json:"clean_up_tokenization_spaces"`
	Class    string  `json:"tokenizer_class"`
	Template string  `json:"chat_template,omitempty"`
}

// jsonVocabulary is written as an object, text to id, in the order of the ids. "" is a hole.
type jsonVocabulary []string

func (v jsonVocabulary) MarshalJSON() ([]byte, error) {
	b := bytes.NewBufferString("{")
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for id, text := range v {
		if text == "" {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if err := enc.Encode(text); err != nil {
			return nil, err
		}
		fmt.Fprintf(b, ":%d", id)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// jsonPart is a normalizer, pre_tokenizer, post_processor or decoder.
type jsonPart map[string]any

// name is the text of a special token, nil for none.
func (t *Tokenizer) name(id int) *string {
	if text := t.Token(id); text != "" && !t.fills(id) {
		return &text
	}
	return nil
}

func (t *Tokenizer) jsonFile() (*jsonFile, error) {
	f := &jsonFile{Version: "1.0", AddedTokens: t.jsonAdded(), Model: jsonModel{Type: "BPE"}}
	if len(t.normalize) > 0 {
		return nil, fmt.Errorf("text is normalized")
	}
	if t.AddBOS && t.name(t.BOS) == nil || t.AddEOS && t.name(t.EOS) == nil {
		return nil, fmt.Errorf("BOS or EOS, %d or %d, is added to a text and no token", t.BOS, t.EOS)
	}
	var err error
	if f.Model.Vocab, err = t.jsonTokens(); err != nil {
		return nil, err
	}
	switch s := t.scheme.(type) {
	case *bpe:
		err = t.jsonByteLevel(f, s)
	case *spm:
		err = t.jsonSentencePiece(f, s)
	}
	return f, err
}

// jsonTokens is the whole vocabulary: HF tokenizers numbers an added token anew that is not among the model's. What fills
// holes in GGUF files is left out.
func (t *Tokenizer) jsonTokens() (jsonVocabulary, error) {
	texts := slices.Clone(t.text)
	for id, text := range texts {
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("token %d is %q, want UTF-8", id, text)
		}
		if t.fills(id) {
			texts[id] = ""
		}
	}
	return texts, nil
}

// fills reports whether a token only fills a hole, as SetMetadata and llama.cpp's converter do.
func (t *Tokenizer) fills(id int) bool {
	return t.kind[id] == unused && t.text[id] == fmt.Sprintf("[PAD%d]", id)
}

func (t *Tokenizer) jsonAdded() []hfAdded {
	list := make([]hfAdded, len(t.added.tokens))
	for i, a := range t.added.tokens {
		list[i] = hfAdded{ID: int(a.id), Content: a.text, SingleWord: a.singleWord, LStrip: a.lstrip, RStrip: a.rstrip, Normalized: a.normalized,
			Special: a.control}
	}
	slices.SortFunc(list, func(a, b hfAdded) int { return a.ID - b.ID })
	return list
}

func (t *Tokenizer) jsonByteLevel(f *jsonFile, b *bpe) error {
	form := pretokenizers[t.pre].form
	if form == "" || b.runes != nil {
		return fmt.Errorf("no certain form of %s %q", keyPre, t.pre)
	}
	f.PreTokenizer = jsonPreTokenizer(form)
	level := jsonPart{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true} // nothing but the type counts here
	f.Decoder, f.PostProcessor = level, level
	if added := t.jsonTemplate(); added != nil {
		f.PostProcessor = jsonPart{"type": "Sequence", "processors": []any{level, added}}
	}
	f.Model.IgnoreMerges = b.words != nil
	for rank, m := range t.merges {
		left, right, ok := strings.Cut(m, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %d is %q, want one space in it", rank, m)
		}
		for _, text := range []string{left, right, left + right} {
			if id, ok := t.byText[text]; !ok || t.fills(int(id)) || t.IsSpecial(int(id)) {
				return fmt.Errorf("merge %d is %q, but %q is no token that text may become", rank, m, text)
			}
		}
		// Of a merge that is there twice HF counts the last, GGUF the first.
		if b.merges.find(t.byText[left], t.byText[right])>>32 == uint64(rank) {
			f.Model.Merges = append(f.Model.Merges, m)
		}
	}
	return nil
}

// hfExpressions are the expressions of published files by the names of their stages: those of hfRegexes and hfClassNames.
var hfExpressions = func() map[string]string {
	table := map[string]string{}
	for regex, e := range hfRegexes {
		if !strings.HasPrefix(regex, hfPlainContraction) { // a second way to write what is there with (?i:
			table[e.name] = regex
		}
	}
	for regex, name := range hfClassNames {
		table[name] = regex
	}
	var cased strings.Builder
	add := func(lo, hi, stride rune) {
		for stride > 1 && lo < hi {
			cased.WriteRune(lo)
			lo += stride
		}
		cased.WriteRune(lo)
		if lo < hi {
			cased.WriteByte('-')
			cased.WriteRune(hi)
		}
	}
	for _, r := range deepseekLetters.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range deepseekLetters.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	table["cased"] = `\s?[` + cased.String() + `]+`
	return table
}()

// jsonPreTokenizer is the pre_tokenizer of the stages that form names.
func jsonPreTokenizer(form string) jsonPart {
	level := jsonPart{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	var parts []any
	for name := range strings.FieldsSeq(form) {
		switch name {
		case "gpt2": // the last one: ByteLevel brings it
			level["use_regex"] = true
		case "digit":
			parts = append(parts, jsonPart{"type": "Digits", "individual_digits": true})
		default:
			parts = append(parts, jsonPart{"type": "Split", "pattern": jsonPart{"Regex": hfExpressions[name]}, "behavior": "Isolated", "invert": false})
		}
	}
	if len(parts) == 0 {
		return level
	}
	return jsonPart{"type": "Sequence", "pretokenizers": append(parts, level)}
}

// jsonTemplate puts BOS before a text and EOS behind it, or is nil.
func (t *Tokenizer) jsonTemplate() any {
	specials, single, pair := jsonPart{}, []any{}, []any{}
	special := func(id, of int) any {
		text := t.Token(id)
		specials[text] = jsonPart{"id": text, "ids": []int{id}, "tokens": []string{text}}
		return jsonPart{"SpecialToken": jsonPart{"id": text, "type_id": of}}
	}
	for of, name := range []string{"A", "B"} {
		var parts []any
		if t.AddBOS {
			parts = append(parts, special(t.BOS, of))
		}
		parts = append(parts, jsonPart{"Sequence": jsonPart{"id": name, "type_id": of}})
		if t.AddEOS {
			parts = append(parts, special(t.EOS, of))
		}
		if of == 0 {
			single = parts
		}
		pair = append(pair, parts...)
	}
	if len(specials) == 0 {
		return nil
	}
	return jsonPart{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": specials}
}

// jsonSentencePiece writes SentencePiece as BPE over code points with byte fallback.
func (t *Tokenizer) jsonSentencePiece(f *jsonFile, m *spm) (err error) {
	if slices.Contains(m.bytes[:], none) {
		return fmt.Errorf("not every byte has a token")
	}
	if f.Model.Merges, err = t.mergesOfScores(m); err != nil {
		return err
	}
	f.Model.Unk, f.Model.FuseUnk, f.Model.ByteFallback = t.name(t.UNK), true, true
	replace := func(from, to string) jsonPart {
		return jsonPart{"type": "Replace", "pattern": jsonPart{"String": from}, "content": to}
	}
	normalizers := []any{replace(" ", escapedSpace)}
	decoders := []any{replace(escapedSpace, " "), jsonPart{"type": "ByteFallback"}, jsonPart{"type": "Fuse"}}
	if t.pad == padStart {
		normalizers = slices.Insert(normalizers, 0, any(jsonPart{"type": "Prepend", "prepend": escapedSpace}))
		decoders = append(decoders, jsonPart{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	f.Normalizer = jsonPart{"type": "Sequence", "normalizers": normalizers}
	f.Decoder = jsonPart{"type": "Sequence", "decoders": decoders}
	f.PostProcessor = t.jsonTemplate()
	return nil
}

// mergesOfScores are the merges that join tokens in the order of their scores: for each token every pair of tokens that it
// may be made of. SentencePiece takes the leftmost of equal scores, so two tokens of one score must be runs of one code
// point, which grow from the left in either scheme when pairs with a longer left part come first. SentencePiece also
// joins parts that are no tokens; then no merges say the same.
func (t *Tokenizer) mergesOfScores(m *spm) ([]string, error) {
	type merge struct {
		left, right string
		order       uint32
	}
	var merges []merge
	made := map[uint32]string{}
	for id, text := range t.text {
		if _, ok := m.ids[text]; !ok || t.fills(id) || strings.Contains(text, " ") { // spaces of a text are ▁
			continue
		}
		order, found := descending(m.scores[id]), false
		for i, r := range text {
			if _, ok := m.ids[string(r)]; !ok && t.kind[id] != userDefined { // HF looks for these before it merges
				return nil, fmt.Errorf("token %d, %q, has the part %q, which is no token", id, text, r)
			}
			left, right := text[:i], text[i:]
			if _, ok := m.ids[left]; !ok || left == "" {
				continue
			}
			if _, ok := m.ids[right]; ok {
				merges = append(merges, merge{left, right, order})
				found = true
			}
		}
		if other, tie := made[order]; found && tie && !(isRun(text) && isRun(other)) {
			return nil, fmt.Errorf("tokens %q and %q have one score, %g", other, text, m.scores[id])
		}
		if found {
			made[order] = text
		}
	}
	slices.SortStableFunc(merges, func(a, b merge) int {
		if a.order != b.order {
			return int(int64(a.order) - int64(b.order))
		}
		if n := utf8.RuneCountInString(b.left) - utf8.RuneCountInString(a.left); n != 0 {
			return n
		}
		return utf8.RuneCountInString(b.right) - utf8.RuneCountInString(a.right)
	})
	list := make([]string, len(merges))
	for i, m := range merges {
		list[i] = m.left + " " + m.right
	}
	return list, nil
}

// isRun reports whether s repeats one code point.
func isRun(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return r != unicode.ReplacementChar && strings.Trim(s, string(r)) == ""
}
