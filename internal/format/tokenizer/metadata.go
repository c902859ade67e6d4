package tokenizer

import (
	"fmt"

	"retort/internal/format/gguf"
)

// SetMetadata writes the tokenizer.ggml keys that describe t, so that FromMetadata and llama.cpp make the same tokenizer
// again. An id without a token becomes an unused token. What GGUF cannot say is lost: normalizers such as NFC, and
// the flags lstrip, rstrip and single_word of added tokens. Words cut in a way for which there is no tokenizer.ggml.pre are
// an error.
func (t *Tokenizer) SetMetadata(md *gguf.Metadata) error {
	switch s := t.scheme.(type) {
	case *bpe:
		if s.runes != nil {
			return t.setSentencePiece(md, s)
		}
		if t.pre == "" {
			return fmt.Errorf("tokenizer: no %s cuts words as this tokenizer does", keyPre)
		}
		t.setTokens(md, "gpt2", t.pre)
		md.Set(keyMerges, gguf.ArrayOf(t.merges))
	case *spm:
		t.setTokens(md, "llama", "default")
		md.Set(keyScores, gguf.ArrayOf(t.scores))
		md.Set(keySpacePrefix, gguf.ValueOf(t.pad == padStart))
	}
	t.setSpecial(md)
	return nil
}

// setSentencePiece describes BPE over code points as llama.cpp's SentencePiece, which it is when spaces become ▁, words are
// not cut and what has no token is spelled in bytes. The score of a token tells when its first merge was learnt.
func (t *Tokenizer) setSentencePiece(md *gguf.Metadata, b *bpe) error {
	prefix := t.normalized(" x y") == "▁▁x▁y"
	if !prefix && t.normalized(" x y") != "▁x▁y" || len(b.stages) > 0 || t.pad != padNone || !b.hasBytes("\x00\n\xFF") {
		return fmt.Errorf("tokenizer: BPE over code points that is not SentencePiece's cannot be kept in GGUF")
	}
	scores := make([]float32, len(t.text))
	for i := range scores {
		scores[i] = -float32(len(t.merges) + 1)
	}
	for _, e := range b.merges.entries {
		if e.value != 0 {
			rank, id := (e.value-1)>>32, uint32(e.value-1)
			scores[id] = max(scores[id], -float32(rank))
		}
	}
	t.setTokens(md, "llama", "default")
	md.Set(keyScores, gguf.ArrayOf(scores))
	md.Set(keySpacePrefix, gguf.ValueOf(prefix))
	t.setSpecial(md)
	return nil
}

// PadMetadata gives the vocabulary in md as many tokens as the model's embedding has rows, which llama.cpp wants and Hugging
// Face does not: what is added are unused tokens. More tokens than rows are an error. Metadata without a vocabulary stays.
func PadMetadata(md *gguf.Metadata, rows int) error {
	if _, ok := md.Value(keyTokens); !ok {
		return nil
	}
	texts, err := md.Strings(keyTokens)
	if err != nil {
		return err
	}
	switch n := len(texts); {
	case n > rows:
		return fmt.Errorf("the vocabulary has %d tokens, the embedding only %d rows", n, rows)
	case n == rows:
		return nil
	}
	types, err := md.IntsOr(keyTypes, nil)
	if err != nil {
		return err
	}
	_, scored := md.Value(keyScores) // SentencePiece
	taken := make(map[string]bool, rows)
	for _, text := range texts {
		taken[text] = true
	}
	padded := make([]int32, rows)
	for id := range padded {
		switch {
		case id >= len(texts):
			texts, padded[id] = append(texts, padName(id, rows, func(name string) bool { return taken[name] })), int32(unused)
		case id < len(types):
			padded[id] = int32(types[id])
		default:
			padded[id] = int32(normal)
			if _, isByte := parseByteToken(texts[id]); isByte && scored { // as is read where there are no types
				padded[id] = int32(byteToken)
			}
		}
	}
	if scored {
		scores, err := md.FloatsOr(keyScores, nil)
		if err != nil {
			return err
		}
		for len(scores) < rows {
			scores = append(scores, padScore)
		}
		md.Set(keyScores, gguf.ArrayOf(scores))
	}
	md.Set(keyTokens, gguf.ArrayOf(texts))
	md.Set(keyTypes, gguf.ArrayOf(padded))
	return nil
}

// padScore is what llama.cpp's converter gives tokens of SentencePiece that no text becomes.
const padScore = -10000

// padName is the text of an unused token: [PAD300] for id 300, as llama.cpp's converter names it, or one that no token has.
func padName(id, ids int, taken func(name string) bool) string {
	for n := id; ; n += ids {
		if name := fmt.Sprintf("[PAD%d]", n); !taken(name) {
			return name
		}
	}
}

func (t *Tokenizer) setTokens(md *gguf.Metadata, model, pre string) {
	texts := make([]string, len(t.text))
	types := make([]int32, len(t.text))
	for id, text := range t.text {
		if texts[id], types[id] = text, int32(t.kind[id]); text == "" {
			texts[id] = padName(id, len(t.text), func(name string) bool { _, taken := t.byText[name]; return taken })
			types[id] = int32(unused)
		}
	}
	md.Set(keyModel, gguf.ValueOf(model))
	md.Set(keyPre, gguf.ValueOf(pre))
	md.Set(keyTokens, gguf.ArrayOf(texts))
	md.Set(keyTypes, gguf.ArrayOf(types))
}

func (t *Tokenizer) setSpecial(md *gguf.Metadata) {
	eot, eom, rest := t.spareEnds()
	for _, x := range []struct {
		key string
		id  int
	}{{keyBOS, t.BOS}, {keyEOS, t.EOS}, {keyUNK, t.UNK}, {keyPAD, t.PAD}, {keyEOT, eot}, {keyEOM, eom}} {
		if x.id >= 0 {
			md.Set(x.key, gguf.ValueOf(uint32(x.id)))
		}
	}
	if len(rest) > 0 {
		ids := make([]uint32, len(rest))
		for i, id := range rest {
			ids[i] = uint32(id)
		}
		md.Set(keyEnds, gguf.ArrayOf(ids))
	}
	md.Set(keyAddBOS, gguf.ValueOf(t.AddBOS))
	md.Set(keyAddEOS, gguf.ValueOf(t.AddEOS))
}
