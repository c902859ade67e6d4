package quant

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/kernel"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

// The kernels' sums are exact in integers and then have at most three roundings a block of 32 in a chain of
// additions, those of the scales included: (3·blocks + 4)·2⁻²⁴·Σ|terms|. Products of floats have one a term.
func sumTolerance(terms int) float64 { return float64(3*terms+4) * 0x1p-24 }

func randomTensor(r *tensor.Run, rows, cols int, seed uint64) *tensor.Tensor {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := r.New(rows, cols)
	for i := range x.Data {
		x.Data[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()))
	}
	return x
}

// seen returns row t of x as a weight of type typ multiplies it.
func seen(typ Type, x *tensor.Tensor, t int) []float64 {
	v := make([]float64, x.Cols)
	for k, a := range x.Row(t) {
		v[k] = float64(a)
	}
	switch {
	case typ == BF16:
		h, f := make([]uint16, x.Cols), make([]float32, x.Cols)
		kernel.ToBF16(h, x.Row(t))
		kernel.FromBF16(f, h)
		for k := range v {
			v[k] = float64(f[k])
		}
	case typ.BlockSize() > 1:
		q := kernel.Int8{Rows: 1, Cols: x.Cols, Data: make([]byte, kernel.Int8Size(1, x.Cols))}
		q.Quantize(x.Row(t), 0, 1)
		for k := range v {
			line := q.Data[k/32*64:][:64]
			d := math.Float32frombits(binary.LittleEndian.Uint32(line[32:]))
			v[k] = float64(d) * float64(int8(line[k%32]))
		}
	}
	return v
}

func TestMatMul(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		r := tensor.NewRun(par.New(2))
		defer r.Pool.Close()
		for _, typ := range Types() {
			for _, s := range [][3]int{{1, 16, 256}, {3, 40, 512}, {16, 37, 768}, {21, 80, 256}, {35, 16, 512}} {
				checkMatMul(t, r, typ, s[0], s[1], s[2])
			}
		}
	})
}

func checkMatMul(t *testing.T, r *tensor.Run, typ Type, rows, out, in int) {
	t.Helper()
	defer r.Release(r.Mark())
	w, err := New(typ, randomBlocks(typ, out*in, 3), out, in)
	if err != nil {
		t.Fatal(err)
	}
	x := randomTensor(r, rows, in, 9)
	y := r.New(rows, out)
	tensor.MatMul(r, y, x, w)
	blocks := in
	if typ.BlockSize() > 1 {
		blocks = in / 32
	}
	line := make([]float32, in)
	for row := range rows {
		v := seen(typ, x, row)
		for j := range out {
			w.Decode(line, j)
			sum, size := 0.0, 0.0
			for k := range v {
				sum += v[k] * float64(line[k])
				size += math.Abs(v[k] * float64(line[k]))
			}
			// Codes with a minimum are summed apart from it, and both parts may be much larger than their sum.
			if typ.BlockSize() > 1 {
				size *= 8
			}
			if got := y.Row(row)[j]; !(math.Abs(float64(got)-sum) <= sumTolerance(blocks)*size) {
				t.Fatalf("%v [%d, %d]: y[%d, %d] = %v, want %v ± %.2g", typ, out, in, row, j, got, sum, sumTolerance(blocks)*size)
			}
		}
	}
}

// TestRowsAlone: a row's result is the same bits in any batch and by any number of workers.
func TestRowsAlone(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		const rows, out, in = 39, 100, 512
		one, two := tensor.NewRun(par.New(1)), tensor.NewRun(par.New(2))
		defer two.Pool.Close()
		for _, typ := range Types() {
			w, err := New(typ, randomBlocks(typ, out*in, 5), out, in)
			if err != nil {
				t.Fatal(err)
			}
			x := randomTensor(two, rows, in, 2)
			y := two.New(rows, out)
			tensor.MatMul(two, y, x, w)
			for lo, n := 0, 1; lo < rows; lo, n = lo+n, n%5+1 {
				n = min(n, rows-lo)
				part := tensor.Of(n, in, x.Data[lo*in:(lo+n)*in])
				got := one.New(n, out)
				tensor.MatMul(one, got, part, w)
				sameBits(t, fmt.Sprintf("%v rows %d to %d", typ, lo, lo+n-1), got.Data, y.Data[lo*out:(lo+n)*out])
			}
		}
	})
}

func TestMatMulT(t *testing.T) {
	r := tensor.NewRun(par.New(2))
	defer r.Pool.Close()
	for _, typ := range Types() {
		checkMatMulT(t, r, typ, 5, 300, 256)
		checkMatMulT(t, r, typ, 2, 19, 768)
		if typ.BlockSize() == 1 { // rows of any width
			checkMatMulT(t, r, typ, 3, 18, 7)
			checkMatMulT(t, r, typ, 4, 33, 771)
		}
	}
}

func checkMatMulT(t *testing.T, r *tensor.Run, typ Type, rows, out, in int) {
	t.Helper()
	w, err := New(typ, randomBlocks(typ, out*in, 4), out, in)
	if err != nil {
		t.Fatal(err)
	}
	x, y := r.New(rows, in), randomTensor(r, rows, out, 8)
	y.Grad = y.Data
	start := r.Zeroed(x)
	for i := range start {
		start[i] = float32(i % 7)
	}
	w.MatMulT(r, x, y)
	want, size := make([]float64, rows*in), make([]float64, rows*in)
	line := make([]float32, in)
	for o := range out {
		w.Decode(line, o)
		for row := range rows {
			for k, v := range line {
				p := float64(v) * float64(y.Data[row*out+o])
				want[row*in+k] += p
				size[row*in+k] += math.Abs(p)
			}
		}
	}
	// bf16 keeps 8 bits of each factor: two roundings of 2⁻⁸; float32 products lose 2⁻²⁴ a term.
	tol := 0x1p-7 + 0x1p-16
	if typ == F32 || typ == F16 {
		tol = float64(out) * 0x1p-24
	}
	for i, got := range x.Grad {
		if d := math.Abs(float64(got) - want[i] - float64(i%7)); !(d <= tol*(size[i]+8)) {
			t.Fatalf("%v: dx[%d, %d] = %v, want %v", typ, i/in, i%in, got, want[i]+float64(i%7))
		}
	}
}

// TestNoAllocation: a product and a look-up, which each token needs, allocate nothing.
func TestNoAllocation(t *testing.T) {
	r := tensor.NewRun(par.New(2))
	defer r.Pool.Close()
	for _, typ := range Types() {
		const out, in = 50, 512
		w, err := New(typ, randomBlocks(typ, out*in, 6), out, in)
		if err != nil {
			t.Fatal(err)
		}
		x, y, line := randomTensor(r, 3, in, 1), r.New(3, out), make([]float32, in)
		n := testing.AllocsPerRun(20, func() {
			x.Changed()
			tensor.MatMul(r, y, x, w)
			w.Decode(line, 7)
		})
		if n != 0 {
			t.Errorf("%v: %v allocations", typ, n)
		}
	}
}

// TestHostileProducts: scales that are NaN or infinite give such products, and nothing panics.
func TestHostileProducts(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		r := tensor.NewRun(par.New(1))
		for _, typ := range Types() {
			if typ == MXFP4 {
				continue // its scale is always a number
			}
			const out, in = 20, 256
			w, err := New(typ, bytes.Repeat([]byte{0xff}, out*typ.RowBytes(in)), out, in)
			if err != nil {
				t.Fatal(err)
			}
			x, y := randomTensor(r, 6, in, 1), r.New(6, out)
			tensor.MatMul(r, y, x, w)
			for i, v := range y.Data {
				if v == v {
					t.Fatalf("%v: y[%d, %d] = %v from weights that are NaN", typ, i/out, i%out, v)
				}
			}
			y.Grad = y.Data
			w.MatMulT(r, x, y)
		}
	})
}

// largerForms are the bits a weight of those whose panels hold another format's numbers.
var largerForms = map[Type]float64{Q3_K: 6.625, IQ4_NL: 8.5, IQ4_XS: 8.625, IQ3_S: 6.625, IQ3_XXS: 8.625, IQ2_S: 8.625,
	IQ2_XS: 8.625, IQ2_XXS: 8.625, IQ1_S: 8.625, IQ1_M: 8.625, TQ1_0: 2.625, TQ2_0: 2.625, MXFP4: 9}

func TestArena(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	a := NewArena(pool)
	for _, typ := range Types() {
		const out, in = 300, 1024
		data := randomBlocks(typ, out*in, 9)
		before := a.Bytes()
		w, err := a.New(typ, data, out, in)
		if err != nil {
			t.Fatal(err)
		}
		// 300 rows are 19 panels of 16, 304 rows; a packed weight may be 5 % larger than its stored form. Formats
		// without a form of their own become one of so many bits a weight.
		limit := float64(len(data)) * 304 / 300 * 1.05
		if bits, ok := largerForms[typ]; ok {
			limit = bits / 8 * 304 * in
		}
		if float64(a.Bytes()-before) > limit {
			t.Errorf("%v: %d bytes packed, want at most %.0f", typ, a.Bytes()-before, limit)
		}
		got, want := make([]float32, in), make([]float32, in)
		for _, row := range []int{0, 17, out - 1} {
			w.Decode(got, row)
			Decode(typ, want, data[row*typ.RowBytes(in):][:typ.RowBytes(in)])
			dropSigns(typ, want)
			sameBits(t, fmt.Sprintf("%v row %d", typ, row), got, want)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if a.Bytes() != 0 {
		t.Errorf("%d bytes after Close", a.Bytes())
	}
}

func TestArenaBytes(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 2 << 20, 2 << 20: 2 << 20, 2<<20 + 1: 4 << 20} {
		if got := ArenaBytes(n); got != want {
			t.Errorf("an arena of %d bytes takes %d, want %d", n, got, want)
		}
	}
}
