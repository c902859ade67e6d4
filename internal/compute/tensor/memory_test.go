package tensor

import (
	"math"
	"testing"

	"retort/internal/compute/kernel"
)

// TestMemory: what is told of memory is what a Run holds afterwards, to the byte.
func TestMemory(t *testing.T) {
	for _, p := range []Precision{Float32, BFloat16} {
		for _, s := range shapes {
			rows, in, out := s[0], s[1], s[2]
			w := NewDense(out, in, make([]float32, out*in), p)
			w.Train()
			for name, c := range map[string]struct {
				want int
				do   func(r *Run, x, y *Tensor)
			}{
				"operand": {p.OperandBytes(rows, in), func(r *Run, x, _ *Tensor) { r.Operand(x, p) }},
				"int8":    {Int8Bytes(rows, in), func(r *Run, x, _ *Tensor) { r.Int8(x) }},
				"tensor":  {TensorBytes(rows, in), func(r *Run, _, _ *Tensor) { r.New(rows, in) }},
				"panels":  {p.ScratchPanelBytes(in, rows), func(r *Run, _, _ *Tensor) { r.givePanels(r.takePanels(p, in, rows)) }},
				"dW":      {p.AccGradBytes(out, in, rows), func(r *Run, x, y *Tensor) { w.AccGrad(r, y, x) }},
				"dx": {p.MatMulTBytes(out, rows), func(r *Run, x, y *Tensor) {
					x.Grad = make([]float32, rows*in)
					w.MatMulT(r, x, y)
				}},
			} {
				r := newRun(t, 2)
				x, y := Of(rows, in, make([]float32, rows*in)), Of(rows, out, make([]float32, rows*out))
				y.Grad = y.Data
				for range 2 { // the second time it is there already
					c.do(r, x, y)
					r.Release(0)
				}
				if got := r.Bytes(); got != c.want {
					t.Errorf("precision %v, %v: %s takes %d bytes, told %d", p, s, name, got, c.want)
				}
			}
			var panels Panels
			panels.Grow(p, out, in)
			if got := len(panels.full)*4 + len(panels.half)*2; got != p.PanelBytes(out, in) {
				t.Errorf("precision %v, %v: panels of %d bytes, told %d", p, s, got, p.PanelBytes(out, in))
			}
		}
	}
	if Float32.ValueBytes() != 4 || BFloat16.ValueBytes() != 2 {
		t.Error("a value in a product has 4 bytes, in bf16 2")
	}
}

// TestOperandParts: parts set by rows and by columns, in any order and in memory that held other numbers, multiply as the
// whole does, an odd end too; and so do panels in scratch memory.
func TestOperandParts(t *testing.T) {
	for _, p := range []Precision{Float32, BFloat16} {
		const m, k, n = 5, 7, kernel.Panel
		a, b := make([]float32, m*k), make([]float32, k*n)
		for i := range a {
			a[i] = float32(i%9) - 4
		}
		for i := range b {
			b[i] = float32(i%7) - 3
		}
		turned := make([]float32, k*m)
		for i := range m {
			for j := range k {
				turned[j*m+i] = a[i*k+j]
			}
		}
		var byRows, byCols Operand
		for _, o := range []*Operand{&byRows, &byCols} {
			o.Grow(p, m, k+3) // memory that holds something, in rows of another length
			nan := make([]float32, m*(k+3))
			for i := range nan {
				nan[i] = float32(math.NaN())
			}
			o.SetRows(nan, m)
			o.Grow(p, m, k)
		}
		byRows.From(3).SetRows(a[3*k:], 2)
		byRows.SetRows(a, 3)
		byCols.SetTurned(4, turned[4*m:], 3, m, m)
		byCols.SetTurned(0, turned, 4, m, m)
		panels := ScratchPanels(p, make([]float32, PanelScratch(k)), k)
		panels.PackCols(b, n, n)
		for what, o := range map[string]Operand{"by rows": byRows, "by columns": byCols} {
			c := make([]float32, m*n)
			Gemm(c, n, o, panels, m, n, false)
			Gemm(c[n:], n, o.From(1), panels, m-1, n, true) // and all but the first once more
			for i := range m {
				for j := range n {
					want := float32(0)
					for l := range k {
						want += a[i*k+l] * b[l*n+j] // small whole numbers: exact in both
					}
					if i > 0 {
						want *= 2
					}
					if got := c[i*n+j]; got != want {
						t.Fatalf("precision %v, %s: c[%d, %d] = %v, want %v", p, what, i, j, got, want)
					}
				}
			}
		}
	}
}

// TestNothingStaysBehind: what buffers, headers and converted forms held before shows in no later result.
func TestNothingStaysBehind(t *testing.T) {
	r := newRun(t, 2)
	const rows, in, out = 3, 7, 5
	w := NewDense(out, in, make([]float32, out*in), BFloat16)
	for i := range w.Data {
		w.Data[i] = float32(i%5) - 2
	}
	w.Train()
	fill := func() { // every free buffer of bf16 that these shapes meet holds NaN
		var taken [][]uint16
		for range 8 {
			h := r.halves.take(24)
			for i := range h {
				h[i] = 0x7fc0
			}
			taken = append(taken, h)
		}
		for _, h := range taken {
			r.halves.give(h)
		}
	}
	for round := range 3 {
		fill()
		x, y := r.New(rows, in), r.New(rows, out)
		for i := range x.Data {
			x.Data[i] = float32((i+round)%4 - 1)
		}
		check := func(what string, got []float32, n int, want func(i, j int) float32) {
			t.Helper()
			for i := range got {
				if w := want(i/n, i%n); got[i] != w {
					t.Fatalf("round %d: %s[%d, %d] = %v, want %v", round, what, i/n, i%n, got[i], w)
				}
			}
		}
		product := func(i, j int) (s float32) {
			for k := range in {
				s += x.Data[i*in+k] * w.Data[j*in+k]
			}
			return s
		}
		MatMul(r, y, x, w)
		check("y", y.Data, out, product)
		r.BF16(y)
		x.Data[0] += 8
		x.Changed()
		MatMul(r, y, x, w) // whose converted form is that of the values before
		half, stride := r.BF16(y)
		check("bf16 of y", y.Data, out, func(i, j int) float32 { return fromHalf(half[i*stride+j]) })
		fill()
		copy(r.Zeroed(y), y.Data)
		r.Zeroed(x)
		w.MatMulT(r, x, y)
		check("dx", x.Grad, in, func(i, j int) (s float32) {
			for k := range out {
				s += fromHalf(half[i*stride+k]) * w.Data[k*in+j]
			}
			return s
		})
		fill()
		clear(w.Grad)
		w.AccGrad(r, y, x)
		check("dW", w.Grad, in, func(i, j int) (s float32) {
			for k := range rows {
				s += y.Grad[k*out+i] * x.Data[k*in+j]
			}
			return s
		})
		r.Release(0)
	}
}

func fromHalf(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// TestForeignBuffers: a slice of a size that buffers do not have is never handed out for one that they have.
func TestForeignBuffers(t *testing.T) {
	var b buffers[float32]
	for n := 65; n < 200; n++ {
		b.give(make([]float32, n))
	}
	for n := 1; n < 300; n++ {
		if s := b.take(n); len(s) != n {
			t.Fatalf("%d elements, want %d", len(s), n)
		}
	}
}
