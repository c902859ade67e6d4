package kernel

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"retort/internal/numtest"
)

// TestCallersBugs: sizes that would read or write beside what they are given panic with the kernel's name, also where a
// slice is long enough by chance.
func TestCallersBugs(t *testing.T) {
	f, h := make([]float32, 4096), make([]uint16, 4096)
	x := &Int8{Rows: 2, Cols: 32, Data: make([]byte, Int8Size(2, 32))}
	w := make([]byte, PanelQ8_0.Bytes(32))
	k := make([]byte, PanelQ4_K.Bytes(512))
	for what, bug := range map[string]func(){
		"MatMulInt8: columns":  func() { MatMulInt8(PanelQ8_0, f, 3, x, 0, 2, w, 4) },
		"MatMulInt8: rows":     func() { MatMulInt8(PanelQ8_0, f, 16, x, 0, 3, w, 4) },
		"MatMulInt8: order":    func() { MatMulInt8(PanelQ8_0, f, 16, x, 2, 1, w, 4) },
		"DecodeTile: from":     func() { PanelQ4_K.DecodeTile(f, 512, k, 2, 128, 512, make([]float32, 8192)) },
		"DecodeTile: to":       func() { PanelQ4_K.DecodeTile(f, 512, k, 2, 0, 384, make([]float32, 8192)) },
		"DecodeTile: rows":     func() { PanelQ4_K.DecodeTile(make([]float32, 17*256), 256, k, 17, 0, 256, f) },
		"GemmF32: overlapping": func() { GemmF32(f, 3, f, 4, f, 2, 4, 4, false) },
		"GemmBF16: odd stride": func() { GemmBF16(f, 4, h, 5, h, 2, 4, 4, false) },
		"PackRowsF32: src":     func() { PackRowsF32(f, f[:7], 2, 4, 4) },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.Contains(text, "kernel: ") || !strings.Contains(text, strings.Split(what, ":")[0]) {
					t.Errorf("%s: panic %q", what, text)
				}
			}()
			bug()
			t.Errorf("%s: no panic", what)
		}()
	}
}

// TestQuantizeInt8Tiny: blocks below the least number that has a scale are zero, those from it on are not.
func TestQuantizeInt8Tiny(t *testing.T) {
	numtest.EachImpl(t, quantizeTiny)
}

func quantizeTiny(t *testing.T) {
	for _, c := range []struct {
		most float32
		code int8
	}{{int8Tiny, 127}, {math.Nextafter32(int8Tiny, 0), 0}} {
		x := Int8{Rows: 1, Cols: 32, Data: make([]byte, Int8Size(1, 32))}
		src := make([]float32, 32)
		src[5], src[9] = c.most, c.most/2
		x.Quantize(src, 0, 1)
		if got := int8(x.Data[5]); got != c.code {
			t.Errorf("%g is stored as %d, want %d", c.most, got, c.code)
		}
		if d := math.Float32frombits(binary.LittleEndian.Uint32(x.Data[32:])); (d == 0) != (c.code == 0) {
			t.Errorf("%g has scale %g", c.most, d)
		}
	}
}
