package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/cpu"
	"retort/internal/numtest"
)

// randomPanels returns panels of f with random codes and factors and scales of ordinary size, at the end of a page.
func randomPanels(t testing.TB, f PanelFormat, panels, cols int, rng *rand.Rand) []byte {
	w := numtest.EndOfPage8(t, panels*f.Bytes(cols))
	fillPanels(f, w, cols, rng)
	return w
}

func fillPanels(f PanelFormat, w []byte, cols int, rng *rand.Rand) {
	var b PanelBlock
	l := &panelLayouts[f]
	size := f.Bytes(cols)
	for ; len(w) > 0; w = w[size:] {
		for i := range cols / 32 {
			for r := range Panel {
				switch {
				case i*32%l.span == 0 && l.wide:
					b.SetWide(r, float32(rng.NormFloat64()*0.01))
				case i*32%l.span == 0:
					b.D[r], b.M[r] = f16(float32(rng.NormFloat64()*0.01)), f16(float32(rng.NormFloat64()*0.01))
				}
				for i := range 8 {
					b.Q[r][i] = rng.Uint32() & (every * (1<<(l.low+l.high) - 1))
				}
				for h := range 2 {
					if !l.halves && h == 1 {
						b.S[r][1], b.N[r][1] = b.S[r][0], b.N[r][0]
						continue
					}
					b.S[r][h], b.N[r][h] = uint8(rng.Uint32()), uint8(rng.Uint32())
					switch f {
					case PanelQ2_K:
						b.S[r][h], b.N[r][h] = b.S[r][h]&15, b.N[r][h]&15
					case PanelQ4_K, PanelQ5_K:
						b.S[r][h], b.N[r][h] = b.S[r][h]&63, b.N[r][h]&63
					}
				}
			}
			f.Pack(w[:size], i, &b)
		}
	}
}

// randomInt8 returns quantized rows at the end of a page and their source.
func randomInt8(t testing.TB, rows, cols int, rng *rand.Rand) (*Int8, []float32) {
	src := make([]float32, rows*cols)
	for i := range src {
		src[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()))
	}
	x := &Int8{Rows: rows, Cols: cols, Data: numtest.EndOfPage8(t, Int8Size(rows, cols))}
	x.Quantize(src, 0, rows)
	return x, src
}

// int8Row returns row t of x as the products see it.
func int8Row(x *Int8, t int) []float64 {
	v := make([]float64, x.Cols)
	row := x.Data[t*Int8Stride(x.Cols):]
	for k := range v {
		line := row[k/32*int8Line:]
		d := math.Float32frombits(binary.LittleEndian.Uint32(line[32:]))
		v[k] = float64(d) * float64(int8(line[k%32]))
	}
	return v
}

// TestMatMulInt8 holds every implementation to a float64 product of the decoded numbers: lengths, tails, rows of
// y that lie apart, slices that end at an unreadable page, and nothing written beside them.
func TestMatMulInt8(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for f := PanelFormat(0); f < panelFormats; f++ {
			for _, s := range [][3]int{{1, 1, 256}, {1, 16, 512}, {2, 17, 256}, {4, 31, 256}, {8, 16, 768}, {16, 32, 512}, {31, 19, 256}} {
				checkMatMulInt8(t, f, s[0], s[1], s[2], rng)
			}
		}
		for _, f := range []PanelFormat{PanelQ4_0, PanelQ4_1, PanelQ5_0, PanelQ5_1, PanelQ8_0, PanelMX} {
			for _, cols := range []int{32, 64, 96, 416} {
				checkMatMulInt8(t, f, 7, 20, cols, rng)
			}
		}
	})
}

func checkMatMulInt8(t *testing.T, f PanelFormat, rows, n, cols int, rng *rand.Rand) {
	t.Helper()
	w := randomPanels(t, f, ceil(n, Panel), cols, rng)
	x, _ := randomInt8(t, rows+1, cols, rng)
	ldy := n + 3
	y := numtest.EndOfPage(t, (rows-1)*ldy+n)
	const untouched = 12345
	for i := range y {
		y[i] = untouched
	}
	MatMulInt8(f, y, ldy, x, 1, rows+1, w, n)
	size := f.Bytes(cols)
	l := &panelLayouts[f]
	line := make([]float32, cols)
	// Three roundings a block in a chain of additions, those of the scales included.
	tolerance := float64(3*cols/32+4) * 0x1p-24
	for tok := range rows {
		v := int8Row(x, tok+1)
		for j := range ldy {
			if tok*ldy+j >= len(y) {
				continue
			}
			got := y[tok*ldy+j]
			if j >= n {
				if got != untouched {
					t.Fatalf("%v [%d x %d x %d]: wrote %v beside row %d", f, rows, n, cols, got, tok)
				}
				continue
			}
			panel := w[j/Panel*size:][:size]
			f.DecodeRow(line, panel, j%Panel)
			var b PanelBlock
			sum, terms := 0.0, 0.0
			for i := range cols / 32 {
				f.Unpack(&b, panel, i)
				scale, add := l.scales(&b, j%Panel)
				for k := range 32 {
					a := v[i*32+k]
					sum += a * float64(line[i*32+k])
					// The code's part and the minimum's are added apart.
					terms += math.Abs(a) * (math.Abs(float64(scale[k/16]))*math.Abs(float64(int(b.Q[j%Panel][k/4]>>(k%4*8)&255)-l.centre)) + math.Abs(float64(add[k/16])))
				}
			}
			if !(math.Abs(float64(got)-sum) <= tolerance*terms) {
				t.Fatalf("%v [%d x %d x %d]: y[%d, %d] = %v, want %v ± %.2g", f, rows, n, cols, tok, j, got, sum, tolerance*terms)
			}
		}
	}
}

// TestMatMulInt8RowsAlone: a row's bits do not depend on the rows beside it, on its place, or on the columns computed.
func TestMatMulInt8RowsAlone(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		const rows, n, cols = 37, 33, 512
		for f := PanelFormat(0); f < panelFormats; f++ {
			w := randomPanels(t, f, ceil(n, Panel), cols, rng)
			x, _ := randomInt8(t, rows, cols, rng)
			all := make([]float32, rows*n)
			MatMulInt8(f, all, n, x, 0, rows, w, n)
			for lo, m := 0, 1; lo < rows; lo, m = lo+m, m+2 {
				m = min(m, rows-lo)
				part := make([]float32, m*n)
				MatMulInt8(f, part, n, x, lo, lo+m, w, n)
				for i, v := range part {
					if math.Float32bits(v) != math.Float32bits(all[lo*n+i]) {
						t.Fatalf("%v: y[%d, %d] is %v among %d rows, %v among %d", f, lo+i/n, i%n, v, m, all[lo*n+i], rows)
					}
				}
			}
			one := make([]float32, rows*n)
			MatMulInt8(f, one[16:], n, x, 0, rows, w[f.Bytes(cols):], n-16)
			for i, v := range one {
				if i%n >= 16 && math.Float32bits(v) != math.Float32bits(all[i]) {
					t.Fatalf("%v: y[%d, %d] is %v from its panel alone, %v from all", f, i/n, i%n, v, all[i])
				}
			}
		}
	})
}

// TestMatMulInt8SameBits: vectors of any width take the same steps, so that results move between machines.
func TestMatMulInt8SameBits(t *testing.T) {
	const rows, n, cols = 7, 40, 512
	want := map[PanelFormat][]float32{}
	numtest.EachImpl(t, func(t *testing.T) {
		vectors := false
		for _, impl := range cpu.Implementations() {
			vectors = vectors || impl.Group() == "int8" && *impl.Toggle
		}
		if !vectors {
			t.Skip("plain Go rounds once more")
		}
		rng := rand.New(rand.NewPCG(13, 14))
		for f := PanelFormat(0); f < panelFormats; f++ {
			w := randomPanels(t, f, ceil(n, Panel), cols, rng)
			x, _ := randomInt8(t, rows, cols, rng)
			y := make([]float32, rows*n)
			MatMulInt8(f, y, n, x, 0, rows, w, n)
			if want[f] == nil {
				want[f] = y
			}
			for i, v := range y {
				if math.Float32bits(v) != math.Float32bits(want[f][i]) {
					t.Fatalf("%v: y[%d, %d] is %v, %v with other vectors", f, i/n, i%n, v, want[f][i])
				}
			}
		}
	})
}

// TestQuantizeInt8 holds every implementation to the generic form, byte by byte, with all kinds of numbers.
func TestQuantizeInt8(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for cols := range 140 {
			const rows = 3
			src := numtest.EndOfPage(t, rows*cols)
			for i := range src {
				src[i] = float32(rng.NormFloat64() * math.Exp(20*rng.NormFloat64()))
				switch rng.IntN(40) {
				case 0:
					src[i] = 0
				case 1:
					src[i] = float32(rng.IntN(255)-127) / 2 // ties
				}
			}
			if cols >= 64 {
				clear(src[:64])
				src[3] = 1e-38
				src[40] = 127
				for i := range 20 {
					src[41+i] = float32(i) - 9.5
				}
			}
			x := Int8{Rows: rows, Cols: cols, Data: numtest.EndOfPage8(t, Int8Size(rows, cols))}
			x.Quantize(src, 0, rows)
			stride := Int8Stride(cols)
			for r := range rows {
				padded := make([]float32, ceil(cols, 32)*32)
				copy(padded, src[r*cols:(r+1)*cols])
				want := make([]byte, stride)
				quantizeInt8Generic(want, padded)
				for i, b := range x.Data[r*stride : (r+1)*stride] {
					if b != want[i] {
						t.Fatalf("%d columns: row %d, block %d, byte %d is %#x, want %#x", cols, r, i/64, i%64, b, want[i])
					}
				}
			}
		}
	})
}

// TestQuantizeInt8NotFinite: a NaN or an infinity spoils its own block's products and no others, and nothing panics.
func TestQuantizeInt8NotFinite(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			src := make([]float32, 2*64)
			for i := range src {
				src[i] = float32(rng.NormFloat64())
			}
			src[37] = bad
			x := Int8{Rows: 2, Cols: 64, Data: make([]byte, Int8Size(2, 64))}
			x.Quantize(src, 0, 2)
			for k := range 32 {
				if q := x.Data[64+k]; q != 0 {
					t.Fatalf("%v: code %d of its block is %d, want 0", bad, k, int8(q))
				}
			}
			y := make([]float32, 2)
			MatMulInt8(PanelQ8_0, y, 1, &x, 0, 2, randomPanels(t, PanelQ8_0, 1, 64, rng), 1)
			if y[0] == y[0] || y[1] != y[1] {
				t.Errorf("%v: products are %v and %v, want NaN and a number", bad, y[0], y[1])
			}
		}
	})
}

func TestPanelPack(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for f := PanelFormat(0); f < panelFormats; f++ {
		const cols = 512
		w := randomPanels(t, f, 1, cols, rng)
		again := make([]byte, len(w))
		var b PanelBlock
		for i := range cols / 32 {
			f.Unpack(&b, w, i)
			f.Pack(again, i, &b)
		}
		for i := range w {
			if w[i] != again[i] {
				t.Fatalf("%v: byte %d is %#x packed again, was %#x", f, i, again[i], w[i])
			}
		}
	}
}

// TestDecodeTile holds every implementation to DecodeRow, bit by bit.
func TestDecodeTile(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(11, 12))
		for f := PanelFormat(0); f < panelFormats; f++ {
			const cols = 768
			w := randomPanels(t, f, 1, cols, rng)
			want := make([]float32, cols)
			for _, c := range [][3]int{{16, 0, cols}, {3, 256, cols}, {1, 0, 256}, {16, 512, 512}, {0, 0, cols}} {
				rows, lo, hi := c[0], c[1], c[2]
				ld := hi - lo + 5
				dst := make([]float32, Panel*ld)
				f.DecodeTile(dst, ld, w, rows, lo, hi, numtest.EndOfPage(t, Panel*(hi-lo)))
				for r := range rows {
					f.DecodeRow(want, w, r)
					for k := lo; k < hi; k++ {
						if got := dst[r*ld+k-lo]; math.Float32bits(got) != math.Float32bits(want[k]) {
							t.Fatalf("%v: row %d, column %d is %v, want %v", f, r, k, got, want[k])
						}
					}
				}
			}
		}
	})
}

// int8Shapes are [out, in] of 0.5B and 1.5B models.
var int8Shapes = [][2]int{{896, 896}, {4864, 896}, {896, 4864}, {8960, 1536}, {1536, 8960}}

// BenchmarkInt8Gemm reports Tops (two operations a product) of one core for 512 tokens.
func BenchmarkInt8Gemm(b *testing.B) {
	const tokens = 512
	for f := PanelFormat(0); f < panelFormats; f++ {
		for _, s := range int8Shapes {
			out, in := s[0], s[1]
			if in%f.Span() != 0 {
				in -= in % f.Span()
			}
			b.Run(fmt.Sprintf("%v/%dx%d", f, out, in), func(b *testing.B) {
				rng := rand.New(rand.NewPCG(1, 1))
				size := f.Bytes(in)
				w := make([]byte, out/Panel*size)
				fillPanels(f, w[:size], in, rng)
				for p := size; p < len(w); p += size {
					copy(w[p:], w[:size])
				}
				x, _ := randomInt8(b, tokens, in, rng)
				y := make([]float32, tokens*out)
				step := max(1, 512<<10/size) * Panel
				b.SetBytes(int64(len(w)))
				b.ResetTimer()
				for range b.N {
					for lo := 0; lo < out; lo += step {
						MatMulInt8(f, y[lo:], out, x, 0, tokens, w[lo/Panel*size:], min(step, out-lo))
					}
				}
				b.ReportMetric(2*tokens*float64(out)*float64(in)*float64(b.N)/b.Elapsed().Seconds()*1e-12, "Tops")
			})
		}
	}
}

// BenchmarkInt8Gemv is one token by a weight that stays in the second-level cache.
func BenchmarkInt8Gemv(b *testing.B) {
	for f := PanelFormat(0); f < panelFormats; f++ {
		for _, tokens := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%v/%d", f, tokens), func(b *testing.B) {
				const in = 1536
				rng := rand.New(rand.NewPCG(1, 1))
				size := f.Bytes(in)
				panels := 512 << 10 / size
				w := make([]byte, panels*size)
				fillPanels(f, w, in, rng)
				x, _ := randomInt8(b, tokens, in, rng)
				y := make([]float32, tokens*panels*Panel)
				b.SetBytes(int64(len(w)))
				for b.Loop() {
					MatMulInt8(f, y, panels*Panel, x, 0, tokens, w, panels*Panel)
				}
			})
		}
	}
}

func BenchmarkQuantizeInt8(b *testing.B) {
	x, src := randomInt8(b, 64, 1536, rand.New(rand.NewPCG(1, 1)))
	b.SetBytes(int64(4 * len(src)))
	for b.Loop() {
		x.Quantize(src, 0, 64)
	}
}
