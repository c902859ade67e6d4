package cli

import (
	"os"

	"retort/internal/format/atomicfile"
	"retort/internal/format/tokenizer"
	"retort/internal/lm/session"
)

// Bounds of the files of a folder that are read whole. The largest tokenizer.json in use have 35 MB, other files some
// 100 KB.
const (
	maxTokenizer = 256 << 20
	maxConfig    = 4 << 20
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readBounded(path string, limit int64) ([]byte, error) { return atomicfile.ReadFile(path, limit) }

func describe(path string) (session.Info, error) { return session.Describe(path) }

func readVocabulary(path string) (*tokenizer.Tokenizer, string, error) {
	f, err := tokenizer.Open(path)
	if err != nil {
		return nil, "", err
	}
	return f.Tokenizer, f.ChatTemplate, nil
}

func readFolderVocabulary(path string) (*tokenizer.Tokenizer, string, error) {
	return readVocabulary(path)
}

var rawText = tokenizer.Options{UserDefined: true}
