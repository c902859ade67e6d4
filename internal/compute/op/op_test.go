package op

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/kernel"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

// Differences of float32 sums of a few hundred terms are good to about 1e-3 of the largest gradient at this step.
const (
	gradStep = 2e-3
	gradTol  = 3e-3
)

func newPass(t testing.TB, batch *Batch) *Pass {
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return &Pass{Run: tensor.NewRun(pool), Batch: batch}
}

func random(rng *rand.Rand, n int, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64() * std)
	}
	return v
}

func dense(rng *rand.Rand, out, in int) *tensor.Dense {
	w := tensor.NewDense(out, in, random(rng, out*in, 0.5), tensor.Float32)
	w.Train()
	return w
}

func vector(rng *rand.Rand, n int) *tensor.Vector {
	return &tensor.Vector{Data: random(rng, n, 0.5), Grad: make([]float32, n)}
}

// rows is a batch of sequences of the given lengths without caches.
func rows(lengths ...int) *Batch {
	b := &Batch{}
	for _, n := range lengths {
		lo := len(b.Tokens)
		for i := range n {
			b.Tokens = append(b.Tokens, int32((7*len(b.Tokens)+3)%11))
			b.Pos = append(b.Pos, int32(i))
		}
		b.Seqs = append(b.Seqs, Seq{Lo: lo, Hi: lo + n})
	}
	return b
}

// input is something a gradient is wanted of.
type input struct {
	name       string
	data, grad []float32
	changed    func()
}

func ofDense(name string, w *tensor.Dense) input   { return input{name, w.Data, w.Grad, w.Changed} }
func ofVector(name string, v *tensor.Vector) input { return input{name, v.Data, v.Grad, func() {}} }

// check compares the gradients of Σ y∘weights, for fixed random weights, with differences. Inputs that are tensors
// are made anew for each run by make, which must read xs.
func check(t *testing.T, batch *Batch, xs []*tensor.Tensor, params []input, f func(p *Pass, xs []*tensor.Tensor) *tensor.Tensor) {
	t.Helper()
	p := newPass(t, batch)
	rng := rand.New(rand.NewPCG(9, 9))
	var weights []float32
	run := func(tape *Tape) (float64, []*tensor.Tensor) {
		p.Tape = tape
		in := make([]*tensor.Tensor, len(xs))
		for i, x := range xs {
			in[i] = p.New(x.Rows, x.Cols)
			copy(in[i].Data, x.Data)
		}
		y := f(p, in)
		if weights == nil {
			weights = random(rng, len(y.Data), 1)
		}
		sum := 0.0
		for i, v := range y.Data {
			sum += float64(v) * float64(weights[i])
		}
		if tape != nil {
			copy(p.Run.Zeroed(y), weights)
			tape.Backward(p)
		}
		return sum, in
	}
	_, in := run(&Tape{})
	grads := make([][]float32, len(xs))
	for i := range in {
		if in[i].Grad == nil {
			t.Fatalf("input %d has no gradient", i)
		}
		grads[i] = append([]float32(nil), in[i].Grad...)
	}
	p.Run.Release(0)
	value := func() float64 {
		for _, q := range params {
			q.changed()
		}
		s, _ := run(nil)
		p.Run.Release(0)
		return s
	}
	for i, x := range xs {
		numtest.GradCheck(t, "input "+string(rune('0'+i)), x.Data, grads[i], gradStep, gradTol, value)
	}
	for _, q := range params {
		numtest.GradCheck(t, q.name, q.data, append([]float32(nil), q.grad...), gradStep, gradTol, value)
	}
}

func x(rng *rand.Rand, r, c int) *tensor.Tensor { return tensor.Of(r, c, random(rng, r*c, 1)) }

func TestLinearGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w, b := dense(rng, 19, 7), vector(rng, 19)
	check(t, rows(5), []*tensor.Tensor{x(rng, 5, 7)}, []input{ofDense("w", w), ofVector("b", b)}, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return Linear(p, in[0], w, b)
	})
}

func TestEmbedGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := dense(rng, 11, 6)
	check(t, rows(4, 3), nil, []input{ofDense("w", w)}, func(p *Pass, _ []*tensor.Tensor) *tensor.Tensor { return Embed(p, w) })
}

func TestRMSNormGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	w := vector(rng, 7)
	check(t, rows(3), []*tensor.Tensor{x(rng, 3, 21)}, []input{ofVector("w", w)}, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return RMSNorm(p, in[0], w, 1e-5)
	})
}

func TestSwiGLUAndAddGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	check(t, rows(3), []*tensor.Tensor{x(rng, 3, 9), x(rng, 3, 9)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return Add(p, SwiGLU(p, in[0], in[1]), in[1])
	})
}

func TestRopeGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 5))
	for _, pairs := range []bool{false, true} {
		r := NewRopeTable([]float64{1, 0.3, 0.01}, pairs, 1.2)
		id := dense(rng, 16, 16)
		check(t, rows(5, 2), []*tensor.Tensor{x(rng, 7, 16)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			y := Linear(p, in[0], id, nil)
			Rope(p, y, r, 8, 1)
			return y
		})
	}
}

func TestAttentionGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	hs := Heads{Query: 4, KV: 2, Key: 5, Value: 3, Scale: 0.4}
	check(t, rows(6, 3), []*tensor.Tensor{x(rng, 9, 20), x(rng, 9, 10), x(rng, 9, 6)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return Attention(p, 0, hs, in[0], in[1], in[2])
	})
}

func TestLatentAttentionGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	s := Latent{Heads: 2, Nope: 4, Rope: 2, Value: 3, Rank: 5, Scale: 0.4}
	w := dense(rng, 2*7, 5)
	up := NewLatentUp(w, s)
	check(t, rows(5), []*tensor.Tensor{x(rng, 5, 12), x(rng, 5, 5), x(rng, 5, 2)}, []input{ofDense("up", w)}, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return LatentAttention(p, 0, in[0], in[1], in[2], up)
	})
}

func TestMixtureGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, g := range []Gate{
		{TopK: 2, Groups: 1, Keep: 1, Scale: 1},
		{TopK: 2, Groups: 2, Keep: 1, Sigmoid: true, Normalize: true, Scale: 2.5, Bias: []float32{0.1, -0.2, 0.05, 0.02}},
	} {
		router := dense(rng, 4, 6)
		var experts []Expert
		var params []input
		for range 4 {
			e := Expert{dense(rng, 5, 6), dense(rng, 5, 6), dense(rng, 6, 5)}
			experts = append(experts, e)
			params = append(params, ofDense("gate", e.Gate.(*tensor.Dense)), ofDense("down", e.Down.(*tensor.Dense)))
		}
		params = append(params, ofDense("router", router))
		check(t, rows(24), []*tensor.Tensor{steady(t, rng, router, g)}, params, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			return Experts(p, in[0], Route(p, Linear(p, in[0], router, nil), g), experts)
		})
	}
}

// steady returns 24 rows whose choice of experts a gradient check's steps cannot change: every two scores, and the
// scores of the two groups, are apart.
func steady(t *testing.T, rng *rand.Rand, router *tensor.Dense, g Gate) *tensor.Tensor {
	const gap = 0.02
	p := newPass(t, rows(1))
	var data []float32
	for len(data) < 24*6 {
		row := random(rng, 6, 1)
		s := append([]float32(nil), Linear(p, tensor.Of(1, 6, row), router, nil).Row(0)...)
		g.score(s)
		for i, b := range g.Bias {
			s[i] += b
		}
		ok := math.Abs(float64(s[0]+s[1]-s[2]-s[3])) > gap
		for i := range s {
			for j := range i {
				ok = ok && math.Abs(float64(s[i]-s[j])) > gap
			}
		}
		if ok {
			data = append(data, row...)
		}
	}
	return tensor.Of(24, 6, data)
}

func TestSplitGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	check(t, rows(3), []*tensor.Tensor{x(rng, 3, 8)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		a, b := Split(p, in[0], 4)
		return SwiGLU(p, a, b)
	})
}

// TestOnePartUsedAlone: of the steps with two outputs, either may be the only one that hands a gradient on, and the memory
// of both comes back.
func TestOnePartUsedAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 12))
	s := Latent{Heads: 2, Nope: 4, Rope: 2, Value: 3, Rank: 5, Scale: 0.4}
	row, kv, kr := x(rng, 3, 8), x(rng, 3, 2*7), x(rng, 3, 2)
	var made, other *tensor.Tensor
	for name, c := range map[string]struct {
		in []*tensor.Tensor
		f  func(p *Pass, in []*tensor.Tensor)
	}{
		"first of split":  {[]*tensor.Tensor{row}, func(p *Pass, in []*tensor.Tensor) { made, other = Split(p, in[0], 5) }},
		"second of split": {[]*tensor.Tensor{row}, func(p *Pass, in []*tensor.Tensor) { other, made = Split(p, in[0], 5) }},
		"keys":            {[]*tensor.Tensor{kv, kr}, func(p *Pass, in []*tensor.Tensor) { made, other = expandLatent(p, s, in[0], in[1]) }},
		"values":          {[]*tensor.Tensor{kv}, func(p *Pass, in []*tensor.Tensor) { other, made = expandLatent(p, s, in[0], kr) }},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, rows(3), c.in, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
				c.f(p, in)
				return made
			})
			p := newPass(t, rows(3))
			p.Tape = &Tape{}
			c.f(p, c.in)
			p.Run.Zeroed(made)
			p.Tape.Backward(p)
			if made.Data != nil || other.Data != nil {
				t.Error("memory did not come back")
			}
		})
	}
}

func TestRouteRefusesMoreThanAll(t *testing.T) {
	defer func() {
		if got := recover(); got != "op: Route: choose 5 of 4 experts" {
			t.Errorf("panic %v", got)
		}
	}()
	Route(newPass(t, rows(1)), tensor.Of(1, 4, make([]float32, 4)), Gate{TopK: 5, Groups: 1, Keep: 1, Scale: 1})
}

func TestCrossEntropyGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 10))
	head := dense(rng, 21, 6)
	h := x(rng, 5, 6)
	labels := []Label{{0, 3, 1}, {2, 20, 0.5}, {4, 0, 2}}
	p := newPass(t, rows(5))
	loss := func(tape *Tape) float64 {
		p.Tape = tape
		head.Changed()
		h.Changed()
		return CrossEntropy(p, h, head, labels, 3.5)
	}
	tape := &Tape{}
	got := loss(tape)
	h.Grad = nil
	tape.Backward(p)
	want := 0.0
	for _, l := range labels {
		z := make([]float64, 21)
		sum := 0.0
		for v := range z {
			for j, a := range h.Row(l.Row) {
				z[v] += float64(a) * float64(head.Data[v*6+j])
			}
			sum += math.Exp(z[v])
		}
		want += float64(l.Weight) * (math.Log(sum) - z[l.Token]) / 3.5
	}
	if math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %g, want %g", got, want)
	}
	numtest.GradCheck(t, "hidden", h.Data, h.Grad, gradStep, gradTol, func() float64 { return loss(nil) })
	numtest.GradCheck(t, "head", head.Data, append([]float32(nil), head.Grad...), gradStep, gradTol, func() float64 { return loss(nil) })
}

// twice is a layer for TestApply.
type twice struct{ w *tensor.Dense }

func (l twice) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return Add(p, x, Linear(p, x, l.w, nil))
}

func TestApplyRecomputesTheSameGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 11))
	w := dense(rng, 6, 6)
	for _, recompute := range []bool{false, true} {
		clear(w.Grad)
		check(t, rows(4), []*tensor.Tensor{x(rng, 4, 6)}, []input{ofDense("w", w)}, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			y := in[0]
			for range 3 {
				y = Apply(p, twice{w}, y, recompute)
			}
			return y
		})
	}
}

// oneCache is a cache of one layer.
type oneCache struct{ kv *KV }

func (c oneCache) Layer(int) *KV { return c.kv }

// newKV returns a layer like shape with pages for n positions.
func newKV(t CacheType, n int, shape KV) *KV {
	layers := []KV{shape}
	size := Layout(t, layers)
	c := &layers[0]
	for range (n + Page - 1) / Page {
		pg := size.New()
		c.Pages = append(c.Pages, &pg)
	}
	return c
}

// TestCacheGivesTheSameRows: prefill at once, in chunks, token by token and without a cache are the same function;
// with a float32 cache they are the same bits, and a neighbour in the batch changes nothing.
func TestCacheGivesTheSameRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 12))
	const n = 150
	hs := Heads{Query: 4, KV: 2, Key: 24, Value: 20, Scale: 0.2}
	q, k, v := x(rng, n, 96), x(rng, n, 48), x(rng, n, 40)
	part := func(x *tensor.Tensor, lo, hi int) *tensor.Tensor {
		return tensor.Of(hi-lo, x.Cols, x.Data[lo*x.Cols:hi*x.Cols])
	}
	run := func(steps ...int) []float32 {
		kv := newKV(CacheF32, n, KV{Heads: 2, Key: 24, Value: 20})
		p := newPass(t, nil)
		var out []float32
		at := 0
		for _, m := range steps {
			b := &Batch{Tokens: make([]int32, m), Seqs: []Seq{{0, m, oneCache{kv}}}}
			for i := range m {
				b.Pos = append(b.Pos, int32(at+i))
			}
			p.Batch = b
			y := Attention(p, 0, hs, part(q, at, at+m), part(k, at, at+m), part(v, at, at+m))
			out = append(out, y.Data...)
			p.Run.Release(0)
			at += m
		}
		return out
	}
	want := run(n)
	ones := make([]int, n)
	for i := range ones {
		ones[i] = 1
	}
	for name, steps := range map[string][]int{"chunks": {1, 70, 79}, "token by token": ones} {
		for i, g := range run(steps...) {
			if g != want[i] {
				t.Fatalf("%s: row %d column %d: %g, want %g", name, i/80, i%80, g, want[i])
			}
		}
	}
	p := newPass(t, rows(n))
	y := Attention(p, 0, hs, q, k, v)
	for i, g := range y.Data {
		if math.Abs(float64(g-want[i])) > 1e-5 {
			t.Fatalf("without a cache: row %d: %g, want %g", i/80, g, want[i])
		}
	}
}

// TestLatentAbsorbedEqualsExpanded holds both forms of MLA to one tolerance.
func TestLatentAbsorbedEqualsExpanded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 13))
	s := Latent{Heads: 3, Nope: 8, Rope: 4, Value: 6, Rank: 10, Scale: 0.3}
	up := NewLatentUp(dense(rng, 3*14, 10), s)
	const n = 70
	q, c, kr := x(rng, n, 36), x(rng, n, 10), x(rng, n, 4)
	p := newPass(t, rows(n))
	want := LatentAttention(p, 0, q, c, kr, up)
	b := rows(n)
	b.Seqs[0].Cache = oneCache{newKV(CacheF32, n, KV{Heads: 1, Key: 14, Value: 10})}
	p2 := newPass(t, b)
	got := LatentAttention(p2, 0, q, c, kr, up)
	for i, g := range got.Data {
		if math.Abs(float64(g-want.Data[i])) > 2e-5 {
			t.Fatalf("row %d column %d: absorbed %g, expanded %g", i/18, i%18, g, want.Data[i])
		}
	}
}

// TestHalfCacheIsRounded: a bf16 cache holds what a float32 one does, rounded, in the same places.
func TestHalfCacheIsRounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 14))
	const n, key, value = Page + 3, 300, 520
	shape := KV{Heads: 2, Key: key, Value: value}
	wide, half := newKV(CacheF32, n, shape), newKV(CacheBF16, n, shape)
	k, v := x(rng, n, 2*key), x(rng, n, 2*value)
	for _, c := range []*KV{wide, half} {
		for i := range 2 * n {
			h, pos := i%2, i/2
			c.set(h, pos, k.Row(pos)[h*key:][:key], v.Row(pos)[h*value:][:value])
		}
	}
	for i, pg := range wide.Pages {
		want := make([]uint16, len(pg.F32))
		kernel.ToBF16(want, pg.F32)
		if !slices.Equal(half.Pages[i].B16, want) {
			t.Errorf("page %d is not what float32 rounds to", i)
		}
	}
}
