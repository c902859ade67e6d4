package tensor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/numtest"
)

func newRun(t testing.TB, threads int) *Run {
	pool := par.New(threads)
	t.Cleanup(pool.Close)
	return NewRun(pool)
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// shapes are rows, in and out: odd ones, one row, more than a panel and than a tile.
var shapes = [][3]int{{1, 1, 1}, {1, 7, 5}, {1, 64, 33}, {3, 17, 16}, {5, 31, 70}, {13, 48, 47}, {70, 33, 18}}

// near reports the first place where got is not base + a·b with a [m, k] and b [k, n], each read through its index
// function. An element may be off by 2⁻²⁴ of Σ|aᵢbᵢ| for each of its sums, and in bf16, which rounds both factors of a
// product to 2⁻⁸, by 2⁻⁷ of it (and the square of that).
func near(t *testing.T, what string, p Precision, got, base []float32, m, k, n int, a, b func(i, j int) float32) {
	t.Helper()
	unit := float64(k+1) * math.Pow(2, -24)
	if p == BFloat16 {
		unit += math.Pow(2, -7) + math.Pow(2, -16)
	}
	for i := range m {
		for j := range n {
			want, size := 0.0, 0.0
			if base != nil {
				want, size = float64(base[i*n+j]), math.Abs(float64(base[i*n+j]))
			}
			for l := range k {
				v := float64(a(i, l)) * float64(b(l, j))
				want, size = want+v, size+math.Abs(v)
			}
			if d := math.Abs(float64(got[i*n+j]) - want); !(d <= unit*size) {
				t.Errorf("%s[%d, %d]: %v, want %v, error %.2g, at most %.2g", what, i, j, got[i*n+j], want, d, unit*size)
				return
			}
		}
	}
}

func TestDenseProducts(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, precision := range []Precision{Float32, BFloat16} {
			for _, s := range shapes {
				t.Run(fmt.Sprintf("%v/%v", precision, s), func(t *testing.T) { denseProducts(t, precision, s[0], s[1], s[2]) })
			}
		}
	})
}

func denseProducts(t *testing.T, p Precision, rows, in, out int) {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(in*out)))
	r := newRun(t, 2)
	w := NewDense(out, in, random(rng, out*in), p)
	w.Train()
	x := Of(rows, in, random(rng, rows*in))
	y := r.New(rows, out)
	at := func(v []float32, cols int) func(i, j int) float32 {
		return func(i, j int) float32 { return v[i*cols+j] }
	}
	turned := func(v []float32, cols int) func(i, j int) float32 {
		return func(i, j int) float32 { return v[j*cols+i] }
	}

	MatMul(r, y, x, w)
	near(t, "y", p, y.Data, nil, rows, in, out, at(x.Data, in), turned(w.Data, in))

	// The gradients are added to what is there.
	copy(r.Zeroed(y), random(rng, rows*out))
	dx := random(rng, rows*in)
	x.Grad = slices.Clone(dx)
	w.MatMulT(r, x, y)
	near(t, "dx", p, x.Grad, dx, rows, out, in, at(y.Grad, out), at(w.Data, in))

	dw := random(rng, out*in)
	copy(w.Grad, dw)
	w.AccGrad(r, y, x)
	near(t, "dW", p, w.Grad, dw, out, rows, in, turned(y.Grad, out), at(x.Data, in))

	// A change is seen once it is told.
	w.Data[in*out-1] += 3
	w.Changed()
	MatMul(r, y, x, w)
	near(t, "y of the changed weight", p, y.Data, nil, rows, in, out, at(x.Data, in), turned(w.Data, in))
	x.Data[0] = 2
	x.Changed()
	MatMul(r, y, x, w)
	near(t, "y of the changed input", p, y.Data, nil, rows, in, out, at(x.Data, in), turned(w.Data, in))
}

// TestRowsAreIndependent is the promise of Weight: a row's result depends on that row alone, not on how many there
// are, on other weights of the job, or on the workers.
func TestRowsAreIndependent(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, precision := range []Precision{Float32, BFloat16} {
			rng := rand.New(rand.NewPCG(1, 2))
			const in, rows = 67, 29
			ws := []Weight{NewDense(50, in, random(rng, 50*in), precision), NewDense(16, in, random(rng, 16*in), precision), NewDense(3, in, random(rng, 3*in), precision)}
			data := random(rng, rows*in)
			r := newRun(t, 3)
			all := []*Tensor{r.New(rows, 50), r.New(rows, 16), r.New(rows, 3)}
			MatMulAll(r, Of(rows, in, data), all, ws)
			for _, n := range []int{1, 2, 7} {
				lone := newRun(t, 1)
				for lo := 0; lo+n <= rows; lo += 5 {
					for i, w := range ws {
						y := lone.New(n, all[i].Cols)
						MatMul(lone, y, Of(n, in, slices.Clone(data[lo*in:(lo+n)*in])), w)
						if want := all[i].Data[lo*y.Cols : (lo+n)*y.Cols]; !slices.Equal(y.Data, want) {
							t.Errorf("precision %v, weight %d: rows %d to %d alone are %v, among %d they are %v", precision, i, lo, lo+n, y.Data, rows, want)
						}
					}
				}
			}
		}
	})
}

func TestFrozen(t *testing.T) {
	r := newRun(t, 1)
	w := NewDense(3, 2, []float32{1, 2, 3, 4, 5, 6}, Float32)
	x, y := Of(1, 2, []float32{1, 1}), Of(1, 3, []float32{1, 1, 1})
	y.Grad = []float32{1, 1, 1}
	w.AccGrad(r, y, x)
	w.AccRow(r, 1, []float32{1, 1})
	if w.Grad != nil {
		t.Error("a frozen weight has a gradient")
	}
	w.Train()
	w.AccRow(r, 1, []float32{7, 8})
	w.AccRow(r, 1, []float32{1, 1})
	if want := []float32{0, 0, 8, 9, 0, 0}; !slices.Equal(w.Grad, want) {
		t.Errorf("gradient %v, want %v", w.Grad, want)
	}
	row := make([]float32, 2)
	if w.Decode(row, 2); !slices.Equal(row, []float32{5, 6}) {
		t.Errorf("row 2 is %v", row)
	}
}

// TestMemoryIsUsedAgain: a step that asks for the same shapes as the one before makes nothing, and what is live is
// never handed out twice.
func TestMemoryIsUsedAgain(t *testing.T) {
	r := newRun(t, 2)
	w := NewDense(40, 30, random(rand.New(rand.NewPCG(1, 1)), 1200), BFloat16)
	step := func() {
		x := r.New(9, 30)
		for i := range x.Data {
			x.Data[i] = float32(i)
		}
		mark := r.Mark()
		y := r.New(9, 40)
		r.Zeroed(y)
		MatMul(r, y, x, w)
		a, b := r.New(3, 100), r.New(3, 100)
		for i := range a.Data {
			a.Data[i], b.Data[i] = 1, 2
		}
		if a.Data[299] != 1 || y.Grad[0] != 0 {
			t.Fatal("two live tensors share memory")
		}
		r.Free(a)
		r.Free(a) // a second time does nothing
		c, d := r.New(3, 100), r.New(3, 100)
		if &c.Data[0] == &d.Data[0] || &d.Data[0] == &b.Data[0] {
			t.Fatal("memory was handed out twice")
		}
		r.Release(mark)
		if x.Data[269] != 269 {
			t.Fatal("a tensor made before the mark was released")
		}
		r.Release(0)
	}
	step()
	size := r.Bytes()
	if n := testing.AllocsPerRun(20, step); n > 0 {
		t.Errorf("%.0f allocations a step", n)
	}
	if r.Bytes() != size {
		t.Errorf("%d bytes after many steps, %d after the first", r.Bytes(), size)
	}
}

// TestClasses: a buffer of a class holds what asks for it and wastes at most a quarter.
func TestClasses(t *testing.T) {
	last, lastSize := 0, 64
	for n := 1; n < 1<<16; n++ {
		c, size := class(n)
		if size < n || n > 64 && size > n+n/4+1 {
			t.Fatalf("%d elements get %d", n, size)
		}
		if c < last || c == last && size != lastSize {
			t.Fatalf("%d elements: class %d of %d, before it class %d of %d", n, c, size, last, lastSize)
		}
		if again, same := class(size); again != c || same != size {
			t.Fatalf("a buffer of %d is of class %d of %d, not %d", size, again, same, c)
		}
		last, lastSize = c, size
	}
}

func TestRowsCoverEachOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 7} {
		r := newRun(t, threads)
		for n := range 100 {
			seen := make([]int32, n)
			r.Rows(n, func(lo, hi, worker int) {
				if lo >= hi || worker < 0 || worker >= threads {
					t.Errorf("rows %d to %d of %d by worker %d", lo, hi, n, worker)
				}
				for i := lo; i < hi; i++ {
					seen[i]++
				}
			})
			for i, k := range seen {
				if k != 1 {
					t.Fatalf("%d threads: row %d of %d was done %d times", threads, i, n, k)
				}
			}
		}
	}
}

func TestCallersBugs(t *testing.T) {
	r := newRun(t, 1)
	w := NewDense(3, 2, make([]float32, 6), Float32)
	for name, f := range map[string]func(){
		"NewDense": func() { NewDense(2, 2, make([]float32, 5), Float32) },
		"Of":       func() { Of(2, 2, make([]float32, 5)) },
		"in":       func() { MatMul(r, r.New(1, 3), r.New(1, 3), w) },
		"out":      func() { MatMul(r, r.New(1, 2), r.New(1, 2), w) },
		"rows":     func() { MatMul(r, r.New(2, 3), r.New(1, 2), w) },
		"many":     func() { MatMulAll(r, r.New(1, 2), make([]*Tensor, 9), make([]Weight, 9)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
