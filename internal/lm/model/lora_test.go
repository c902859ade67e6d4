package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/weights"
	"retort/internal/numtest"
)

// loraCase is a LoRA over a random matrix, with inputs and what naive float64 arithmetic makes of them.
type loraCase struct {
	w              *LoRA
	stored         []byte
	x, y           *tensor.Tensor
	plain          []float32 // y of the base alone, as it computes
	wantY, wantDX  []float64
	wantDA, wantDB []float64
}

// testRank is odd and above a panel; rows and columns end inside one.
const testRank = 19

func newLoRACase(t *testing.T, r *tensor.Run, typ quant.Type, p tensor.Precision, rows int) *loraCase {
	t.Helper()
	const out, in = 37, 256
	rng := rand.New(rand.NewPCG(7, uint64(typ)))
	fill := func(v []float32, scale float64) []float32 {
		for i := range v {
			v[i] = float32(rng.NormFloat64() * scale)
		}
		return v
	}
	data := make([]byte, out*typ.RowBytes(in))
	if err := quant.Encode(typ, data, fill(make([]float32, out*in), 1.0/16)); err != nil {
		t.Fatal(err)
	}
	base, err := quant.New(typ, data, out, in)
	if err != nil {
		t.Fatal(err)
	}
	c := &loraCase{stored: data, w: newLoRA(base, typ, &LoRAConfig{Rank: testRank, Alpha: 38, Seed: 1}, "w", p, &loraBack{})}
	fill(c.w.b.data, 0.1)
	c.w.b.changed()
	c.x, c.y = tensor.Of(rows, in, fill(make([]float32, rows*in), 1)), tensor.Of(rows, out, make([]float32, rows*out))
	tensor.MatMul(r, c.y, c.x, base)
	c.plain = append([]float32(nil), c.y.Data...)
	c.y.Grad = fill(make([]float32, rows*out), 1)
	c.reference()
	return c
}

// reference computes what the definition says: W' = W + s·B·A.
func (c *loraCase) reference() {
	out, in := c.w.Dims()
	a, b, s := c.w.a.data, c.w.b.data, float64(c.w.scale)
	line := make([]float32, in)
	c.wantY, c.wantDX = make([]float64, c.y.Rows*out), make([]float64, c.x.Rows*in)
	c.wantDA, c.wantDB = make([]float64, len(a)), make([]float64, len(b))
	for i, v := range c.plain {
		c.wantY[i] = float64(v)
	}
	for t := range c.x.Rows {
		x, dy := c.x.Row(t), c.y.Grad[t*out:(t+1)*out]
		for k := range testRank {
			u, v := 0.0, 0.0
			for i := range in {
				u += s * float64(x[i]) * float64(a[k*in+i])
			}
			for o := range out {
				v += s * float64(dy[o]) * float64(b[o*testRank+k])
				c.wantY[t*out+o] += u * float64(b[o*testRank+k])
				c.wantDB[o*testRank+k] += float64(dy[o]) * u
			}
			for i := range in {
				c.wantDA[k*in+i] += v * float64(x[i])
				c.wantDX[t*in+i] += v * float64(a[k*in+i])
			}
		}
		for o := range out {
			c.w.base.Decode(line, o)
			for i := range in {
				c.wantDX[t*in+i] += float64(dy[o]) * float64(line[i])
			}
		}
	}
}

func loraRun(t testing.TB, threads int) *tensor.Run {
	pool := par.New(threads)
	t.Cleanup(pool.Close)
	return tensor.NewRun(pool)
}

// off returns the largest error of got as a share of the root mean square of want.
func off(got []float32, want []float64) float64 {
	square, worst := 0.0, 0.0
	for i, v := range want {
		square += v * v
		if d := math.Abs(float64(got[i]) - v); d > worst || d != d {
			worst = d
		}
	}
	return worst / math.Sqrt(square/float64(len(want)))
}

var loraBases = []quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0, quant.Q4_K}

func TestLoRAIsItsDefinition(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		r := loraRun(t, 2)
		for _, typ := range loraBases {
			for _, rows := range []int{1, 5, 61} {
				for _, p := range []tensor.Precision{tensor.Float32, tensor.BFloat16} {
					t.Run(fmt.Sprintf("%v/rows=%d/precision=%d", typ, rows, p), func(t *testing.T) { loraDefinition(t, r, typ, p, rows) })
				}
			}
		}
	})
}

func loraDefinition(t *testing.T, r *tensor.Run, typ quant.Type, p tensor.Precision, rows int) {
	c := newLoRACase(t, r, typ, p, rows)
	// Sums of 256 float32 products are good to 1e-6 of their size, and the worst of many to a few times that. A bf16 has
	// eight bits: a product of two is off by up to 2·2⁻⁹ of itself, and the largest, in the gradients of a single row, is
	// some 12 root mean squares: 12·2·2⁻⁹ = 5e-2.
	tol, through := 1e-5, 1e-5
	if p == tensor.BFloat16 {
		tol = 5e-2
	}
	if typ != quant.F32 && typ != quant.F16 { // their own gradients pass through bf16
		through = 5e-2
	}
	tensor.MatMul(r, c.y, c.x, c.w)
	if d := off(c.y.Data, c.wantY); !(d <= tol) {
		t.Errorf("y: error %.2g of the root mean square, want %g", d, tol)
	}
	c.w.AccGrad(r, c.y, c.x)
	c.w.MatMulT(r, c.x, c.y)
	for _, g := range []struct {
		name string
		got  []float32
		want []float64
		tol  float64
	}{{"dA", c.w.a.grad, c.wantDA, tol}, {"dB", c.w.b.grad, c.wantDB, tol}, {"dx", c.x.Grad, c.wantDX, max(tol, through)}} {
		if d := off(g.got, g.want); !(d <= g.tol) {
			t.Errorf("%s: error %.2g of the root mean square, want %g", g.name, d, g.tol)
		}
	}
	// MatMulT alone gives what it gives after AccGrad; both add.
	first := append([]float32(nil), c.x.Grad...)
	c.w.MatMulT(r, c.x, c.y)
	c.w.AccGrad(r, c.y, c.x)
	for i := range c.wantDX {
		c.wantDX[i] = 2 * float64(first[i])
	}
	for i := range c.wantDA {
		c.wantDA[i] *= 2
	}
	for i := range c.wantDB {
		c.wantDB[i] *= 2
	}
	if a, b, x := off(c.w.a.grad, c.wantDA), off(c.w.b.grad, c.wantDB), off(c.x.Grad, c.wantDX); !(a <= tol && b <= tol && x <= 1e-5) {
		t.Errorf("a second time: dA %.2g, dB %.2g, dx %.2g off twice the first", a, b, x)
	}
}

func TestLoRAGradientsAreDifferences(t *testing.T) {
	r := loraRun(t, 2)
	for _, typ := range loraBases {
		c := newLoRACase(t, r, typ, tensor.Float32, 5)
		value := func() float64 {
			c.w.a.changed()
			c.w.b.changed()
			tensor.MatMul(r, c.y, c.x, c.w)
			sum := 0.0
			for i, v := range c.y.Data {
				sum += float64(v) * float64(c.y.Grad[i])
			}
			return sum
		}
		c.w.AccGrad(r, c.y, c.x)
		// y is linear in A and in B, so a long step has no curvature and little rounding.
		numtest.GradCheck(t, typ.String()+" A", c.w.a.data[:300], c.w.a.grad[:300], 0.5, 1e-4, value)
		numtest.GradCheck(t, typ.String()+" B", c.w.b.data[:300], c.w.b.grad[:300], 0.5, 1e-4, value)
	}
}

// A row of y is the same bits whatever rows are beside it, and gradients are the same bits on any number of workers.
func TestLoRADoesNotDependOnCompany(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, p := range []tensor.Precision{tensor.Float32, tensor.BFloat16} {
			r := loraRun(t, 1)
			want := newLoRACase(t, r, quant.Q8_0, p, 61)
			tensor.MatMul(r, want.y, want.x, want.w)
			want.w.AccGrad(r, want.y, want.x)
			want.w.MatMulT(r, want.x, want.y)
			r = loraRun(t, 3)
			got := newLoRACase(t, r, quant.Q8_0, p, 61)
			for lo := 0; lo < 61; lo += 17 {
				hi := min(lo+17, 61)
				out, in := got.w.Dims()
				x, y := tensor.Of(hi-lo, in, got.x.Data[lo*in:hi*in]), tensor.Of(hi-lo, out, got.y.Data[lo*out:hi*out])
				tensor.MatMul(r, y, x, got.w)
			}
			same(t, "y", got.y.Data, want.y.Data)
			got.w.AccGrad(r, got.y, got.x)
			got.w.MatMulT(r, got.x, got.y)
			same(t, "dA", got.w.a.grad, want.w.a.grad)
			same(t, "dB", got.w.b.grad, want.w.b.grad)
			same(t, "dx", got.x.Grad, want.x.Grad)
		}
	})
}

func same(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s[%d]: %g, want %g", name, i, got[i], want[i])
			return
		}
	}
}

// Projections of one input share a job: the LoRAs of all must be at hand at once.
func TestLoRAsOfOneInput(t *testing.T) {
	r := loraRun(t, 2)
	var cs []*loraCase
	var ws []tensor.Weight
	var ys []*tensor.Tensor
	for i := range 3 {
		c := newLoRACase(t, r, quant.Q8_0, tensor.Float32, 9)
		for k := range c.w.b.data {
			c.w.b.data[k] *= float32(i + 1)
		}
		c.w.b.changed()
		c.reference()
		cs, ws, ys = append(cs, c), append(ws, c.w), append(ys, c.y)
	}
	tensor.MatMulAll(r, cs[0].x, ys, ws)
	for i, c := range cs {
		if d := off(c.y.Data, c.wantY); !(d <= 1e-5) {
			t.Errorf("projection %d: error %.2g of the root mean square", i, d)
		}
	}
}

func TestLoRADecodeAndMerge(t *testing.T) {
	r := loraRun(t, 2)
	for _, typ := range loraBases {
		for _, p := range []tensor.Precision{tensor.Float32, tensor.BFloat16} {
			c := newLoRACase(t, r, typ, p, 5)
			out, in := c.w.Dims()
			before := make([][]float32, out)
			for o := range before {
				before[o] = make([]float32, in)
				c.w.mergedRow(before[o], o, c.stored)
			}
			if err := c.w.merge(c.stored); err != nil {
				t.Fatal(err)
			}
			got, want := make([]float32, 0, out*in), make([]float64, 0, out*in)
			line := make([]float32, in)
			for o := range before {
				c.w.mergedRow(line, o, c.w.merged)
				got = append(got, line...)
				for _, v := range before[o] {
					want = append(want, float64(v))
				}
			}
			// Half a step of the format, relative to the root mean square: a value of a row is at most some four of them.
			tol := map[quant.Type]float64{quant.F32: 0, quant.F16: 2e-3, quant.BF16: 2e-2, quant.Q8_0: 2e-2, quant.Q4_K: 2e-2 /* merged as Q8_0 */}[typ]
			if d := off(got, want); !(d <= tol) {
				t.Errorf("%v: merged weights are off by %.2g of the root mean square, want %g", typ, d, tol)
			}
			for _, v := range c.w.b.data {
				if v != 0 {
					t.Fatalf("%v: B holds %g after the merge", typ, v)
				}
			}
			tensor.MatMul(r, c.y, c.x, c.w)
			if d := off(c.y.Data, c.wantY); !(d <= max(2*tol, 3e-2)) {
				t.Errorf("%v: merged products are off by %.2g", typ, d)
			}
		}
	}
}

func TestLoRABeginsAsPEFTDoes(t *testing.T) {
	base, _ := quant.New(quant.F32, make([]byte, 4*64*1024), 64, 1024)
	w := newLoRA(base, quant.F32, &LoRAConfig{Rank: 64, Alpha: 16, Seed: 3}, "q", tensor.Float32, &loraBack{})
	bound, sum, square, most := 1/math.Sqrt(1024.0), 0.0, 0.0, 0.0
	for _, v := range w.a.data {
		sum += float64(v)
		square += float64(v) * float64(v)
		most = max(most, math.Abs(float64(v)))
	}
	n := float64(len(w.a.data))
	// Uniform in ±b: mean 0 (deviation b/sqrt(3n)), mean square b²/3, and none beyond b.
	if math.Abs(sum/n) > 5*bound/math.Sqrt(3*n) || math.Abs(square/n/(bound*bound/3)-1) > 0.02 || most > bound || most < 0.999*bound {
		t.Errorf("A: mean %g, mean square %g, largest %g; want uniform in ±%g", sum/n, square/n, most, bound)
	}
	for _, v := range w.b.data {
		if v != 0 {
			t.Fatalf("B holds %g, want zeros", v)
		}
	}
	other := newLoRA(base, quant.F32, &LoRAConfig{Rank: 64, Alpha: 16, Seed: 3}, "k", tensor.Float32, &loraBack{})
	if other.a.data[0] == w.a.data[0] {
		t.Error("two matrices got the same random numbers")
	}
}

func TestLoRAConfigCheck(t *testing.T) {
	for _, c := range []LoRAConfig{{Rank: 0, Alpha: 1}, {Rank: maxRank + 1, Alpha: 1}, {Rank: 1}, {Rank: 1, Alpha: -1}, {Rank: 1, Alpha: math.NaN()}, {Rank: 1, Alpha: math.Inf(1)}} {
		if c.check() == nil {
			t.Errorf("%+v passed", c)
		}
	}
	if err := (&LoRAConfig{Rank: 16, Alpha: 32}).check(); err != nil {
		t.Error(err)
	}
}

func TestMergedType(t *testing.T) {
	for _, c := range []struct {
		name     string
		src      quant.Type
		dims     []int
		changed  bool
		to, want quant.Type
	}{
		{"output_norm.weight", quant.BF16, []int{64}, false, quant.Q8_0, quant.F32},
		{"blk.1.ffn_gate_inp.weight", quant.BF16, []int{8, 64}, false, quant.Q8_0, quant.F32},
		{"token_embd.weight", quant.F32, []int{100, 64}, false, quant.Q8_0, quant.Q8_0},
		{"token_embd.weight", quant.Q4_0, []int{100, 64}, false, quant.Q8_0, quant.Q4_0},
		{"token_embd.weight", quant.Q8_0, []int{100, 64}, false, quant.Q8_0, quant.Q8_0},
		{"token_embd.weight", quant.Q8_0, []int{100, 64}, false, quant.Q4_K, quant.Q8_0},
		{"blk.0.attn_q.weight", quant.Q4_0, []int{64, 256}, true, quant.Q8_0, quant.Q8_0},
		{"blk.0.attn_q.weight", quant.Q4_0, []int{64, 256}, true, quant.Q4_K, quant.Q4_K},
		{"blk.0.attn_q.weight", quant.Q4_0, []int{64, 64}, true, quant.Q4_K, quant.Q8_0},
		{"blk.0.attn_q.weight", quant.F16, []int{64, 24}, true, quant.Q8_0, quant.F16},
	} {
		src := weights.Tensor{Name: c.name, Type: c.src, Dims: c.dims}
		if got := mergedType(src, c.changed, c.to); got != c.want {
			t.Errorf("%s %v %v, changed %v, in a file of %v: %v, want %v", c.name, c.src, c.dims, c.changed, c.to, got, c.want)
		}
	}
}

func TestLoRADecodesWithoutAllocation(t *testing.T) {
	r := loraRun(t, 2)
	for _, p := range []tensor.Precision{tensor.Float32, tensor.BFloat16} {
		c := newLoRACase(t, r, quant.Q8_0, p, 1)
		tensor.MatMul(r, c.y, c.x, c.w)
		if n := testing.AllocsPerRun(50, func() {
			c.x.Changed()
			tensor.MatMul(r, c.y, c.x, c.w)
		}); n != 0 {
			t.Errorf("precision %d: %g allocations a product", p, n)
		}
	}
}
