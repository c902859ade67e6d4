//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/format/tokenizer"
	"retort/internal/learn/eval"
	"retort/internal/lm/chat"
	"retort/internal/lm/generate"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// prompts are asked through each model's own chat template.
var prompts = []string{
	"What is the capital of France?",
	"Write a Python function that returns the n-th Fibonacci number.",
	"Why does water boil at a lower temperature on a mountain?",
	"List the first ten prime numbers.",
	"Translate \"good morning\" into French, German and Spanish.",
}

// subject is one model and how much of it is compared: what keeps the whole under a few minutes on two cores.
type subject struct {
	name   string
	tokens int // greedy ones a prompt
	rows   int // of logits
}

var subjects = []subject{{"smollm2-135m", 48, 256}, {"qwen2.5-coder-0.5b", 32, 96}, {"qwen2.5-coder-1.5b", 32, 48}}

// Tolerances. Both engines round activations to 8 bits before each product, in blocks of their own, so logits differ by
// noise. How much is due to rounding shows llama.cpp with the same weights in float16, where nothing is rounded to 8
// bits. (That file is ours; package quant holds its decoding to the Python package gguf bit for bit.)
const (
	// mostPPL is the bound on the relative difference of perplexities.
	mostPPL = 0.005
	// mostHalf bounds how far our logits and llama.cpp's may lie apart, relative to their spread, where both compute with
	// the float16 weights: a product loses 2⁻¹¹ (0.05 %) on the way. It finds what both of our own computations share.
	mostHalf = 0.01
	// mostNoise bounds our noise over llama.cpp's: both are sums of roundings, estimated from some hundred rows.
	mostNoise = 1.25
	// nearTie bounds, in standard deviations of the noise, how far greedy texts may part: our lead of our token and
	// llama.cpp's of its own add up to what noise must explain, and among some hundred tokens one lies 3.7 off by chance.
	nearTie = 4
)

// examined is what one model showed. Differences of logits are root mean squares, without what a whole row shares, which
// no probability shows.
type examined struct {
	same, prompts, agreed, tokens int
	ties                          []tie
	rows, best                    int     // of logits; whose best token is the same
	most, rms                     float64 // between the engines
	spread                        float64 // of llama.cpp's logits from float16 weights, from which are measured:
	ours, theirs, half            float64 // our noise, llama.cpp's, and our logits from float16 weights
	ppl, theirPPL                 float64
}

// tie is a place where greedy texts part: the tokens of each engine and both engines' logits of them.
type tie struct {
	prompt, after    int
	mine, other      int32
	oursAt, theirsAt [2]float32 // logits of mine and other
}

// parting returns how far the engines disagree: our lead of our token and llama.cpp's of its own.
func (d tie) parting() float64 {
	return float64(d.oursAt[0]-d.oursAt[1]) + float64(d.theirsAt[1]-d.theirsAt[0])
}

func TestAgreement(t *testing.T) {
	o := findOracle(t)
	retort := filepath.Join(t.TempDir(), "retort")
	run(t, exec.Command("go", "build", "-o", retort, "retort/cmd/retort"))
	w := generate.NewWorker(runtime.NumCPU())
	defer w.Close()
	var table strings.Builder
	fmt.Fprintf(&table, "\nΔ is ours - llama.cpp's logit, σ the spread of a row's logits; noise is rms/σ against llama.cpp with float16 weights, and so is our own computation with them\n")
	fmt.Fprintf(&table, "%-20s %7s %9s %9s %8s %8s %9s %11s %8s %9s %9s %8s\n", "model", "prompts", "tokens", "same best", "max |Δ|", "rms Δ", "our noise", "llama.cpp's", "in f16", "ppl", "llama.cpp", "diff")
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			x := examine(t, o, w, s, retort)
			diff := x.ppl/x.theirPPL - 1
			fmt.Fprintf(&table, "%-20s %5d/%d %5d/%-3d %5d/%-3d %8.3f %8.3f %8.2f%% %10.2f%% %7.3f%% %9.4f %9.4f %+7.3f%%\n", s.name, x.same, x.prompts, x.agreed, x.tokens,
				x.best, x.rows, x.most, x.rms, 100*x.ours/x.spread, 100*x.theirs/x.spread, 100*x.half/x.spread, x.ppl, x.theirPPL, 100*diff)
			for _, d := range x.ties {
				fmt.Fprintf(&table, "    prompt %d parts after %d tokens: ours %d, llama.cpp's %d; our logits %.4f %.4f, llama.cpp's %.4f %.4f\n",
					d.prompt+1, d.after, d.mine, d.other, d.oursAt[0], d.oursAt[1], d.theirsAt[0], d.theirsAt[1])
				if most := nearTie * math.Sqrt(2*(sqr(x.ours)+sqr(x.theirs))); !(d.parting() <= most) {
					t.Errorf("prompt %d: no near-tie: the engines disagree by %.3f, want %.3f at most", d.prompt+1, d.parting(), most)
				}
			}
			if !(math.Abs(diff) <= mostPPL) {
				t.Errorf("perplexity %.4f, llama.cpp's %.4f: %.3f %% apart, want %.1f %% at most", x.ppl, x.theirPPL, 100*diff, 100*mostPPL)
			}
			if !(x.half <= mostHalf*x.spread) {
				t.Errorf("with float16 weights the logits are %.3f %% apart, want %.1f %% at most", 100*x.half/x.spread, 100*mostHalf)
			}
			if !(x.ours <= mostNoise*x.theirs) {
				t.Errorf("noise %.3f, llama.cpp's %.3f, want %.2f times that at most", x.ours, x.theirs, mostNoise)
			}
		})
	}
	t.Log(table.String())
}

func examine(t *testing.T, o oracle, w *generate.Worker, s subject, retort string) examined {
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
	template, err := f.String("tokenizer.chat_template")
	if err != nil {
		t.Fatal(err)
	}
	c, err := chat.New(template, tok)
	if err != nil {
		t.Fatal(err)
	}
	e := load(t, path, w)
	x := examined{prompts: len(prompts)}
	for i, prompt := range prompts {
		p, err := c.Prompt([]chat.Message{{Role: "user", Content: prompt}}, chat.Options{})
		if err != nil {
			t.Fatal(err)
		}
		x.compareGreedy(t, o, e, path, i, ids32(p.IDs), s.tokens, func(id int32) bool { return tok.IsEOG(int(id)) })
	}
	text, err := os.ReadFile(numtest.Shared(t, "data/texts/tinyshakespeare.txt"))
	if err != nil {
		t.Fatal(err)
	}
	ids := ids32(tok.Encode(string(text[:4000]), tokenizer.Options{UserDefined: true}))
	p, err := eval.MeasurePerplexity(context.Background(), e, ids, len(ids), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, nll := o.logits(t, path, ids, 0)
	x.ppl, x.theirPPL = p.PPL, math.Exp(nll)
	half := filepath.Join(t.TempDir(), "half.gguf")
	run(t, exec.Command(retort, "quantize", path, half, "--type", "f16"))
	x.compareLogits(t, o, e, load(t, half, w), path, half, ids[:s.rows])
	return x
}

func load(t *testing.T, path string, w *generate.Worker) *generate.Engine {
	var m *model.Model
	var err error
	w.Do(func(pool *par.Pool) { m, err = model.Load(path, model.LoadOptions{Pool: pool}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	e := generate.New(w, m, generate.Options{Cache: op.CacheF32})
	t.Cleanup(e.Close)
	return e
}

func ids32(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// compareGreedy continues prompt number i greedily and holds each token against the best of llama.cpp's logits there,
// which one pass over the whole text gives: as long as the tokens are the same, so is what llama.cpp would have
// generated. For the first prompt llama.cpp generates itself, too. Where they part, both engines' logits are noted. Our
// tokens, decoded one by one, must be the best of our own pass over the whole text.
func (x *examined) compareGreedy(t *testing.T, o oracle, e *generate.Engine, path string, i int, ids []int32, n int, stop func(int32) bool) {
	res, err := e.Generate(context.Background(), generate.Request{Prompt: ids, Max: n, Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(ids), res.Tokens...)
	rows, _ := o.logits(t, path, all, e.Model.Config.Vocab)
	ours, theirs := score(t, e, all)[len(ids)-1:], bests(rows[len(ids)-1:])
	mine := res.Tokens
	if len(mine) < n {
		mine = append(mine, best(ours[len(mine)])) // it stopped
		if !stop(mine[len(mine)-1]) {
			t.Errorf("prompt %d stopped at token %d, which does not end a text", i+1, mine[len(mine)-1])
		}
	}
	if prefill := bests(ours)[:len(mine)]; !slices.Equal(prefill, mine) {
		t.Errorf("prompt %d: decoded %v, a pass over the whole text says %v", i+1, mine, prefill)
	}
	theirs = theirs[:len(mine)]
	if i == 0 {
		if alone := o.greedy(t, path, n, ids); commonPrefix(alone, mine) < min(len(alone), commonPrefix(theirs, mine)) {
			copy(theirs, alone)
		}
	}
	same := commonPrefix(theirs, mine)
	x.agreed += same
	x.tokens += len(mine)
	if same == len(mine) {
		x.same++
		return
	}
	a, b, z, w := mine[same], theirs[same], ours[same], rows[len(ids)-1+same]
	x.ties = append(x.ties, tie{i, same, a, b, [2]float32{z[a], z[b]}, [2]float32{w[a], w[b]}})
}

func commonPrefix(a, b []int32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// compareLogits compares every logit of every row of ids: ours, llama.cpp's, and those of exact, whose float16 weights
// are the file half, by either engine.
func (x *examined) compareLogits(t *testing.T, o oracle, e, exact *generate.Engine, path, half string, ids []int32) {
	theirs, _ := o.logits(t, path, ids, e.Model.Config.Vocab)
	truth, _ := o.logits(t, half, ids, e.Model.Config.Vocab)
	ours := score(t, e, ids)
	for r, z := range ours {
		if best(z) == best(theirs[r]) {
			x.best++
		}
	}
	x.rows = len(ours)
	x.rms, x.most = apart(ours, theirs)
	x.ours, _ = apart(ours, truth)
	x.theirs, _ = apart(theirs, truth)
	x.half, _ = apart(score(t, exact, ids), truth)
	x.spread, _ = apart(truth, nil)
}

// apart returns the root mean square of a - b, less each row's mean, and its largest magnitude. Without b it is a's own.
func apart(a, b [][]float32) (rms, most float64) {
	n := 0
	for r, x := range a {
		d, mean := make([]float64, len(x)), 0.0
		for i := range x {
			d[i] = float64(x[i])
			if b != nil {
				d[i] -= float64(b[r][i])
			}
			mean += d[i] / float64(len(x))
		}
		for _, v := range d {
			rms += sqr(v - mean)
			most = max(most, math.Abs(v-mean))
		}
		n += len(x)
	}
	return math.Sqrt(rms / float64(n)), most
}

func score(t *testing.T, e *generate.Engine, ids []int32) [][]float32 {
	var rows [][]float32
	if err := e.Score(context.Background(), ids, func(_ int, z []float32) { rows = append(rows, slices.Clone(z)) }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func sqr(x float64) float64 { return x * x }

func bests(rows [][]float32) []int32 {
	out := make([]int32, len(rows))
	for r, z := range rows {
		out[r] = best(z)
	}
	return out
}

func best(z []float32) int32 {
	at := 0
	for i := range z {
		if z[i] > z[at] {
			at = i
		}
	}
	return int32(at)
}
