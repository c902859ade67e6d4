package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// hfJSON is a tokenizer.json: a model of few tokens, with more keys merged into the file and its model.
func hfJSON(t testing.TB, file, model map[string]any) []byte {
	t.Helper()
	vocab := map[string]int{}
	for _, r := range alphabet {
		vocab[string(r)] = len(vocab)
	}
	vocab["ab"], vocab["▁"], vocab["▁a"] = 256, 257, 258
	m := map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{"a b", "▁ a"}}
	for k, v := range model {
		m[k] = v
	}
	f := map[string]any{"model": m, "pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}}
	for k, v := range file {
		f[k] = v
	}
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type object = map[string]any

func split1(regex string) object {
	return object{"type": "Split", "pattern": object{"Regex": regex}, "behavior": "Isolated", "invert": false}
}

// nested is Sequences in Sequences.
func nested(depth int) object {
	o := object{"type": "Sequence"}
	if depth > 0 {
		o["normalizers"], o["pretokenizers"] = []object{nested(depth - 1)}, []object{nested(depth - 1)}
	}
	return o
}

// TestJSONErrors breaks one thing at a time; the error must name it.
func TestJSONErrors(t *testing.T) {
	for name, test := range map[string]struct {
		file, model object
		want        string
	}{
		"unigram":          {nil, object{"type": "Unigram", "vocab": []any{[]any{"a", -1.5}}}, `"Unigram"`},
		"word piece":       {nil, object{"type": "WordPiece"}, `"WordPiece"`},
		"suffix":           {nil, object{"end_of_word_suffix": "</w>"}, "end_of_word_suffix"},
		"unknown regex":    {object{"pre_tokenizer": split1(`\w+`)}, nil, `\\w+`},
		"behaviour":        {object{"pre_tokenizer": object{"type": "Split", "pattern": object{"Regex": `\p{N}`}, "behavior": "Removed"}}, nil, `"Removed"`},
		"pre-tokenizer":    {object{"pre_tokenizer": object{"type": "Klingon"}}, nil, `"Klingon"`},
		"after byte level": {object{"pre_tokenizer": object{"type": "Sequence", "pretokenizers": []object{{"type": "ByteLevel"}, {"type": "Digits"}}}}, nil, "Digits"},
		"normalizer":       {object{"normalizer": object{"type": "Precompiled"}}, nil, `"Precompiled"`},
		"replace regex":    {object{"normalizer": object{"type": "Replace", "pattern": object{"Regex": " +"}, "content": " "}}, nil, "Replace"},
		"negative id":      {nil, object{"vocab": object{"a": -1}}, "id -1"},
		"huge id":          {nil, object{"vocab": object{"a": 1 << 30}}, `"a"`},
		"two tokens":       {nil, object{"vocab": object{"a": 1, "b": 1}}, "one id"},
		"bad merge":        {nil, object{"merges": []string{"ab"}}, `merge 0 is "ab"`},
		"merge of three":   {nil, object{"merges": [][]string{{"a", "b", "c"}}}, "merge 0"},
		"missing piece":    {nil, object{"merges": []string{"a c"}}, `"ac" is not in the vocabulary`},
		"added id":         {object{"added_tokens": []object{{"id": 5, "content": "<x>"}}}, nil, `"<x>"`},
		"added huge":       {object{"added_tokens": []object{{"id": 1 << 30, "content": "<x>"}}}, nil, `"<x>"`},
		"added empty":      {object{"added_tokens": []object{{"id": 300, "content": ""}}}, nil, "300 is empty"},
		"nested":           {object{"normalizer": nested(12)}, nil, "nested deeper than 8"},
		"nested too":       {object{"pre_tokenizer": nested(12)}, nil, "nested deeper than 8"},
		"metaspace":        {object{"pre_tokenizer": object{"type": "Metaspace", "replacement": "_"}}, nil, `"_"`},
	} {
		_, err := FromJSON(hfJSON(t, test.file, test.model), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %s", name, err, test.want)
		}
	}
	for _, bad := range []string{"", "{", "[]", `{"model": 3}`} {
		if _, err := FromJSON([]byte(bad), nil); err == nil {
			t.Errorf("%q made a tokenizer", bad)
		}
	}
	if _, err := FromJSON(hfJSON(t, nil, nil), []byte(`{"bos_token": 7}`)); err == nil || !strings.Contains(err.Error(), "tokenizer_config") {
		t.Errorf("bad config: error %v", err)
	}
}

// TestJSONSpecial checks where BOS and EOS come from: the config before post_processor.
func TestJSONSpecial(t *testing.T) {
	added := []object{{"id": 300, "content": "<s>", "special": true}, {"id": 301, "content": "</s>", "special": true},
		{"id": 302, "content": "<｜User｜>", "special": false}, {"id": 303, "content": "<think>", "special": false}}
	template := object{"type": "Sequence", "processors": []object{{"type": "ByteLevel"}, {"type": "TemplateProcessing",
		"single": []object{{"SpecialToken": object{"id": "<s>"}}, {"Sequence": object{"id": "A"}}, {"SpecialToken": object{"id": "</s>"}}}}}}
	data := hfJSON(t, object{"added_tokens": added, "post_processor": template}, nil)
	tok, err := FromJSON(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if tok.BOS != 300 || tok.EOS != 301 || !tok.AddBOS || !tok.AddEOS || !tok.IsEOG(301) {
		t.Errorf("BOS %d EOS %d AddBOS %v AddEOS %v", tok.BOS, tok.EOS, tok.AddBOS, tok.AddEOS)
	}
	if !tok.IsSpecial(302) || tok.IsSpecial(303) || string(tok.Bytes(303)) != "<think>" || tok.Vocab() != 304 {
		t.Errorf("<｜User｜> special %v, <think> special %v, vocab %d", tok.IsSpecial(302), tok.IsSpecial(303), tok.Vocab())
	}
	tok, err = FromJSON(data, []byte(`{"add_bos_token": false, "bos_token": {"content": "</s>"}, "eos_token": "<s>", "pad_token": null}`))
	if err != nil {
		t.Fatal(err)
	}
	if tok.BOS != 301 || tok.EOS != 300 || tok.AddBOS || tok.PAD != -1 {
		t.Errorf("with config: BOS %d EOS %d AddBOS %v PAD %d", tok.BOS, tok.EOS, tok.AddBOS, tok.PAD)
	}
}

// TestNFC: Qwen composes before it cuts words, but not inside added tokens.
func TestNFC(t *testing.T) {
	tok, err := FromJSON(hfJSON(t, object{"normalizer": object{"type": "NFC"}}, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Decode(tok.Encode("e\u0301", Options{})); got != "é" {
		t.Errorf("decomposed é came back as %+q, want it composed", got)
	}
}

// TestMetaspace checks BPE over code points: ▁ for spaces, byte fallback, and the space that Decode takes off again. The ids
// follow from the merges by hand; ref/hf_ids.py was compared on Llama 2's vocabulary.
func TestMetaspace(t *testing.T) {
	vocab := object{"<unk>": 0, "a": 1, "b": 2, "▁": 3, "▁a": 4, "ab": 5, "<0xC3>": 6, "<0xA9>": 7}
	model := object{"vocab": vocab, "merges": []string{"▁ a", "a b"}, "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true}
	prepend := object{"type": "Sequence", "normalizers": []object{{"type": "Prepend", "prepend": "▁"},
		{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}}}
	for name, test := range map[string]struct {
		file object
		text string
		want []int
	}{
		"llama 2":  {object{"normalizer": prepend, "pre_tokenizer": nil}, "ab aé", []int{4, 2, 4, 6, 7}},
		"unknown":  {object{"normalizer": prepend, "pre_tokenizer": nil}, "zzb", []int{3, 0, 2}},
		"first":    {object{"pre_tokenizer": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}}, "ab", []int{4, 2}},
		"no twice": {object{"pre_tokenizer": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}}, " ab", []int{4, 2}},
		"never":    {object{"pre_tokenizer": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true}}, "ab a", []int{5, 4}},
	} {
		tok, err := FromJSON(hfJSON(t, test.file, model), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(test.text, Options{}); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q became %v, want %v", name, test.text, got, test.want)
		}
	}
}
