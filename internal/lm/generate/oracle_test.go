package generate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"retort/internal/compute/op"
)

// tinyGolden is what an oracle script printed for one seed: the most likely tokens after its prompt with their
// probabilities, and its greedy continuation; and the hash of the tensors that it made, in their order.
type tinyGolden struct {
	Script string
	Seed   uint32
	SHA256 string
	Top    []struct {
		ID int32
		P  float64
	}
	Greedy []int32
}

// probabilityTol bounds the error of a probability: logits of the order of 10 after 27 layers of float32 sums are good to
// some 1e-5, and so is p, whose error is p times theirs. The oracle computes in float64. The project asks for 1e-3.
const probabilityTol = 1e-5

// TestTinyDeepSeekAsOracle holds random models of DeepSeek's two shapes, through prefill and absorbed decoding, to plain
// Python that computes them expanded and without a cache. testdata/tiny_deepseek.json holds what
// shared/oracle/tiny_deepseek_{v3,v2lite}.py printed.
func TestTinyDeepSeekAsOracle(t *testing.T) {
	b, err := os.ReadFile("testdata/tiny_deepseek.json")
	if err != nil {
		t.Fatal(err)
	}
	var goldens []tinyGolden
	if err := json.Unmarshal(b, &goldens); err != nil {
		t.Fatal(err)
	}
	for _, g := range goldens {
		t.Run(fmt.Sprintf("%s/%d", g.Script, g.Seed), func(t *testing.T) { g.check(t) })
	}
}

func (g *tinyGolden) check(t *testing.T) {
	md, tensors := tinyDeepSeek(g.Seed, g.Script == "v2lite")
	hash := sha256.New()
	for _, x := range tensors {
		hash.Write(x.data)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != g.SHA256 {
		t.Fatalf("the tensors made here have the hash %s, the script's %s", sum, g.SHA256)
	}
	e := load(t, writeGGUF(t, md, tensors), 2, op.CacheF32)
	prompt := []int32{1, 300, 400, 350, 270, 290, 333, 410}
	logits, _ := next(t, e, prompt)
	p := softmax64(logits)
	order := make([]int32, len(p))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		if p[a] > p[b] {
			return -1
		}
		return 1
	})
	for i, want := range g.Top {
		if order[i] != want.ID {
			t.Errorf("%d. most likely token is %d (%.6f), want %d (%.6f)", i+1, order[i], p[order[i]], want.ID, want.P)
		}
		if d := math.Abs(p[want.ID] - want.P); !(d <= probabilityTol) {
			t.Errorf("probability of %d is %.6f, want %.6f", want.ID, p[want.ID], want.P)
		}
	}
	res := answer(t, e, Request{Prompt: prompt, Max: len(g.Greedy)})
	if !slices.Equal(res.Tokens, g.Greedy) {
		t.Errorf("greedy %v, want %v", res.Tokens, g.Greedy)
	}
}

func softmax64(z []float32) []float64 {
	most, sum := float64(slices.Max(z)), 0.0
	p := make([]float64, len(z))
	for i, v := range z {
		p[i] = math.Exp(float64(v) - most)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// storiesGreedy is what llama.cpp (shared/oracle/llamacpp.mjs greedy, float32 cache) says of 260 thousand real parameters
// after the tokens of storiesPrompt, and the probabilities of its first tokens.
var (
	storiesPrompt = []int32{1, 403, 407, 261, 378}
	storiesTop    = map[int32]float64{432: 0.9687947630882263, 383: 0.028729252517223358, 322: 0.0002970978675875813, 353: 0.00026288049411959946}
	storiesGreedy = []int32{
		432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433,
		426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268, 388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267,
		414, 270, 333, 415, 426, 13, 438, 310, 439, 419, 357, 336, 432, 313, 438, 310, 432, 278, 316, 439, 419, 298, 414, 267, 265, 282,
		295, 433, 426, 436, 317, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432,
		313, 442, 391, 267, 337, 335, 364, 420, 268, 388, 432, 398, 359, 280, 303, 439, 413, 272, 417, 264, 312, 426, 436, 13, 438, 310,
		286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 439, 423, 262,
		304, 420, 422, 432, 317, 426, 359, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 436, 13, 438, 310, 279,
		292, 416, 439, 413, 391, 267, 281, 421, 427, 311, 357, 432, 384, 358, 336, 432, 313, 442,
	}
)

func TestStoriesAsLlamaCpp(t *testing.T) {
	for _, c := range []struct {
		cache op.CacheType
		tol   float64
	}{{op.CacheF32, probabilityTol}, {op.CacheBF16, 1e-2}, {op.CacheQ8, 1e-2}} { // keys and values of eight bits move logits of 10 by some hundredths
		e := load(t, stories(t), 2, c.cache)
		logits, _ := next(t, e, storiesPrompt)
		p := softmax64(logits)
		for id, want := range storiesTop {
			if d := math.Abs(p[id] - want); !(d <= c.tol) {
				t.Errorf("cache %v: probability of %d is %.8f, llama.cpp says %.8f", c.cache, id, p[id], want)
			}
		}
		if c.cache != op.CacheF32 {
			continue
		}
		res := answer(t, e, Request{Prompt: storiesPrompt, Max: len(storiesGreedy)})
		if !slices.Equal(res.Tokens, storiesGreedy) {
			t.Errorf("greedy %v, llama.cpp says %v", res.Tokens, storiesGreedy)
		}
	}
}
