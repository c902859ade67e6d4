package distill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/learn/data"
)

// A finished training answers the same command at once, and refuses one whose text has changed under the same config.
func TestScratchKnowsItsData(t *testing.T) {
	from, dir := "../../../models/ledger", t.TempDir()
	config := `{name: a, tokenizer: tokenizer.json, model: {layers: 1, width: 16, heads: 2, kv_heads: 2, ffn: 16, context: 32},
data: {files: [text]}, train: {batch: 2, tokens: 64, seq: 16, epochs: 1, warmup_steps: 1}, seed: 1}`
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(b))
	}
	write("config.yaml", config)
	train := func() (steps int, err error) {
		c, err := ReadScratch(filepath.Join(dir, "config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = TrainScratch(t.Context(), c, filepath.Join(dir, "out"), 1, func(ScratchProgress) { steps++ })
		return steps, err
	}
	write("text", strings.Repeat("one two three ", 20))
	if n, err := train(); n == 0 || err != nil {
		t.Fatalf("%d steps, %v", n, err)
	}
	if n, err := train(); n != 0 || err != nil {
		t.Errorf("the same again took %d steps, %v", n, err)
	}
	write("text", strings.Repeat("four five six ", 20))
	if n, err := train(); err == nil {
		t.Errorf("another text took %d steps in the folder of the first", n)
	}
}

// TestScratchID: the config's text and every part of the sequences name the training.
func TestScratchID(t *testing.T) {
	es := func() []data.Example {
		return []data.Example{{Tokens: []int32{1, 2, 3}, From: 1}, {Tokens: []int32{4, 5}, From: 1}}
	}
	seen := map[string]string{(&Scratch{hash: "a"}).id(es()): "nothing"}
	for name, change := range map[string]func(c *Scratch, es []data.Example){
		"config": func(c *Scratch, _ []data.Example) { c.hash = "b" },
		"place":  func(_ *Scratch, es []data.Example) { es[0].From = 2 },
		"token":  func(_ *Scratch, es []data.Example) { es[1].Tokens[1] = 6 },
		"seam": func(_ *Scratch, es []data.Example) {
			es[0].Tokens, es[1].Tokens = []int32{1, 2}, []int32{3, 4, 5}
		},
	} {
		c, list := &Scratch{hash: "a"}, es()
		change(c, list)
		if other, twice := seen[c.id(list)]; twice {
			t.Errorf("with another %s the training is that with another %s", name, other)
		}
		seen[c.id(list)] = name
	}
}
