package quant

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"

	"retort/internal/compute/kernel"
	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

// encodings are hashes of what Encode made of the weights below when the formats' budgets of error were met: students that
// are written today are those that are written tomorrow. Other processors may fuse a product and a sum, and round once.
var encodings = map[Type]string{
	Q4_K: "9bdfd813fce9aa4ef62f0a75a1cf9774dcdd205a8b9ae1142d75c35e8d8cfa6a",
	Q5_K: "d2a1e15dce5e2e3fd7e233b8d024e61ea4bc0d2ab58ad43b0f539db4f5e67945",
	Q6_K: "15719483c50e269dda593f65061051d284643a258c23fd2248b86e6574057af1",
}

func TestEncodeSame(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("rounds as amd64 does")
	}
	rng := rand.New(rand.NewPCG(11, 12))
	x := make([]float32, 32*256)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(0.5*rng.NormFloat64()))
	}
	for _, typ := range []Type{Q4_K, Q5_K, Q6_K} {
		data := make([]byte, typ.RowBytes(len(x)))
		if err := Encode(typ, data, x); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != encodings[typ] {
			t.Errorf("%v: hash %s, want %s", typ, got, encodings[typ])
		}
	}
}

// TestManyPanels: a weight of more panels than a cache holds is multiplied a part at a time, with the same result.
func TestManyPanels(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		r := tensor.NewRun(par.New(1))
		const in = 2048
		for _, typ := range []Type{Q8_0, IQ4_XS} {
			w, err := New(typ, randomBlocks(typ, 64*kernel.Panel*in, 5), 64*kernel.Panel, in)
			if err != nil {
				t.Fatal(err)
			}
			p := w.(*Packed)
			if cachedBytes/p.size >= 32 {
				t.Fatalf("%v: %d bytes a panel, so all is one part", typ, p.size)
			}
			x := randomTensor(r, 1, in, 4)
			y, alone := r.New(1, p.out), r.New(1, p.out)
			w.Prepare(r, x)
			w.Columns(r, y, x, 0, p.out, 0)
			for lo := 0; lo < p.out; lo += kernel.Panel {
				w.Columns(r, alone, x, lo, lo+kernel.Panel, 0)
			}
			sameBits(t, typ.String(), y.Data, alone.Data)
			r.Release(0)
		}
	})
}

// TestMatMulTGivesBack: undoing a product keeps no more memory the second time than the first.
func TestMatMulTGivesBack(t *testing.T) {
	r := tensor.NewRun(par.New(1))
	w, err := New(Q8_0, randomBlocks(Q8_0, 48*256, 4), 48, 256)
	if err != nil {
		t.Fatal(err)
	}
	x, y := randomTensor(r, 4, 256, 1), randomTensor(r, 4, 48, 2)
	y.Grad = y.Data
	w.MatMulT(r, x, y)
	before := r.Bytes()
	for range 3 {
		w.MatMulT(r, x, y)
	}
	if r.Bytes() != before {
		t.Errorf("%d bytes after the fourth time, %d after the first", r.Bytes(), before)
	}
}

// TestArenaAligns: weights begin at lines of cache, and none overlaps another.
func TestArenaAligns(t *testing.T) {
	a := NewArena(nil)
	defer a.Close()
	var last uintptr
	for _, n := range []int{1, 63, 64, 65, 1000} {
		b, err := a.take(n)
		if err != nil || len(b) != n || cap(b) != n {
			t.Fatalf("%d bytes of %d, %v", len(b), n, err)
		}
		at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		if at%weightAlign != 0 || at < last {
			t.Errorf("%d bytes at %#x, after one that ends at %#x", n, at, last)
		}
		last = at + uintptr(n)
	}
}

// TestFit: rows that a type's blocks do not divide take the next better type.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		want       Type
		cols       int
		fits, wide Type
	}{
		{Q2_K, 512, Q2_K, Q4_0}, {Q3_K, 256, Q3_K, Q4_0}, {Q4_K, 256, Q4_K, Q5_0}, {Q5_K, 768, Q5_K, Q5_1}, {Q6_K, 256, Q6_K, Q8_0},
		{IQ4_XS, 256, IQ4_XS, Q8_0}, {Q4_0, 32, Q4_0, Q4_0}, {F32, 1, F32, F32},
	} {
		if got := Fit(c.want, c.cols); got != c.fits {
			t.Errorf("%v in rows of %d: %v, want %v", c.want, c.cols, got, c.fits)
		}
		if got := Fit(c.want, 96); got != c.wide {
			t.Errorf("%v in rows of 96: %v, want %v", c.want, got, c.wide)
		}
		if got := Fit(c.want, 33); got != F16 && c.want != F32 {
			t.Errorf("%v in rows of 33: %v, want F16", c.want, got)
		}
	}
}
