package tokenizer

import (
	"encoding/json"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// FuzzRoundTrip: with byte-level BPE, whose vocabulary has every byte, any bytes come back as they were.
func FuzzRoundTrip(f *testing.F) {
	for _, s := range []string{"", "hello hello", "e\u0301 你好", "\xff\xfe", "'s'S  \r\n\t", "<|a|>", strings.Repeat("ab", 100)} {
		f.Add(s, uint8(0))
	}
	var toks []*Tokenizer
	for _, pre := range []string{"gpt-2", "llama-bpe", "qwen35", "deepseek-v3", "deepseek-llm", "deepseek-coder", "gpt-4o", "falcon", "kimi-k2", "superbpe", "bloom",
		"viking", "exaone-moe", "jais-2", "seed-coder", "laguna"} {
		md := byteLevelMetadata(pre, []string{"a b", "ab ab", "Ġ a", "h e", "l l", "he ll"}, []string{"<|a|>", "<b>", "  "})
		md.Set(keyBOS, gguf.ValueOf(uint32(0)))
		toks = append(toks, mustTokenizer(f, md))
	}
	f.Fuzz(func(t *testing.T, text string, pick uint8) {
		tok := toks[int(pick)%len(toks)]
		for _, o := range []Options{{}, {Special: true}, {UserDefined: true}} {
			if got := tok.DecodeSpecial(tok.Encode(text, o)); got != text {
				t.Errorf("%+v: %q came back as %q", o, text, got)
			}
		}
	})
}

// FuzzJSON: no file makes the reader panic, and what it accepts can be used.
func FuzzJSON(f *testing.F) {
	added := []object{{"id": 300, "content": "<x>", "special": true, "lstrip": true}, {"id": 301, "content": "the", "single_word": true, "normalized": true}}
	f.Add(hfJSON(f, object{"added_tokens": added, "normalizer": object{"type": "NFC"}}, nil), "a the<x>b")
	f.Add([]byte(`{"model":{"vocab":{"a":0,"b":1,"ab":2,"<0x-1>":3,"<0x41>":4},"merges":["a b","a b"],"byte_fallback":true,"unk_token":"?"}}`), "abA")
	f.Add([]byte(`{"pre_tokenizer":{"type":"Metaspace","replacement":"▁"},"model":{"vocab":{"▁":9,"a":0},"merges":[["▁","a"]]}}`), " a")
	f.Add([]byte(`{"model":{"vocab":{"a":0,"b":1},"merges":[]},"eos_token":{"content":"b"},"eos_token_id":[1,7,-1,0],"bos_token":"a"}`), "ab")
	f.Add([]byte(`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a-zé]+"},"behavior":"Isolated"},"model":{"type":"BPE"}}`), "x")
	f.Fuzz(func(t *testing.T, file []byte, text string) {
		tok, err := fromJSON(file, hfBeside{file, file, file, file}) // one object may have the keys of all
		if err != nil {
			return
		}
		use(t, tok, text)
		for _, id := range append(tok.ends, tok.EOS) {
			if id != none && !tok.IsEOG(id) {
				t.Errorf("token %d ends no answer", id)
			}
		}
	})
}

// FuzzGGUF builds metadata from lists that the fuzzer writes, one token or merge a line.
func FuzzGGUF(f *testing.F) {
	f.Add("gpt2", "gpt-2", "a\nb\nab\n<|x|>", "a b", []byte{1, 1, 1, 3}, int64(0), "ab<|x|>")
	f.Add("llama", "", "<unk>\n<s>\n</s>\n▁\n<0x-1>\n▁a\n<0x41>", "", []byte{2, 3, 3, 1, 6, 1, 6}, int64(1<<40), " aA")
	f.Add("gpt2", "deepseek-llm", "a\na", "a", []byte{9}, int64(-1), "a")
	f.Add("gpt2", "llama-bpe", "Ġ\nÃ\nÃĠ\nzzz", "Ã Ġ\nq q\nÃ Ġ", []byte{1, 1, 1, 4}, int64(1), " zzz\u00e0")
	f.Fuzz(func(t *testing.T, model, pre, tokens, merges string, types []byte, bos int64, text string) {
		md := new(gguf.Metadata)
		md.Set(keyModel, gguf.ValueOf(model))
		md.Set(keyPre, gguf.ValueOf(pre))
		md.Set(keyTokens, gguf.ArrayOf(strings.Split(tokens, "\n")))
		md.Set(keyMerges, gguf.ArrayOf(strings.Split(merges, "\n")))
		md.Set(keyBOS, gguf.ValueOf(bos))
		if len(types) > 0 {
			md.Set(keyTypes, gguf.ArrayOf(types))
		}
		tok, err := FromMetadata(md)
		if err != nil {
			return
		}
		use(t, tok, text)
		var out gguf.Metadata
		if err := tok.SetMetadata(&out); err != nil {
			return
		}
		if _, err := FromMetadata(&out); err != nil {
			t.Errorf("written metadata cannot be read: %v", err)
		}
		if err := PadMetadata(md, tok.Vocab()+5); err != nil {
			t.Errorf("padding: %v", err)
		}
		if padded, err := FromMetadata(md); err != nil || padded.Vocab() != tok.Vocab()+5 || !padded.IsUnused(tok.Vocab()) {
			t.Errorf("padded metadata cannot be read: %v", err)
		}
	})
}

// use calls everything once; ids must lie in the vocabulary.
func use(t *testing.T, tok *Tokenizer, text string) {
	for _, o := range []Options{{}, {Special: true}, {UserDefined: true}} {
		ids := tok.Encode(text, o)
		for _, id := range ids {
			if id < 0 || id >= tok.Vocab() {
				t.Fatalf("%q: id %d of %d", text, id, tok.Vocab())
			}
			if !o.Special && len(tok.Token(id)) > 0 && tok.IsSpecial(id) && id != tok.UNK {
				t.Errorf("%q became control token %d %q", text, id, tok.Token(id))
			}
		}
		tok.Decode(ids)
		tok.DecodeSpecial(ids)
	}
	if _, err := json.Marshal(tok.Token(tok.BOS)); err != nil {
		t.Error(err)
	}
	if file, config, err := tok.JSON("x"); err == nil {
		if _, err := FromJSON(file, config); err != nil {
			t.Errorf("written tokenizer.json cannot be read: %v", err)
		}
	}
}
