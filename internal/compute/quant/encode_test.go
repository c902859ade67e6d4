package quant

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// budgets are the largest relative errors, √(Σ(w-stored)²/Σw²), of storing normally distributed weights. A format with b
// bits for a block of that distribution cannot do much better; llama.cpp's C writers give 0.0715, 0.0362 and 0.0178
// for Q4_K, Q5_K and Q6_K on such weights, which ours must not exceed.
var budgets = map[Type]float64{
	F32: 0, F16: 0x1p-11, BF16: 0x1p-8, Q4_0: 0.10, Q4_1: 0.08, Q5_0: 0.05, Q5_1: 0.04, Q8_0: 0.007,
	Q4_K: 0.0715, Q5_K: 0.0362, Q6_K: 0.0178,
}

func TestEncodeError(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 64*256)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * 0.02)
	}
	for _, typ := range Types() {
		data := make([]byte, typ.RowBytes(len(x)))
		if !typ.CanEncode() {
			if err := Encode(typ, data, x); err == nil {
				t.Errorf("%v: CanEncode is false and Encode works", typ)
			}
			continue
		}
		budget, ok := budgets[typ]
		if !ok {
			t.Errorf("%v can be written and has no budget", typ)
		}
		if err := Encode(typ, data, x); err != nil {
			t.Fatal(err)
		}
		if e := relativeError(typ, data, x); !(e <= budget) {
			t.Errorf("%v: relative error %.5f, budget %.5f", typ, e, budget)
		}
	}
}

func relativeError(typ Type, data []byte, x []float32) float64 {
	y := make([]float32, len(x))
	Decode(typ, y, data)
	e, n := 0.0, 0.0
	for i := range x {
		d := float64(x[i]) - float64(y[i])
		e += d * d
		n += float64(x[i]) * float64(x[i])
	}
	return math.Sqrt(e / n)
}

// TestEncodeSpecial: zeros stay zeros, blocks of one sign and blocks with one outlier stay near.
func TestEncodeSpecial(t *testing.T) {
	cases := map[string]func(i int) float32{
		"zeros":    func(int) float32 { return 0 },
		"positive": func(i int) float32 { return 1 + float32(i%17)/16 },
		"negative": func(i int) float32 { return -2 - float32(i%5) },
		"constant": func(int) float32 { return 0.3 },
		"tiny":     func(i int) float32 { return float32(i%9) * 1e-7 },
		"outlier":  func(i int) float32 { return []float32{0.001, 1000}[max(0, i%256-254)] },
	}
	for name, f := range cases {
		x := make([]float32, 512)
		for i := range x {
			x[i] = f(i)
		}
		for _, typ := range Types() {
			if !typ.CanEncode() {
				continue
			}
			data := make([]byte, typ.RowBytes(len(x)))
			if err := Encode(typ, data, x); err != nil {
				t.Fatal(err)
			}
			y := make([]float32, len(x))
			Decode(typ, y, data)
			for i := range y {
				if name == "zeros" && y[i] != 0 {
					t.Fatalf("%v: zero became %v", typ, y[i])
				}
			}
			if name == "positive" || name == "negative" || name == "constant" || name == "outlier" {
				if e := relativeError(typ, data, x); !(e < 0.1) {
					t.Errorf("%v, %s: relative error %.4f", typ, name, e)
				}
			}
		}
	}
}

// TestEncodeRefuses: a weight that is no number, or that a type or its scale does not reach, is told and not stored.
func TestEncodeRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	// What every type just holds (the searches of the K formats may want scales a little above it), and four times which
	// it does not.
	most := map[Type]float32{F32: math.MaxFloat32, F16: 65504, BF16: 0x1.fep127, Q4_0: 8 * 65504, Q4_1: 15 * 65504, Q5_0: 16 * 65504,
		Q5_1: 31 * 65504, Q8_0: 127 * 65504, Q4_K: 14 * 63 * 65504, Q5_K: 30 * 63 * 65504, Q6_K: 31 * 127 * 65504}
	for _, typ := range Types() {
		if !typ.CanEncode() {
			continue
		}
		bad := []float32{nan, inf, -inf}
		if typ != F32 {
			bad = append(bad, 4*min(most[typ], math.MaxFloat32/4), -4*min(most[typ], math.MaxFloat32/4), 3e38*min(1, most[typ]), math.MaxFloat32)
		}
		if typ == BF16 {
			bad = []float32{nan, inf, -inf, math.MaxFloat32, -0x1.ffp127}
		}
		dst := make([]byte, typ.RowBytes(768))
		for _, v := range bad {
			for _, at := range []int{0, 31, 300, 767} {
				x := make([]float32, 768)
				for i := range x {
					x[i] = float32(i%5) / 8
				}
				x[at] = v
				err := Encode(typ, dst, x)
				var e *RangeError
				if !errors.As(err, &e) || e.Index != at || math.Float32bits(e.Value) != math.Float32bits(v) || e.Type != typ {
					t.Errorf("%v: weight %d of %v: %v", typ, at, v, err)
				}
			}
		}
		x := make([]float32, 256)
		for i := range x {
			x[i] = most[typ] * float32(1-i%2*2) // of either sign
			if typ == Q4_1 || typ == Q5_1 || typ == Q4_K || typ == Q5_K {
				x[i] = most[typ] * float32(i%2)
			}
		}
		if err := Encode(typ, dst, x); err != nil {
			t.Errorf("%v cannot hold %v: %v", typ, most[typ], err)
		}
		if e := relativeError(typ, dst[:typ.RowBytes(256)], x); !(e < 0.1) {
			t.Errorf("%v: %v is stored with a relative error of %v", typ, most[typ], e)
		}
	}
	for want, err := range map[string]*RangeError{"weight 7 is NaN, want a finite number": {Q4_0, 7, nan}, "weight 0 is 99840, which F16 cannot hold": {F16, 0, 99840}} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEncodeHuge: whatever a block's size is, it is refused or stored near; sums that overflow make no zeros of it.
func TestEncodeHuge(t *testing.T) {
	for _, typ := range Types() {
		if !typ.CanEncode() || typ.BlockSize() == 1 {
			continue
		}
		for exp := 0; exp < 128; exp++ {
			x := make([]float32, 256)
			for i := range x {
				x[i] = float32(math.Ldexp(float64(i%17)/16-0.4, exp))
			}
			dst := make([]byte, typ.RowBytes(256))
			if err := Encode(typ, dst, x); err != nil {
				continue
			}
			if e := relativeError(typ, dst, x); !(e < 0.2) {
				t.Fatalf("%v: blocks of 2^%d are stored with a relative error of %v", typ, exp, e)
			}
		}
	}
}

// TestEncodeAgain: what was stored is stored again without loss, to within a code's step.
func TestEncodeAgain(t *testing.T) {
	for _, typ := range Types() {
		if !typ.CanEncode() {
			continue
		}
		x := make([]float32, 4096)
		rng := rand.New(rand.NewPCG(3, 3))
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		data := make([]byte, typ.RowBytes(len(x)))
		if err := Encode(typ, data, x); err != nil {
			t.Fatal(err)
		}
		Decode(typ, x, data)
		if err := Encode(typ, data, x); err != nil {
			t.Fatal(err)
		}
		if e, limit := relativeError(typ, data, x), budgets[typ]/2; e > limit {
			t.Errorf("%v: storing stored weights again loses %.5f, limit %.5f", typ, e, limit)
		}
	}
}

// TestMixQ4KM holds the rule to the types of every tensor of two published files (ref/mix.py). Their layers lie in the
// order 0, 1, 10, 11, …, and llama.cpp counted them so: the number in a name is not the one it used.
func TestMixQ4KM(t *testing.T) {
	list, err := os.ReadFile("testdata/mix.golden")
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{} // of "layers/blk.N"
	for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n")[1:] {
		var layers, cols, layer int
		var name, typ string
		if _, err := fmt.Sscan(line, &layers, &name, &cols, &typ); err != nil {
			t.Fatalf("mix.golden: %q: %v", line, err)
		}
		if strings.HasPrefix(name, "blk.") {
			block := fmt.Sprintf("%d/%s", layers, strings.Join(strings.Split(name, ".")[:2], "."))
			if _, ok := place[block]; !ok {
				place[block] = 0
				for b := range place {
					if strings.HasPrefix(b, fmt.Sprintf("%d/", layers)) && b != block {
						place[block]++
					}
				}
			}
			layer = place[block]
		}
		if got := Fit(MixQ4KM(name, layer, layers), cols); got.String() != typ {
			t.Errorf("%s of %d layers, %d columns: %v, want %s", name, layers, cols, got, typ)
		}
	}
}
