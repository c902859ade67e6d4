package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// words cuts text as the pre-tokenizer of that name does.
func words(t testing.TB, pre, text string) (out []string) {
	t.Helper()
	p, err := pretokenizerNamed(pre)
	if err != nil {
		t.Fatal(err)
	}
	split(text, p.stages, func(w string) { out = append(out, w) })
	return out
}

// TestWords shows what each family makes of one text. The words are those of HF tokenizers' pre-tokenizers, or follow from
// the expression by hand; ids in testdata prove the rest.
func TestWords(t *testing.T) {
	const text = "I'LL it's  x²=1234,\tÜber e\u0301 你好。\n\n \r\n fooBar~a  "
	for pre, want := range map[string][]string{
		"gpt-2": {"I", "'", "LL", " it", "'s", " ", " x", "²", "=", "1234", ",", "\t", "Über", " e", "\u0301", " 你好", "。",
			"\n\n \r\n", " fooBar", "~", "a", "  "},
		"smollm": {"I", "'", "LL", " it", "'s", " ", " x", "²", "=", "1", "2", "3", "4", ",", "\t", "Über", " e", "\u0301",
			" 你好", "。", "\n\n \r\n", " fooBar", "~", "a", "  "},
		"llama-bpe": {"I", "'LL", " it", "'s", " ", " x", "²", "=", "123", "4", ",", "\tÜber", " e", "\u0301", " 你好", "。\n\n",
			" \r\n", " fooBar", "~a", "  "},
		"qwen2": {"I", "'LL", " it", "'s", " ", " x", "²", "=", "1", "2", "3", "4", ",", "\tÜber", " e", "\u0301", " 你好",
			"。\n\n", " \r\n", " fooBar", "~a", "  "},
		"qwen35": {"I", "'LL", " it", "'s", " ", " x", "²", "=", "1", "2", "3", "4", ",", "\tÜber", " e\u0301", " 你好",
			"。\n\n", " \r\n", " fooBar", "~a", "  "},
		"deepseek-v3": {"I", "'LL", " it", "'s", " ", " x", "²", "=", "123", "4", ",", "\tÜber", " e\u0301", " ", "你好", "。\n\n",
			" \r\n", " fooBar", "~a", "  "},
		"deepseek-coder": {"I", "'", "LL", " it", "'", "s", " ", " x", "²", "=", "1", "2", "3", "4", ",", "\tÜber", " e", "\u0301",
			" ", "你好", "。", "\n", "\n", " ", "\r", "\n", " fooBar", "~", "a", "  "},
		"deepseek-llm": {"I", "'", "LL", " it", "'", "s", " ", " x", "²", "=", "1234", ",", "\tÜ", "ber", " e", "\u0301 ", "你好", "。",
			"\n", "\n", " ", "\r", "\n", " fooBar", "~", "a", "  "},
		"gpt-4o": {"I'LL", " it's", " ", " x", "²", "=", "123", "4", ",", "\tÜber", " e\u0301", " 你好", "。\n\n", " \r\n", " foo", "Bar",
			"~a", "  "},
		"tekken": {"I", "'LL", " it", "'s", " ", " x", "²", "=", "1", "2", "3", "4", ",", "\tÜber", " e\u0301", " 你好", "。\n\n",
			" \r\n", " foo", "Bar", "~a", "  "},
		"falcon": {"I", "'", "LL", " it", "'", "s", " ", " x", "²", "=", "123", "4", ",", "\t", "Über", " e", "\u0301", " 你好", "。",
			"\n\n \r\n", " fooBar", "~", "a", "  "},
	} {
		if got := words(t, pre, text); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", pre, got, want)
		}
	}
}

// TestWordsKeepText checks what any cut must hold: the words joined are the text and none is empty, whatever the bytes.
func TestWordsKeepText(t *testing.T) {
	texts := append(readTexts(t, "testdata/random.json"), "\xff", "a\xc3", "\xe4\xb8", "'\xff", " \xf0\x9f", "1\x80\x80 2", "'", "'l", " ")
	for pre := range pretokenizers {
		for _, text := range texts {
			got := words(t, pre, text)
			if strings.Join(got, "") != text || slices.Contains(got, "") {
				t.Errorf("%s: %q became %q", pre, text, got)
			}
		}
	}
}

// TestWordsLinear feeds each scanner a long run of what could make it look again and again at the same run.
func TestWordsLinear(t *testing.T) {
	const n = 1 << 16
	for pre := range pretokenizers {
		for _, run := range []string{" ", "\n", "a", "A", "1", ".", "　", "é", "\x00", " \n", "一", "'"} {
			text := strings.Repeat(run, n/len(run)) + "一"
			start := time.Now()
			words(t, pre, text)
			// Minutes would be quadratic; linear is some milliseconds.
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%s: %d bytes of %q took %v", pre, len(text), run, d)
			}
		}
	}
}

func TestUnknownPretokenizer(t *testing.T) {
	_, err := pretokenizerNamed("klingon")
	if err == nil || !strings.Contains(err.Error(), `"klingon"`) || !strings.Contains(err.Error(), "llama-bpe") {
		t.Errorf("error %v, want one that names klingon and the known ones", err)
	}
}
