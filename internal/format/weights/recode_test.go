package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// Parts become one file in the types of the mixture, which tells what it is: a vector stays float32.
func TestRecoding(t *testing.T) {
	floats := func(n int) []byte {
		b := make([]byte, 4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(float32(i)))
		}
		return b
	}
	src := memory{
		{Name: "blk.0.attn_q.weight", Type: quant.F32, Dims: []int{3, 32}, Data: floats(96)},
		{Name: "output_norm.weight", Type: quant.F32, Dims: []int{5}, Data: floats(5)},
	}
	md := &gguf.Metadata{}
	md.Set("general.architecture", gguf.ValueOf("llama"))
	md.Set("split.count", gguf.ValueOf(uint16(2)))
	mix, _ := FindMixture("q8_0")
	pool := par.New(2)
	defer pool.Close()
	last, path := int64(0), filepath.Join(t.TempDir(), "a.gguf")
	r := Recoding{Source: src, Metadata: md, Layout: Layout{Layers: 1}, Mixture: mix, Pool: pool, Told: func(done, _ int64, _ string) { last = done }}
	if err := r.WriteGGUF(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := f.Value("split.count"); ok {
		t.Error("the file says that it is one of several")
	}
	if n, err := f.Int("general.file_type"); n != 7 || err != nil {
		t.Errorf("general.file_type is %d, %v, want 7", n, err)
	}
	for i, want := range []gguf.Type{gguf.Type(quant.Q8_0), gguf.Type(quant.F32)} {
		if got := f.Tensors[i].Type; got != want {
			t.Errorf("%s is stored as %v, want %v", f.Tensors[i].Name, got, want)
		}
	}
	if last != 4*(96+5) {
		t.Errorf("told of %d bytes, want all 404", last)
	}
}

// encoded returns n weights of an eighth, a quarter, … stored as typ, number at of which is v.
func encoded(t *testing.T, typ quant.Type, n, at int, v float32) []byte {
	t.Helper()
	data, values := make([]byte, typ.RowBytes(n)), make([]float32, n)
	for i := range values {
		values[i] = float32(1+i%7) / 8
	}
	if typ.BlockSize() == 1 {
		values[at] = v
	}
	err := quant.Encode(typ, data, values)
	switch {
	case typ == quant.F32: // written whatever it is
		for i, x := range values {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(x))
		}
	case typ.BlockSize() == 1 && err != nil: // Inf or NaN: all bits of the exponent, and of NaN some of the rest
		exponent := map[quant.Type]uint16{quant.F16: 0x7c00, quant.BF16: 0x7f80}[typ]
		if v != v {
			exponent |= 0x40
		}
		if err := quant.Encode(typ, data[:2*at], values[:at]); err != nil {
			t.Fatal(err)
		}
		if err := quant.Encode(typ, data[2*at+2:], values[at+1:]); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint16(data[2*at:], exponent)
	case err != nil:
		t.Fatal(err)
	case typ == quant.Q8_0: // the scale of its block
		block := data[at/32*34:]
		binary.LittleEndian.PutUint16(block, map[bool]uint16{false: 0x7c00, true: 0x7e00}[v != v])
	}
	return data
}

// TestRecodingRefuses: a number that its new type cannot hold, and one that is none in whatever it is stored, is told by
// tensor, place and value, and no file is written, also where the tensor is copied.
func TestRecodingRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	pool := par.New(2)
	defer pool.Close()
	const rows, row, at = 40, 256, 37*256 + 11
	for _, name := range append(MixtureNames(), "") {
		mix, ok := FindMixture(name)
		if !ok && name != "" {
			t.Fatalf("no mixture %s", name)
		}
		for _, from := range []quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0} {
			for _, v := range []float32{nan, inf, 99840, 3e38} {
				finite := v == v && v != inf
				if finite && (from == quant.F16 || from == quant.Q8_0) {
					continue // it holds neither
				}
				first := at
				if from == quant.Q8_0 {
					first = at / 32 * 32 // the first of its block
				}
				src := memory{
					{Name: "blk.0.ffn_up.weight", Type: quant.BF16, Dims: []int{2, row}, Data: encoded(t, quant.BF16, 2*row, 0, 1)},
					{Name: "blk.0.attn_q.weight", Type: from, Dims: []int{rows, row}, Data: encoded(t, from, rows*row, at, v)},
				}
				md := &gguf.Metadata{}
				md.Set("general.architecture", gguf.ValueOf("llama"))
				path := filepath.Join(t.TempDir(), "a.gguf")
				r := Recoding{Source: src, Metadata: md, Layout: Layout{Layers: 1}, Mixture: mix, Pool: pool, Told: func(int64, int64, string) {}}
				err := r.WriteGGUF(t.Context(), path)
				fits := finite && (name == "" || name == "f32" || name == "bf16" || v < 1e30 && name != "f16")
				if fits {
					if err != nil {
						t.Errorf("%v of %v to %q: %v", v, from, name, err)
					}
					continue
				}
				var e *quant.RangeError
				if !errors.As(err, &e) || !strings.Contains(err.Error(), "blk.0.attn_q.weight") || e.Index != first {
					t.Errorf("%v of %v, number %d, to %q: %v", v, from, first, name, err)
					continue
				}
				if from != quant.Q8_0 && !strings.Contains(err.Error(), fmt.Sprintf("weight %d is %v", at, decodedAt(src[1], at))) {
					t.Errorf("%v of %v to %q: %v", v, from, name, err)
				}
				if _, err := os.Stat(path); err == nil {
					t.Errorf("%v of %v to %q: a file is there", v, from, name)
				}
			}
		}
	}
}

func decodedAt(t Tensor, i int) float32 { return t.Floats()[i] }

// TestRecodingFirst: of several numbers that do not fit the first is told, whichever worker meets its own first.
func TestRecodingFirst(t *testing.T) {
	pool := par.New(2)
	defer pool.Close()
	mix, _ := FindMixture("q8_0")
	const rows, row = 300, 32
	for first := range 20 {
		data := encoded(t, quant.F32, rows*row, 0, 1)
		for i := first * row; i < rows*row; i += row {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32(math.NaN())))
		}
		src := memory{{Name: "blk.0.attn_q.weight", Type: quant.F32, Dims: []int{rows, row}, Data: data}}
		md := &gguf.Metadata{}
		md.Set("general.architecture", gguf.ValueOf("llama"))
		err := Recoding{Source: src, Metadata: md, Mixture: mix, Pool: pool, Told: func(int64, int64, string) {}}.WriteGGUF(t.Context(), filepath.Join(t.TempDir(), "a.gguf"))
		var e *quant.RangeError
		if !errors.As(err, &e) || e.Index != first*row {
			t.Fatalf("the first is %d: %v", first*row, err)
		}
	}
}

// TestRecodingUnknown: a tensor of a type that cannot be decoded is copied byte by byte.
func TestRecodingUnknown(t *testing.T) {
	data := make([]byte, 36*5)
	for i := range data {
		data[i] = byte(i)
	}
	src := memory{{Name: "blk.0.attn_q.weight", Type: quant.Type(gguf.NVFP4), Dims: []int{5, 64}, Data: data}}
	md := &gguf.Metadata{}
	md.Set("general.architecture", gguf.ValueOf("llama"))
	path := filepath.Join(t.TempDir(), "a.gguf")
	r := Recoding{Source: src, Metadata: md, Told: func(int64, int64, string) {}}
	if err := r.WriteGGUF(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, _ := FromGGUF(f).Tensor("blk.0.attn_q.weight")
	if !bytes.Equal(got.Data, data) {
		t.Errorf("the copy differs: %x", got.Data)
	}
	mix, _ := FindMixture("q8_0")
	r.Mixture = mix
	if err := r.WriteGGUF(t.Context(), path); err == nil || !strings.Contains(err.Error(), "blk.0.attn_q.weight is stored as NVFP4") {
		t.Errorf("to q8_0: %v", err)
	}
}
