package op

import (
	"math/rand/v2"
	"slices"
	"testing"

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

func TestSplitGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	check(t, rows(3), []*tensor.Tensor{x(rng, 3, 8)}, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		a, b := Split(p, in[0], 4)
		c, d := Split(p, in[0], 4)
		return Add(p, SwiGLU(p, a, b), SwiGLU(p, d, c))
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

// TestLinear3 is three Linears, each with a bias of its own or none.
func TestLinear3(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 18))
	in, p := x(rng, 5, 7), newPass(t, rows(5))
	w := [3]tensor.Weight{dense(rng, 19, 7), dense(rng, 4, 7), dense(rng, 16, 7)}
	b := [3]*tensor.Vector{vector(rng, 19), nil, vector(rng, 16)}
	for i, y := range Linear3(p, in, w, b) {
		if !slices.Equal(y.Data, Linear(p, in, w[i], b[i]).Data) {
			t.Errorf("the %d. differs from a Linear", i+1)
		}
	}
}

// TestChangedInPlace: what an op writes into its input is what products in bf16 see next, though they had converted the
// input before.
func TestChangedInPlace(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 19))
	w := tensor.NewDense(16, 16, random(rng, 16*16, 0.5), tensor.BFloat16)
	r, other := NewRopeTable([]float64{1, 0.1}, false, 1), x(rng, 3, 16)
	b := rows(3)
	b.Pos = []int32{3, 4, 5}
	for name, f := range map[string]func(p *Pass, x *tensor.Tensor) *tensor.Tensor{
		"rope":  func(p *Pass, x *tensor.Tensor) *tensor.Tensor { Rope(p, x, r, 16, 0); return x },
		"add":   func(p *Pass, x *tensor.Tensor) *tensor.Tensor { return Add(p, x, other) },
		"apply": func(p *Pass, x *tensor.Tensor) *tensor.Tensor { return Apply(p, fixed{other}, x, false) },
	} {
		p := newPass(t, b)
		in := p.New(3, 16)
		copy(in.Data, x(rng, 3, 16).Data)
		before := slices.Clone(Linear(p, in, w, nil).Data)
		y := f(p, in)
		got := Linear(p, y, w, nil).Data
		if want := Linear(p, tensor.Of(3, 16, y.Data), w, nil).Data; !slices.Equal(got, want) || slices.Equal(got, before) {
			t.Errorf("%s: the product is not that of the changed values", name)
		}
	}
}

// fixed is a layer whose output is y.
type fixed struct{ y *tensor.Tensor }

func (l fixed) Forward(*Pass, *tensor.Tensor) *tensor.Tensor { return l.y }
