package distill

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/atomicfile"
	"retort/internal/format/tokenizer"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/task"
	"retort/internal/learn/task/ledger"
	"retort/internal/learn/teacher"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// Scratch is a training config: a model of random weights, the text it learns, and how.
type Scratch struct {
	Name      string `yaml:"name"`
	Tokenizer string `yaml:"tokenizer"` // tokenizer.json, relative to the config
	Model     struct {
		Arch    string  `yaml:"arch"`
		Layers  int     `yaml:"layers"`
		Width   int     `yaml:"width"`
		Heads   int     `yaml:"heads"`
		KVHeads int     `yaml:"kv_heads"`
		FFN     int     `yaml:"ffn"`
		Context int     `yaml:"context"`
		Theta   float64 `yaml:"rope_theta"`
	} `yaml:"model"`
	Data struct {
		Files     []string `yaml:"files"`     // plain text, relative to the config
		Generated string   `yaml:"generated"` // ledger: sentences with their entries; ledger-text: sentences without, and pieces of each again
		Split     string   `yaml:"split"`     // of the generator
		Seed      uint64   `yaml:"seed"`
		Count     int      `yaml:"count"`
		TextShare float64  `yaml:"text_share"` // of ledger: this share of the sentences comes first and as ledger-text, so that quoting is learned before the task
	} `yaml:"data"`
	Train struct {
		Batch        int     `yaml:"batch"`  // sequences a step
		Tokens       int     `yaml:"tokens"` // a pass at most
		Seq          int     `yaml:"seq"`    // tokens a sequence, of plain text
		Epochs       int     `yaml:"epochs"`
		LearningRate float64 `yaml:"learning_rate"`
		Schedule     string  `yaml:"schedule"`
		Warmup       int     `yaml:"warmup_steps"`
		Min          float64 `yaml:"min_rate"`
		WeightDecay  float64 `yaml:"weight_decay"`
		Precision    string  `yaml:"precision"` // bf16 or f32
	} `yaml:"train"`
	Seed  uint64 `yaml:"seed"`
	Store string `yaml:"store"` // how model.gguf stores matrices: q8_0, f16, bf16, f32

	dir  string
	hash string
}

// ReadScratch reads a config; an unknown key is an error with its line.
func ReadScratch(path string) (*Scratch, error) {
	text, err := atomicfile.ReadFile(path, task.MaxYAML) // whatever path is, it is read no further
	if err != nil {
		return nil, err
	}
	c := &Scratch{dir: filepath.Dir(path)}
	c.Model.Arch, c.Model.Theta, c.Model.Context = "llama", 10000, 512
	c.Train.Batch, c.Train.Tokens, c.Train.Seq, c.Train.Epochs = 16, 4096, 256, 1
	c.Train.LearningRate, c.Train.Schedule, c.Train.Warmup, c.Train.Min, c.Train.WeightDecay, c.Train.Precision = 1e-3, "cosine", 50, 0.1, 0.1, "bf16"
	c.Store = "q8_0"
	if err := task.ReadYAML(path, text, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(text)
	c.hash = hex.EncodeToString(sum[:])
	return c, nil
}

func (c *Scratch) check() error {
	m, t := c.Model, c.Train
	if m.Arch != "llama" {
		return fmt.Errorf("model.arch is %q, want llama", m.Arch)
	}
	if m.Heads < 1 || m.Width < 1 || m.Width%m.Heads != 0 {
		return fmt.Errorf("model.width %d is not a multiple of model.heads %d", m.Width, m.Heads)
	}
	if (len(c.Data.Files) == 0) == (c.Data.Generated == "") {
		return fmt.Errorf("data: want files or generated, one of them")
	}
	switch c.Data.Generated {
	case "", "ledger", "ledger-text":
	default:
		return fmt.Errorf("data.generated is %q, want ledger or ledger-text", c.Data.Generated)
	}
	if !(c.Data.TextShare >= 0 && c.Data.TextShare <= 1) {
		return fmt.Errorf("data.text_share is %g, want 0 to 1", c.Data.TextShare)
	}
	if t.Batch < 1 || t.Tokens < 2 || t.Seq < 2 || t.Epochs < 1 || t.Epochs > 10000 {
		return fmt.Errorf("train: batch %d, tokens %d, seq %d, epochs %d: all count from 1", t.Batch, t.Tokens, t.Seq, t.Epochs)
	}
	if t.Precision != "bf16" && t.Precision != "f32" {
		return fmt.Errorf("train.precision is %q, want bf16 or f32", t.Precision)
	}
	_, err := quant.ParseType(c.Store)
	return err
}

// readTokenizer opens the config's tokenizer.json.
func (c *Scratch) readTokenizer() (*tokenizer.Tokenizer, error) {
	file, err := os.ReadFile(filepath.Join(c.dir, c.Tokenizer))
	if err != nil {
		return nil, err
	}
	config, err := os.ReadFile(filepath.Join(c.dir, filepath.Dir(c.Tokenizer), "tokenizer_config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tok, err := tokenizer.FromJSON(file, config)
	if err == nil && tok.EOS < 0 {
		err = fmt.Errorf("%s: names no eos_token in tokenizer_config.json: a model could not end", c.Tokenizer)
	}
	return tok, err
}

// config returns the shape of the model for a vocabulary.
func (c *Scratch) config(vocab int) model.Config {
	m := c.Model
	head := m.Width / m.Heads
	return model.Config{Arch: m.Arch, Vocab: vocab, Width: m.Width, Layers: m.Layers, Heads: m.Heads, KVHeads: m.KVHeads, HeadDim: head, FFN: m.FFN,
		Context: m.Context, Eps: 1e-5, Tied: true, Rope: model.RopeConfig{Dim: head, Theta: m.Theta, Pairs: true}}
}

// examples makes the training sequences.
func (c *Scratch) examples(tok *tokenizer.Tokenizer) ([]data.Example, error) {
	if c.Data.Generated != "" {
		return c.generated(tok)
	}
	var all []int32
	for _, name := range c.Data.Files {
		b, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, teacher.TextIDs(tok, string(b))...)
	}
	return data.Chunks(all, c.Train.Seq), nil
}

// generated makes sequences of generated sentences: with their entries, of which only the answer is learned, or the
// sentence and pieces of it again, which teaches a small model to read and to quote but nothing of the task.
func (c *Scratch) generated(tok *tokenizer.Tokenizer) ([]data.Example, error) {
	samples, err := ledger.Generate(c.Data.Seed, c.Data.Split, c.Data.Count)
	if err != nil {
		return nil, err
	}
	t, err := task.Load("ledger", "")
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(c.Data.Seed, 0x7175_6f74_6573))
	out := make([]data.Example, 0, len(samples))
	for i, s := range samples {
		tokens, from := teacher.TextIDs(tok, t.StudentPrompt(task.Item{Text: s.Text})), 1
		switch {
		case c.Data.Generated == "ledger" && float64(i) >= c.Data.TextShare*float64(len(samples)):
			from = len(tokens)
			tokens = append(tokens, teacher.TextIDs(tok, t.Answer(s.Entry.Fields()))...)
		default:
			for range quotes {
				tokens = append(tokens, teacher.TextIDs(tok, quote(rng, s.Text)+"\n")...)
			}
		}
		out = append(out, data.Example{Tokens: append(tokens, int32(tok.EOS)), From: from})
	}
	return out, nil
}

// quotes is how many pieces of a sentence follow it in ledger-text.
const quotes = 5

// quote returns a random piece of text: some words, or some characters where there are no blanks. Told the whole sentence
// again, a model learns to look back by a fixed distance; pieces from anywhere make it look for what comes next.
func quote(rng *rand.Rand, text string) string {
	parts, glue := strings.Fields(text), " "
	if len(parts) < 4 {
		parts, glue = strings.Split(text, ""), ""
	}
	n := min(2+rng.IntN(7), len(parts))
	at := rng.IntN(len(parts) - n + 1)
	return strings.Trim(strings.Join(parts[at:at+n], glue), ",.;: ")
}

// id is the hash of what decides the training: the config's text, and the sequences made of its data and tokenizer.
func (c *Scratch) id(examples []data.Example) string {
	h := sha256.New()
	io.WriteString(h, c.hash)
	for _, e := range examples {
		binary.Write(h, binary.LittleEndian, int64(e.From))
		binary.Write(h, binary.LittleEndian, int64(len(e.Tokens)))
		binary.Write(h, binary.LittleEndian, e.Tokens)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ScratchProgress tells how a run from scratch stands.
type ScratchProgress struct {
	Line  train.Line
	Steps int
}

// TrainScratch trains the model of c in dir, or goes on where an earlier call stopped, and leaves model.gguf there.
func TrainScratch(ctx context.Context, c *Scratch, dir string, threads int, each func(ScratchProgress)) (string, error) {
	tok, err := c.readTokenizer()
	if err != nil {
		return "", err
	}
	examples, err := c.examples(tok)
	if err != nil {
		return "", err
	}
	precision := tensor.BFloat16
	if c.Train.Precision == "f32" {
		precision = tensor.Float32
	}
	config := c.config(tok.Vocab())
	m, err := model.Fresh(config, c.Seed, precision)
	if err != nil {
		return "", err
	}
	pool := par.New(threads)
	defer pool.Close()
	loader := &data.Loader{Examples: examples, Batch: c.Train.Batch, Tokens: c.Train.Tokens, Seed: c.Seed, Ordered: c.Data.TextShare > 0}
	steps := loader.StepsPerEpoch() * c.Train.Epochs
	adamw := optim.DefaultAdamW
	adamw.WeightDecay = c.Train.WeightDecay
	train.Fit(m, loader)
	t, err := train.New(m, loader, tensor.NewRun(pool), train.Options{Dir: dir, ID: c.id(examples), AdamW: adamw, Every: 2 * time.Minute,
		Schedule: optim.Schedule{Kind: c.Train.Schedule, Peak: c.Train.LearningRate, Steps: steps, Warmup: min(c.Train.Warmup, steps), Min: c.Train.Min, Decay: steps / 5}})
	if err != nil {
		return "", err
	}
	defer t.Close()
	if err := t.Run(ctx, nil, func(l train.Line) { each(ScratchProgress{l, steps}) }); err != nil {
		return "", err
	}
	md := config.Metadata(c.Name)
	if err := tok.SetMetadata(md); err != nil {
		return "", err
	}
	store, _ := quant.ParseType(c.Store)
	path := filepath.Join(dir, "model.gguf")
	return path, m.WriteGGUF(ctx, path, md, store)
}
