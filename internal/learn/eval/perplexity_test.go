package eval

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"retort/internal/lm/generate"
	"retort/internal/lm/scripted"
	"retort/internal/lm/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine opens a model that foresees ab after a and ba after b, and the end otherwise.
func engine(t *testing.T) *generate.Engine {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := (scripted.Model{Control: []string{"<|end|>"}, Next: map[string]string{"a": "b", "b": "a"}}).Write(path); err != nil {
		t.Fatal(err)
	}
	h := session.NewHost(1)
	t.Cleanup(h.Close)
	m, err := h.Open(context.Background(), path, session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Engine()
}

// expected scores tokens by the definition: each chunk alone, from its second token, in float64.
func expected(t *testing.T, e *generate.Engine, tokens []int32, chunk int) (nll float64, n int) {
	t.Helper()
	for len(tokens) > 0 {
		part := tokens[:min(chunk, len(tokens))]
		tokens = tokens[len(part):]
		err := e.Score(context.Background(), part, func(row int, logits []float32) {
			if row == len(part)-1 {
				return
			}
			sum := 0.0
			for _, z := range logits {
				sum += math.Exp(float64(z))
			}
			nll += math.Log(sum) - float64(logits[part[row+1]])
			n++
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return nll / float64(n), n
}

// relative is how far apart two figures may be: sums of a vocabulary in float32.
const relative = 1e-5

func near(a, b float64) bool { return math.Abs(a-b) <= relative*math.Max(1, math.Abs(b)) }

// TestMeasurePerplexity: chunks stand alone, every token but the first of each is scored, the short last chunk too.
func TestMeasurePerplexity(t *testing.T) {
	e := engine(t)
	rng := rand.New(rand.NewPCG(1, 1))
	tokens := make([]int32, 301)
	for i := range tokens {
		tokens[i] = int32("aabbc"[rng.IntN(5)])
	}
	for _, chunk := range []int{2, 3, 100, 150, 300, 301, 1000} {
		told, last := 0, 0
		p, err := MeasurePerplexity(context.Background(), e, tokens, chunk, func(done, total int) {
			if done != last+1 || total != len(tokens) {
				t.Errorf("chunk %d: told %d of %d after %d", chunk, done, total, last)
			}
			told, last = told+1, done
		})
		nll, n := expected(t, e, tokens, chunk)
		if err != nil || p.Tokens != n || n != len(tokens)-(len(tokens)+chunk-1)/chunk || !near(p.NLL, nll) || !near(p.PPL, math.Exp(nll)) || told != len(tokens) {
			t.Errorf("chunk %d: %+v, told %d times, %v; want nll %g of %d tokens", chunk, p, told, err, nll, n)
		}
	}
	// What the model foresees costs little, anything else much.
	good, err := MeasurePerplexity(context.Background(), e, []int32{'a', 'b', 'a', 'b'}, 10, nil)
	bad, err2 := MeasurePerplexity(context.Background(), e, []int32{'a', 'a', 'a', 'a'}, 10, nil)
	if err != nil || err2 != nil || good.NLL > 0.1 || bad.NLL < 1 {
		t.Errorf("foreseen: %+v, %v; not: %+v, %v", good, err, bad, err2)
	}
}

// TestNothingToScore: what has no second token is an error with the numbers, and whoever stops is told so.
func TestNothingToScore(t *testing.T) {
	e := engine(t)
	for _, c := range []struct{ tokens, chunk int }{{0, 10}, {1, 10}, {5, 1}, {5, 0}} {
		if p, err := MeasurePerplexity(context.Background(), e, make([]int32, c.tokens), c.chunk, nil); err == nil || !strings.Contains(err.Error(), "want 2 at least") {
			t.Errorf("%+v: %+v, %v", c, p, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if p, err := MeasurePerplexity(ctx, e, make([]int32, 5), 5, nil); !errors.Is(err, context.Canceled) || p != (Perplexity{}) {
		t.Errorf("cancelled: %+v, %v", p, err)
	}
	if _, err := MeasurePerplexity(context.Background(), e, []int32{1, 9999}, 5, nil); err == nil {
		t.Error("a token that the model has no row for is scored")
	}
}

// TestSurprise: the sum is that of float64 whatever the size, at the seams of its tiles and far from 0.
func TestSurprise(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{1, 2, 1023, 1024, 1025, 2048, 5000} {
		for _, shift := range []float64{0, 300, -300} {
			logits, most := make([]float32, n), math.Inf(-1)
			for i := range logits {
				logits[i] = float32(4*rng.NormFloat64() + shift)
				most = math.Max(most, float64(logits[i]))
			}
			sum := 0.0
			for _, z := range logits {
				sum += math.Exp(float64(z) - most)
			}
			id := rng.IntN(n)
			want := math.Log(sum) + most - float64(logits[id])
			if got := surprise(logits, id); !near(got, want) {
				t.Errorf("%d logits around %g: %g, want %g", n, shift, got, want)
			}
		}
	}
}
