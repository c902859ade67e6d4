package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/format/gguf"
	"retort/internal/numtest"
)

// BenchmarkEncode measures MB/s on real text: English, Chinese, Japanese, per vocabulary.
func BenchmarkEncode(b *testing.B) {
	for _, text := range []string{"tinyshakespeare.txt", "tang300.zh.json", "wagahaiwa_nekodearu.ja.txt"} {
		for _, vocab := range []string{"gpt-2", "deepseek-llm", "deepseek-coder", "llama-spm"} {
			b.Run(vocab+"/"+strings.SplitN(text, ".", 2)[0], func(b *testing.B) {
				data, err := os.ReadFile(numtest.Shared(b, "data/texts/"+text))
				if err != nil {
					b.Fatal(err)
				}
				tok := fromGGUF(b, filepath.Join(numtest.Shared(b, "data/vocabs"), "ggml-vocab-"+vocab+".gguf"))
				s := string(data[:min(len(data), 1<<20)])
				tok.Encode(s, Options{})
				b.SetBytes(int64(len(s)))
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					tok.Encode(s, Options{})
				}
			})
		}
	}
}

// BenchmarkLoadJSON measures reading DeepSeek-V3's tokenizer.json of 7.8 MB.
func BenchmarkLoadJSON(b *testing.B) {
	data, err := os.ReadFile(numtest.Shared(b, "data/tokenizers/deepseek-v3/tokenizer.json"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := FromJSON(data, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad measures reading a vocabulary.
func BenchmarkLoad(b *testing.B) {
	f, err := gguf.Open(filepath.Join(numtest.Shared(b, "data/vocabs"), "ggml-vocab-deepseek-llm.gguf"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		if _, err := FromGGUF(f); err != nil {
			b.Fatal(err)
		}
	}
}
