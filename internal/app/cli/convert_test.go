package cli

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/format/weights"
)

// TestConvertNotes: what whoever uses a folder should know of its vocabulary is told in one line.
func TestConvertNotes(t *testing.T) {
	stories, _ := needTinyModels(t)
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd.gguf")
	f, err := gguf.Open(stories)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Set("tokenizer.ggml.scores", gguf.ArrayOf(make([]float32, 512))) // every token of one score: no tokenizer.json can say that
	pool := par.New(1)
	defer pool.Close()
	r := weights.Recoding{Source: weights.FromGGUF(f), Metadata: &f.Metadata, Layout: weights.Layout{Layers: 5, Tied: true}, Pool: pool, Told: func(int64, int64, string) {}}
	if err := r.WriteGGUF(context.Background(), odd); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	if err := (&convertOptions{threads: 1}).run(context.Background(), odd, filepath.Join(dir, "folder"), io.Discard, &told); err != nil {
		t.Fatal(err)
	}
	if got := told.String(); !strings.HasPrefix(got, "note: the vocabulary is kept as tokenizer.gguf, ") || strings.Count(got, "\n") != 1 {
		t.Errorf("told %q", got)
	}
}
