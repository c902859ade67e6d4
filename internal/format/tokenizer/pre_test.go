package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// TestPretokenizersGolden: words end where llama.cpp ends them. In the vocabulary of ref/pretokenizers.py every two bytes
// merge, so that ids show it.
func TestPretokenizersGolden(t *testing.T) {
	texts, golden := goldenWords(t, "testdata/pre.json")
	tok := pairsTokenizer(t)
	for name, ids := range golden.IDs {
		pre, err := pretokenizerNamed(name)
		if err != nil {
			t.Error(err)
			continue
		}
		sameWords(t, name, tok, pre.stages, texts, ids)
	}
	if len(golden.IDs) < 11 {
		t.Errorf("%d pre-tokenizers, want 11", len(golden.IDs))
	}
}

// TestExpressionsGolden: words end where HF tokenizers ends them, and the file that JSON writes has the same expression.
func TestExpressionsGolden(t *testing.T) {
	texts, golden := goldenWords(t, "testdata/pre_hf.json")
	tok := pairsTokenizer(t)
	for name, ids := range golden.IDs {
		pre := hfPre{}
		regex := golden.Regexes[name]
		if err := pre.addSplit(&regex, "Isolated", false); err != nil {
			t.Error(err)
			continue
		}
		sameWords(t, name, tok, pre.stages, texts, ids)
		pre.byteLevel = true
		if got := pre.ggufName(false); got != name || pretokenizers[got].form != name || hfExpressions[name] != regex {
			t.Errorf("%s: is %q in GGUF, and written as %q", name, got, hfExpressions[name])
		}
	}
	if len(golden.IDs) < 3 {
		t.Errorf("%d expressions, want 3", len(golden.IDs))
	}
}

type wordsFile struct {
	Texts   []string
	Regexes map[string]string
	IDs     map[string][][]int
}

// goldenWords reads a golden file and the texts, which are those of pre.json.
func goldenWords(t *testing.T, path string) (texts []string, golden wordsFile) {
	t.Helper()
	var first wordsFile
	for _, file := range []struct {
		path string
		into *wordsFile
	}{{"testdata/pre.json", &first}, {path, &golden}} {
		data, err := os.ReadFile(file.path)
		if err == nil {
			err = json.Unmarshal(data, file.into)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return first.Texts, golden
}

// sameWords compares the ids of texts that stages cut.
func sameWords(t *testing.T, name string, tok *Tokenizer, stages []stage, texts []string, ids [][]int) {
	t.Helper()
	tok.scheme.(*bpe).stages = stages
	if len(ids) != len(texts) || len(ids) < 60 {
		t.Fatalf("%s: %d texts, %d lines of ids", name, len(texts), len(ids))
	}
	for i, text := range texts {
		if got := tok.Encode(text, Options{}); !slices.Equal(got, ids[i]) {
			var words []string
			split(text, stages, func(w string) { words = append(words, w) })
			t.Errorf("%s: %q is cut to %q\n got %v\nwant %v", name, text, words, got, ids[i])
		}
	}
}

func pairsTokenizer(t *testing.T) *Tokenizer {
	var merges []string
	for _, left := range alphabet {
		for _, right := range alphabet {
			merges = append(merges, string(left)+" "+string(right))
		}
	}
	return mustTokenizer(t, pairsMetadata(merges))
}

// pairsMetadata is byteLevelMetadata of merges that are all different, without looking for the same text twice.
func pairsMetadata(merges []string) *gguf.Metadata {
	var texts []string
	for _, r := range alphabet {
		texts = append(texts, string(r))
	}
	for _, m := range merges {
		texts = append(texts, strings.Replace(m, " ", "", 1))
	}
	md := new(gguf.Metadata)
	md.Set(keyModel, gguf.ValueOf("gpt2"))
	md.Set(keyPre, gguf.ValueOf("gpt-2"))
	md.Set(keyTokens, gguf.ArrayOf(texts))
	md.Set(keyMerges, gguf.ArrayOf(merges))
	return md
}

// TestHan: the blocks that llama.cpp's unicode_cpt_is_han has, to their ends.
func TestHan(t *testing.T) {
	for _, block := range [][2]rune{{0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x2A6DF}, {0x2A700, 0x2EBEF}, {0x2F800, 0x2FA1F}} {
		if !isHan(block[0]) || !isHan(block[1]) || isHan(block[0]-1) || isHan(block[1]+1) {
			t.Errorf("%U to %U: %v %v, beside it %v %v", block[0], block[1], isHan(block[0]), isHan(block[1]), isHan(block[0]-1), isHan(block[1]+1))
		}
	}
}
