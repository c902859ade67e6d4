package quant

import (
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

// TestEncodeSpecial: zeros stay zeros, blocks of one sign and blocks with one outlier stay near, numbers that are not
// finite do not panic.
func TestEncodeSpecial(t *testing.T) {
	inf := float32(math.Inf(1))
	cases := map[string]func(i int) float32{
		"zeros":    func(int) float32 { return 0 },
		"positive": func(i int) float32 { return 1 + float32(i%17)/16 },
		"negative": func(i int) float32 { return -2 - float32(i%5) },
		"constant": func(int) float32 { return 0.3 },
		"tiny":     func(i int) float32 { return float32(i%9) * 1e-7 },
		"outlier":  func(i int) float32 { return []float32{0.001, 1000}[max(0, i%256-254)] },
		"nan":      func(i int) float32 { return []float32{1, float32(math.NaN())}[i%7/6] },
		"inf":      func(i int) float32 { return []float32{1, inf, -inf}[i%3] },
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
