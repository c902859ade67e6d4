package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/numtest"
)

// throughJSON writes tok as tokenizer.json and reads it again.
func throughJSON(t *testing.T, tok *Tokenizer) *Tokenizer {
	t.Helper()
	file, config, err := tok.JSON("{{ bos_token }}<b>")
	if err != nil {
		t.Fatal(err)
	}
	back, err := FromJSON(file, config)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Template string `json:"chat_template"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.Template != "{{ bos_token }}<b>" {
		t.Errorf("chat_template is %q (%v)", c.Template, err)
	}
	if dir := os.Getenv("RETORT_KEEP"); dir != "" {
		dir = filepath.Join(dir, filepath.Base(t.Name()))
		for name, b := range map[string][]byte{"tokenizer.json": file, "tokenizer_config.json": config} {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	return back
}

// TestToJSON writes every vocabulary as tokenizer.json and holds it to the ids of TestVocabularies.
//
// The files that RETORT_KEEP=DIR keeps were read by HF tokenizers 0.23.3 and by AutoTokenizer of transformers 5.24: see
// ref/hf_folder.py. Both gave these ids, of llama.cpp's texts and of the random ones. One model's class of transformers
// differs: Qwen2Tokenizer, which config.json's model_type brings, puts text into NFC first (27 random texts).
func TestToJSON(t *testing.T) {
	cases := readCases(t, numtest.Shared(t, "data/vocabs/ggml-vocab-gpt-2.gguf.inp"))
	for name, load := range vocabularies {
		if name == "deepseek-r1-qwen" {
			continue // the vocabulary of qwen2
		}
		t.Run(name, func(t *testing.T) {
			tok := load(t)
			back := throughJSON(t, tok)
			ids := "testdata/" + name + ".ids"
			if !fileExists(ids) {
				ids = numtest.Shared(t, "data/vocabs/ggml-vocab-"+name+".gguf.out")
			}
			compare(t, back, cases, readIDs(t, ids))
			for _, text := range readTexts(t, "testdata/random.json") {
				for _, o := range []Options{{}, {Special: true}} {
					if got, want := back.Encode(text, o), tok.Encode(text, o); !slices.Equal(got, want) {
						t.Errorf("%q became %v, want %v", text, got, want)
					}
				}
			}
			sameFacts(t, back, tok)
		})
	}
}

// sameFacts holds what a tokenizer says of its tokens to what another says.
func sameFacts(t *testing.T, got, want *Tokenizer) {
	t.Helper()
	facts := func(t *Tokenizer) []any { return []any{t.BOS, t.EOS, t.UNK, t.PAD, t.AddBOS, t.AddEOS} }
	if !slices.Equal(facts(got), facts(want)) {
		t.Errorf("BOS, EOS, UNK, PAD, AddBOS, AddEOS are %v, want %v", facts(got), facts(want))
	}
	for id := range want.Vocab() {
		text := want.Token(id)
		if want.kind[id] == unused {
			continue
		}
		special := want.IsSpecial(id) || want.kind[id] == userDefined && (&hfAdded{Content: text}).looksSpecial()
		if got.Token(id) != text || got.IsEOG(id) != want.IsEOG(id) || got.IsSpecial(id) != special || !special && string(got.Bytes(id)) != string(want.Bytes(id)) {
			t.Fatalf("token %d is %q, special %v, end %v, bytes %q, want %q, %v, %v, %q", id, got.Token(id), got.IsSpecial(id), got.IsEOG(id), got.Bytes(id),
				text, special, want.IsEOG(id), want.Bytes(id))
		}
	}
}

// TestToJSONForms: every pre_tokenizer that is written is read as the stages it was written for.
func TestToJSONForms(t *testing.T) {
	written := 0
	for name, pre := range pretokenizers {
		md := byteLevelMetadata(name, []string{"a b"}, []string{"<|im_end|>", "<tool_call>"})
		md.Set(keyBOS, gguf.ValueOf(uint32(257)))
		tok := mustTokenizer(t, md)
		file, config, err := tok.JSON("")
		if pre.form == "" {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: error %v, want one that names it", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		back, err := FromJSON(file, config)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := pretokenizers[back.pre].form; got != pre.form || (back.scheme.(*bpe).words != nil) != pre.ignoreMerges {
			t.Errorf("%s is read as %q, want %q", name, got, pre.form)
		}
		if strings.Contains(string(config), "chat_template") {
			t.Errorf("%s: a chat template from nowhere", name)
		}
		written++
	}
	if written < 20 {
		t.Errorf("%d pre-tokenizers have a form, want 20 and more", written)
	}
}

// TestToJSONRuns: runs and repetitions, in which scores tie and parts overlap, become the same tokens.
func TestToJSONRuns(t *testing.T) {
	tok := sharedVocab("llama-spm")(t)
	back := throughJSON(t, tok)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b strings.Builder
		unit := []string{" ", "a", "an", "na", "-", "=", "0", ".", "\n", "\t", "the ", "ha", "é", "。"}
		for range 1 + rng.IntN(4) {
			b.WriteString(strings.Repeat(unit[rng.IntN(len(unit))], 1+rng.IntN(40)))
		}
		if got, want := back.Encode(b.String(), Options{}), tok.Encode(b.String(), Options{}); !slices.Equal(got, want) {
			t.Fatalf("%q became %v, want %v", b.String(), got, want)
		}
	}
}

// TestToJSONRefused: what has no certain form is an error that names it.
func TestToJSONRefused(t *testing.T) {
	noByte := spmMetadata([]string{"a"}, []float32{0})
	noByte.Set(keyTypes, gguf.ArrayOf(slices.Repeat([]int32{int32(normal)}, 260)))
	cut := byteLevelMetadata("gpt-2", nil, nil)
	cut.Set(keyMerges, gguf.ArrayOf([]string{"a q"}))
	control := byteLevelMetadata("gpt-2", nil, []string{"a|"})
	control.Set(keyMerges, gguf.ArrayOf([]string{"a |"}))
	for name, c := range map[string]struct {
		md   *gguf.Metadata
		want string
	}{
		"pre":        {byteLevelMetadata("falcon", []string{"a b"}, nil), `"falcon"`},
		"spaces":     {byteLevelMetadata("gpt-2", []string{"a b c"}, nil), `merge 0 is "a b c"`},
		"cut":        {cut, `"aq" is no token`},
		"control":    {control, `"a|" is no token that text may become`},
		"utf-8":      {byteLevelMetadata("gpt-2", []string{"a b"}, []string{"<\xff>"}), "want UTF-8"},
		"tie":        {spmMetadata([]string{"a", "b", "c", "ab", "bc"}, []float32{-9, -8, -7, -1, -1}), "have one score, -1"},
		"no letter":  {spmMetadata([]string{"a", "ab"}, []float32{-9, -1}), `has the part 'b'`},
		"no byte":    {noByte, "not every byte"},
		"normalizer": {nil, "normalized"},
	} {
		var tok *Tokenizer
		var err error
		if c.md != nil {
			tok = mustTokenizer(t, c.md)
		} else if tok, err = FromJSON(hfJSON(t, object{"normalizer": object{"type": "NFC"}}, nil), nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tok.JSON(""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %s", name, err, c.want)
		}
	}
	twice := mustTokenizer(t, byteLevelMetadata("gpt-2", []string{"a b", "c d", "a b"}, nil))
	if back := throughJSON(t, twice); !slices.Equal(back.merges, []string{"a b", "c d"}) {
		t.Errorf("merges are %q: of one that is there twice the first counts", back.merges)
	}
}
