package op

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

// oneCache is a cache of one layer.
type oneCache struct{ kv *KV }

func (c oneCache) Layer(int) *KV { return c.kv }

// newKV returns a layer like shape with pages for n positions.
func newKV(t CacheType, n int, shape KV) *KV { return &newLayers(t, n, shape)[0] }

// newLayers returns layers with pages for n positions.
func newLayers(t CacheType, n int, layers ...KV) []KV {
	size := Layout(t, layers)
	var pages []*PageData
	for range (n + Page - 1) / Page {
		pg := size.New()
		pages = append(pages, &pg)
	}
	for i := range layers {
		layers[i].Pages = pages
	}
	return layers
}

var allCacheTypes = []CacheType{CacheF32, CacheBF16, CacheQ8}

func TestCacheTypeNames(t *testing.T) {
	for kind, name := range map[CacheType]string{CacheF32: "f32", CacheBF16: "bf16", CacheQ8: "q8_0"} {
		if got, err := ParseCacheType(name); got != kind || err != nil || kind.String() != name {
			t.Errorf("%s: read as %v (%v), written as %s", name, got, err, kind)
		}
	}
	if _, err := ParseCacheType("q4_0"); err == nil || err.Error() != `op: cache type "q4_0", want f32, bf16 or q8_0` {
		t.Errorf("q4_0: error %v", err)
	}
}

// TestPageBytes: what a value costs in each type, where widths are whole blocks.
func TestPageBytes(t *testing.T) {
	layers := []KV{{Heads: 3, Key: 64, Value: 96}, {Heads: 1, Key: 576, Value: 512}}
	const values = Page * (3*(64+96) + 576 + 512)
	for kind, bytes := range map[CacheType]float64{CacheF32: 4, CacheBF16: 2, CacheQ8: 1.0625} {
		size := Layout(kind, layers)
		pg := size.New()
		held := 4*len(pg.F32) + 2*len(pg.B16) + len(pg.Q8)
		if got := size.Bytes(); float64(got) != values*bytes || int(got) != held {
			t.Errorf("%v: a page of %d bytes, of which %d are made, want %v", kind, got, held, values*bytes)
		}
	}
}

// read returns keys and values of head h at positions 0 to n-1 as a reader sees them: [n, Key], [n, Value].
func read(c *KV, h, n int) (keys, values []float32) {
	keys, values = make([]float32, n*c.Key), make([]float32, n*c.Value)
	buf := make([]float32, c.decoded())
	one, column := identity(c.Key), make([]float32, c.Key*n)
	c.scores(column, n, one, c.Key, h, c.Key, n, buf)
	for i := range n {
		for j := range c.Key {
			keys[i*c.Key+j] = column[j*n+i]
		}
	}
	c.mix(values, c.Value, identity(n), n, h, n, n, buf)
	return keys, values
}

func identity(n int) []float32 {
	one := make([]float32, n*n)
	for i := range n {
		one[i*n+i] = 1
	}
	return one
}

// put stores all rows of k and v in the heads of c, in an order of their own.
func put(c *KV, k, v *tensor.Tensor) {
	for i := range k.Rows * c.Heads {
		at := (i*7 + 3) % (k.Rows * c.Heads)
		h, pos := at%c.Heads, at/c.Heads
		c.set(h, pos, k.Row(pos)[h*c.Key:(h+1)*c.Key], v.Row(pos)[h*c.Value:(h+1)*c.Value])
	}
}

// TestCacheRounds: what is read is what was stored: the same in float32, rounded in bf16, and with codes of 8 bits at most
// 1/253 of the largest of its 32 neighbours off. Layers of several shapes share the pages.
func TestCacheRounds(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		const n = Page + 19
		for _, kind := range allCacheTypes {
			layers := newLayers(kind, n, KV{Heads: 2, Key: 300, Value: 520}, KV{Heads: 3, Key: 24, Value: 20}, KV{Heads: 1, Key: 64, Value: 33})
			stored := func(c *KV, seed uint64) (k, v *tensor.Tensor) {
				rng := rand.New(rand.NewPCG(seed, 14))
				return x(rng, n, c.Heads*c.Key), x(rng, n, c.Heads*c.Value)
			}
			for i := range layers {
				k, v := stored(&layers[i], uint64(i))
				put(&layers[i], k, v)
			}
			for i := range layers {
				c := &layers[i]
				k, v := stored(c, uint64(i))
				for h := range c.Heads {
					keys, values := read(c, h, n)
					for pos := range n {
						rounds(t, kind, keys[pos*c.Key:(pos+1)*c.Key], k.Row(pos)[h*c.Key:])
						rounds(t, kind, values[pos*c.Value:(pos+1)*c.Value], v.Row(pos)[h*c.Value:])
					}
				}
			}
		}
	})
}

// rounds holds what was read of a key or value to what was stored.
func rounds(t *testing.T, kind CacheType, got, stored []float32) {
	t.Helper()
	want := slices.Clone(stored[:len(got)])
	switch kind {
	case CacheBF16:
		half := make([]uint16, len(want))
		kernel.ToBF16(half, want)
		kernel.FromBF16(want, half)
	case CacheQ8:
		for b := 0; b < len(got); b += scaled {
			most := 0.0
			for _, w := range want[b:min(b+scaled, len(want))] {
				most = max(most, math.Abs(float64(w)))
			}
			for i := b; i < min(b+scaled, len(want)); i++ {
				if d := math.Abs(float64(got[i] - want[i])); !(d <= most/253) {
					t.Fatalf("%v: value %d is read as %v, was %v: %.3g of the largest off", kind, i, got[i], want[i], d/most)
				}
			}
		}
		return
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%v: read %v, want %v", kind, got, want)
	}
}

// TestQuantize: zeros, numbers too small and too large for a scale of full precision, ties, and what is no number.
func TestQuantize(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	decode := func(x ...float32) []float32 {
		var codes [scaled]int8
		scale, out := quantize(&codes, x), make([]float32, len(x))
		s := [1]float32{}
		kernel.FromBF16(s[:], []uint16{scale})
		for i := range x {
			out[i] = float32(codes[i]) * s[0]
		}
		return out
	}
	for _, c := range []struct{ in, want []float32 }{
		{[]float32{0, 0}, []float32{0, 0}},
		{[]float32{127, 0.5, 1.5, -2.5, -127}, []float32{127, 0, 2, -2, -127}},
		{[]float32{-1e-41, 5e-42}, []float32{0, 0}},
		{[]float32{180 * 0x1p-133, -180 * 0x1p-133}, []float32{127 * 0x1p-133, -127 * 0x1p-133}}, // the least scale
	} {
		if got := decode(c.in...); !slices.Equal(got, c.want) {
			t.Errorf("%v is read as %v, want %v", c.in, got, c.want)
		}
	}
	for _, most := range []float32{math.MaxFloat32, 1e-30, 1e-35} {
		for i, got := range decode(most, -most, most/3) {
			if want := []float32{most, -most, most / 3}[i]; !(math.Abs(float64(got-want)) <= float64(most)/253) {
				t.Errorf("%v beside %v is read as %v", want, most, got)
			}
		}
	}
	for _, bad := range []float32{inf, -inf, nan} {
		for _, got := range decode(1, bad, -2) {
			if got == got {
				t.Errorf("%v makes %v: what is no number must not become one", bad, got)
			}
		}
	}
}

// TestPageDataIsCopiedAndCleared for each type.
func TestPageDataIsCopiedAndCleared(t *testing.T) {
	for _, kind := range allCacheTypes {
		size := Layout(kind, []KV{{Heads: 1, Key: 32, Value: 32}})
		full, own, zero := size.New(), size.New(), size.New()
		for i := range full.F32 {
			full.F32[i] = float32(i + 1)
		}
		for i := range full.B16 {
			full.B16[i] = uint16(i + 1)
		}
		for i := range full.Q8 {
			full.Q8[i] = int8(i | 1)
		}
		if own.CopyFrom(&full); !reflect.DeepEqual(own, full) {
			t.Errorf("%v: a copy differs", kind)
		}
		if own.Clear(); !reflect.DeepEqual(own, zero) {
			t.Errorf("%v: a cleared page is not zero", kind)
		}
	}
}
