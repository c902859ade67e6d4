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
	var golden struct {
		Texts []string
		IDs   map[string][][]int
	}
	data, err := os.ReadFile("testdata/pre.json")
	if err == nil {
		err = json.Unmarshal(data, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	var merges []string
	for _, left := range alphabet {
		for _, right := range alphabet {
			merges = append(merges, string(left)+" "+string(right))
		}
	}
	tok := mustTokenizer(t, pairsMetadata(merges))
	for name, ids := range golden.IDs {
		pre, err := pretokenizerNamed(name)
		if err != nil {
			t.Error(err)
			continue
		}
		tok.scheme.(*bpe).stages = pre.stages
		if len(ids) != len(golden.Texts) || len(ids) < 60 {
			t.Fatalf("%s: %d texts, %d lines of ids", name, len(golden.Texts), len(ids))
		}
		for i, text := range golden.Texts {
			if got := tok.Encode(text, Options{}); !slices.Equal(got, ids[i]) {
				t.Errorf("%s: %q is cut to %q\n got %v\nwant %v", name, text, words(t, name, text), got, ids[i])
			}
		}
	}
	if len(golden.IDs) < 11 {
		t.Errorf("%d pre-tokenizers, want 11", len(golden.IDs))
	}
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
