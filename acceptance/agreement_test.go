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
// noise. How much is due to rounding shows a third computation: the same weights in float16, which is exact to 2⁻¹¹, by
// float32 activations. Ours may not be noisier than llama.cpp's, and the noise must not have a direction, which
// perplexity would show.
const (
	// mostPPL is the bound on the relative difference of perplexities.
	mostPPL = 0.005
	// mostHalf bounds how far our logits and llama.cpp's may lie apart, relative to their spread, where both compute with
	// the float16 weights: nothing is rounded to 8 bits there, and a product loses 2⁻¹¹ (0.05 %) on the way at most.
	mostHalf = 0.01
	// mostNoise bounds our noise over llama.cpp's: both are sums of roundings, estimated from some hundred rows.
	mostNoise = 1.25
	// nearTie bounds how far apart two logits may be, in units of the noise between the engines, where greedy texts
	// part: the noise of a difference is √2 times that of a logit, so this is under three standard deviations.
	nearTie = 4
)

// examined is what one model showed.
type examined struct {
	same, prompts, agreed, tokens int
	ties                          []tie
	rows, best                    int // of logits; whose best token is the same
	most, rms                     float64
	ours, theirs                  float64 // noise against the exact logits, relative to their spread
	half                          float64 // the exact logits against llama.cpp's from float16 weights, relative to their spread
	ppl, theirPPL                 float64
}

// tie is a place where greedy texts part: the two tokens and how far each engine puts its own above the other's.
type tie struct {
	prompt, after    int
	mine, other      int32
	gap, theirGap    float64
	oursAt, theirsAt [2]float32 // logits of mine and other
}

func TestAgreement(t *testing.T) {
	o := findOracle(t)
	retort := filepath.Join(t.TempDir(), "retort")
	run(t, exec.Command("go", "build", "-o", retort, "retort/cmd/retort"))
	pool := par.New(runtime.NumCPU())
	defer pool.Close()
	var table strings.Builder
	fmt.Fprintf(&table, "\nΔ is ours - llama.cpp's logit, σ the spread of a row's logits; noise is rms(Δ)/σ against float16 weights by float32 activations\n")
	fmt.Fprintf(&table, "%-20s %7s %9s %9s %8s %8s %9s %11s %8s %9s %9s %8s\n", "model", "prompts", "tokens", "same best", "max |Δ|", "rms Δ", "our noise", "llama.cpp's", "in f16", "ppl", "llama.cpp", "diff")
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			x := examine(t, o, pool, s, retort)
			diff := x.ppl/x.theirPPL - 1
			fmt.Fprintf(&table, "%-20s %5d/%d %5d/%-3d %5d/%-3d %8.3f %8.3f %8.2f%% %10.2f%% %7.3f%% %9.4f %9.4f %+7.3f%%\n", s.name, x.same, x.prompts, x.agreed, x.tokens,
				x.best, x.rows, x.most, x.rms, 100*x.ours, 100*x.theirs, 100*x.half, x.ppl, x.theirPPL, 100*diff)
			for _, d := range x.ties {
				fmt.Fprintf(&table, "    prompt %d parts after %d tokens: ours %d, llama.cpp's %d; our logits %.4f %.4f, llama.cpp's %.4f %.4f\n",
					d.prompt+1, d.after, d.mine, d.other, d.oursAt[0], d.oursAt[1], d.theirsAt[0], d.theirsAt[1])
				if most := nearTie * x.rms; d.gap > most || d.theirGap > most {
					t.Errorf("prompt %d: no near-tie: %.3f and %.3f apart, want %.3f at most", d.prompt+1, d.gap, d.theirGap, most)
				}
			}
			if !(math.Abs(diff) <= mostPPL) {
				t.Errorf("perplexity %.4f, llama.cpp's %.4f: %.3f %% apart, want %.1f %% at most", x.ppl, x.theirPPL, 100*diff, 100*mostPPL)
			}
			if !(x.half <= mostHalf) {
				t.Errorf("with float16 weights the logits are %.3f %% apart, want %.1f %% at most", 100*x.half, 100*mostHalf)
			}
			if !(x.ours <= mostNoise*x.theirs) {
				t.Errorf("noise %.2f %%, llama.cpp's %.2f %%, want %.2f times that at most", 100*x.ours, 100*x.theirs, mostNoise)
			}
		})
	}
	t.Log(table.String())
}

func examine(t *testing.T, o oracle, pool *par.Pool, s subject, retort string) examined {
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
	e := load(t, path, pool)
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
	x.compareLogits(t, o, e, load(t, half, pool), path, half, ids[:s.rows])
	return x
}

func load(t *testing.T, path string, pool *par.Pool) *generate.Engine {
	m, err := model.Load(path, model.LoadOptions{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return generate.New(m, pool, false)
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
// generated. For the first prompt llama.cpp generates itself, too. Where they part, both engines' logits are noted.
func (x *examined) compareGreedy(t *testing.T, o oracle, e *generate.Engine, path string, i int, ids []int32, n int, stop func(int32) bool) {
	res, err := e.NewSequence(len(ids)+n).Generate(context.Background(), generate.Request{Prompt: ids, Max: n, Stop: stop})
	if err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(ids), res.Tokens...)
	theirs, _ := o.logits(t, path, all, e.Model.Config.Vocab)
	theirs = theirs[len(ids)-1:]
	same := 0
	for same < len(res.Tokens) && best(theirs[same]) == res.Tokens[same] {
		same++
	}
	if i == 0 {
		same = min(same, commonPrefix(o.greedy(t, path, n, ids), res.Tokens))
	}
	x.agreed += same
	x.tokens += len(res.Tokens)
	if same == len(res.Tokens) && (same == n || stop(best(theirs[same]))) {
		x.same++
		return
	}
	w := theirs[same]
	z := score(t, e, all[:len(ids)+same])[len(ids)+same-1]
	a, b := best(z), best(w)
	x.ties = append(x.ties, tie{i, same, a, b, float64(z[a] - z[b]), float64(w[b] - w[a]), [2]float32{z[a], z[b]}, [2]float32{w[a], w[b]}})
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
	theirHalf, _ := o.logits(t, half, ids, e.Model.Config.Vocab)
	ours := score(t, e, ids)
	truth := score(t, exact, ids)
	var between, our, their, apart, spread float64
	for r, z := range ours {
		w, v := theirs[r], truth[r]
		mean := 0.0
		for _, y := range v {
			mean += float64(y) / float64(len(v))
		}
		for i := range z {
			d := float64(z[i] - w[i])
			x.most = max(x.most, math.Abs(d))
			between += d * d
			our += sqr(float64(z[i] - v[i]))
			their += sqr(float64(w[i] - v[i]))
			apart += sqr(float64(theirHalf[r][i] - v[i]))
			spread += sqr(float64(v[i]) - mean)
		}
		if best(z) == best(w) {
			x.best++
		}
	}
	x.rows = len(ours)
	x.rms = math.Sqrt(between / float64(x.rows*len(ours[0])))
	x.ours, x.theirs, x.half = math.Sqrt(our/spread), math.Sqrt(their/spread), math.Sqrt(apart/spread)
}

func score(t *testing.T, e *generate.Engine, ids []int32) [][]float32 {
	var rows [][]float32
	if err := e.Score(context.Background(), ids, func(_ int, z []float32) { rows = append(rows, slices.Clone(z)) }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func sqr(x float64) float64 { return x * x }

func best(z []float32) int32 {
	at := 0
	for i := range z {
		if z[i] > z[at] {
			at = i
		}
	}
	return int32(at)
}
