//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/learn/eval"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// prompts are continued as raw text.
var prompts = []string{
	"The capital of France is",
	"Once upon a time there was a small dog who",
	"def fibonacci(n):\n    ",
	"Water boils at 100 degrees Celsius because",
	"1, 2, 3, 5, 8, 13,",
}

// subject is one model and how much of it is compared: what keeps the whole under a few minutes on two cores.
type subject struct {
	name   string
	tokens int // greedy ones a prompt
	rows   int // of logits
}

var subjects = []subject{{"smollm2-135m", 48, 512}, {"qwen2.5-coder-0.5b", 32, 192}, {"qwen2.5-coder-1.5b", 32, 64}}

// Tolerances. Both engines round activations to 8 bits before each product, in blocks and at points of their own, so that
// logits differ by noise: its size is that of rounding, and it must not have a direction, which perplexity would show.
const (
	// mostPPL is the bound on the relative difference of perplexities.
	mostPPL = 0.005
	// mostNoise bounds the root mean square difference of logits, relative to their spread in a row: 8-bit activations
	// carry a noise of 2⁻⁸ or so a product, which the layers add up to some per cent.
	mostNoise = 0.08
	// nearTie bounds how far apart the two best logits may be where greedy texts part.
	nearTie = 0.5
)

// examined is what one model showed.
type examined struct {
	same, prompts, agreed, tokens int
	ties                          []string
	maxDiff, noise                float64
	top                           int // rows whose best token is the same
	rows                          int
	ppl, theirs                   float64
}

func TestAgreement(t *testing.T) {
	o := findOracle(t)
	pool := par.New(runtime.NumCPU())
	defer pool.Close()
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-20s %8s %14s %9s %9s %10s %9s %9s %9s\n", "model", "prompts", "greedy tokens", "max|Δ|", "rms Δ/σ", "same best", "ppl", "llama.cpp", "diff")
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			x := examine(t, o, pool, s)
			diff := x.ppl/x.theirs - 1
			fmt.Fprintf(&table, "%-20s %5d/%-2d %9d/%-4d %9.3f %8.2f%% %6d/%-3d %9.4f %9.4f %+8.3f%%\n", s.name, x.same, x.prompts, x.agreed, x.tokens,
				x.maxDiff, 100*x.noise, x.top, x.rows, x.ppl, x.theirs, 100*diff)
			for _, tie := range x.ties {
				fmt.Fprintf(&table, "    %s\n", tie)
			}
			if !(math.Abs(diff) <= mostPPL) {
				t.Errorf("perplexity %.4f, llama.cpp's %.4f: %.3f %% apart, want %.1f %% at most", x.ppl, x.theirs, 100*diff, 100*mostPPL)
			}
			if !(x.noise <= mostNoise) {
				t.Errorf("logits differ by %.2f %% of their spread, want %.0f %% at most", 100*x.noise, 100*mostNoise)
			}
		})
	}
	t.Log(table.String())
}

func examine(t *testing.T, o oracle, pool *par.Pool, s subject) examined {
	path := numtest.Model(t, s.name)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tok, err := tokenizer.FromGGUF(f)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(path, model.LoadOptions{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	e := generate.New(m, pool, false)
	encode := func(text string) []int32 {
		var ids []int32
		for _, id := range tok.Encode(text, tokenizer.Options{UserDefined: true}) {
			ids = append(ids, int32(id))
		}
		return ids
	}
	x := examined{prompts: len(prompts)}
	for _, prompt := range prompts {
		x.compareGreedy(t, o, e, path, encode(prompt), s.tokens, func(id int32) bool { return tok.IsEOG(int(id)) })
	}
	text, err := os.ReadFile(numtest.Shared(t, "data/texts/tinyshakespeare.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := encode(string(text[:4000]))
	x.compareLogits(t, o, e, path, ids[:s.rows])
	p, err := eval.MeasurePerplexity(context.Background(), e, ids, len(ids), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, nll := o.logits(t, path, ids, 0)
	x.ppl, x.theirs = p.PPL, math.Exp(nll)
	return x
}

// compareGreedy continues ids both ways. Where the texts part, both engines' logits of both tokens must be near.
func (x *examined) compareGreedy(t *testing.T, o oracle, e *generate.Engine, path string, ids []int32, n int, stop func(int32) bool) {
	want := o.greedy(t, path, n, ids)
	res, err := e.NewSequence(len(ids)+n).Generate(context.Background(), generate.Request{Prompt: ids, Max: n, Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	got := res.Tokens
	same := 0
	for same < len(got) && same < len(want) && got[same] == want[same] {
		same++
	}
	x.tokens += len(want)
	x.agreed += same
	if same == len(want) && (len(got) == len(want) || len(want) < n) {
		x.same++
		return
	}
	if same == len(got) || same == len(want) {
		t.Errorf("after %v: %v, llama.cpp %v: one ends where the other goes on", ids, got, want)
		return
	}
	all := append(slices.Clone(ids), want[:same]...)
	theirs, _ := o.logits(t, path, all, e.Model.Config.Vocab)
	last := theirs[len(theirs)-1]
	ours := make([]float32, len(last))
	if err := e.Score(context.Background(), all, func(row int, z []float32) { copy(ours, z) }); err != nil {
		t.Fatal(err)
	}
	a, b := got[same], want[same]
	x.ties = append(x.ties, fmt.Sprintf("parts after %d tokens: ours %d (%.4f over %.4f), llama.cpp's %d (%.4f over %.4f)", same, a, ours[a], ours[b], b, last[b], last[a]))
	if ours[a]-ours[b] > nearTie || last[b]-last[a] > nearTie {
		t.Errorf("after %v and %d tokens: no near-tie: %s", ids, same, x.ties[len(x.ties)-1])
	}
}

// compareLogits compares every logit of every row of ids.
func (x *examined) compareLogits(t *testing.T, o oracle, e *generate.Engine, path string, ids []int32) {
	theirs, _ := o.logits(t, path, ids, e.Model.Config.Vocab)
	var noise, spread float64
	err := e.Score(context.Background(), ids, func(row int, z []float32) {
		w := theirs[row]
		mean := 0.0
		for i := range z {
			mean += float64(w[i]) / float64(len(w))
		}
		for i := range z {
			d := float64(z[i] - w[i])
			x.maxDiff = max(x.maxDiff, math.Abs(d))
			noise += d * d
			spread += (float64(w[i]) - mean) * (float64(w[i]) - mean)
		}
		if best(z) == best(w) {
			x.top++
		}
		x.rows++
	})
	if err != nil {
		t.Fatal(err)
	}
	x.noise = math.Sqrt(noise / spread)
}

func best(z []float32) int {
	at := 0
	for i := range z {
		if z[i] > z[at] {
			at = i
		}
	}
	return at
}
