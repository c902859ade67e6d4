package tokenizer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDifferential compares with an oracle over as many texts as one likes: RETORT_TOKENIZER_DIFF is
// "TOKENIZER TEXTS.json IDS", with TEXTS.json from ref/random_texts.py and IDS from an oracle, one line a text. It is a tool for whoever changes the tokenizer, and no part of the gate, which runs
// the committed cases of each vocabulary.
func TestDifferential(t *testing.T) {
	args := strings.Fields(os.Getenv("RETORT_TOKENIZER_DIFF"))
	if len(args) != 3 {
		t.Skip("RETORT_TOKENIZER_DIFF does not name a tokenizer, texts and ids")
	}
	var tok *Tokenizer
	if strings.HasSuffix(args[0], ".gguf") {
		tok = fromGGUF(t, args[0])
	} else {
		tok = fromJSONFiles(t, args[0], "")
	}
	o := Options{Special: os.Getenv("RETORT_TOKENIZER_DIFF_SPECIAL") != "", UserDefined: true}
	texts, want := readTexts(t, args[1]), readIDs(t, args[2])
	if len(texts) != len(want) {
		t.Fatalf("%d texts, %d lines of ids", len(texts), len(want))
	}
	bad := 0
	for i, text := range texts {
		if got := tok.Encode(text, o); !slices.Equal(got, want[i]) {
			if bad++; bad <= 15 {
				k := 0
				for k < len(got) && k < len(want[i]) && got[k] == want[i][k] {
					k++
				}
				spell := func(ids []int) (s []string) {
					for _, id := range ids {
						s = append(s, tok.DecodeSpecial([]int{id}))
					}
					return s
				}
				t.Errorf("%+q\n got %d %q\nwant %d %q", text, got[k:], spell(got[k:]), want[i][k:], spell(want[i][k:]))
			}
		}
	}
	t.Logf("%d of %d differ", bad, len(texts))
}

func readTexts(t testing.TB, path string) (texts []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &texts)
	}
	if err != nil {
		t.Fatal(err)
	}
	return texts
}
