package model

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/numtest"
)

// superblocks are the formats that llama.cpp makes of an importance matrix, or of models that were trained for them, with
// the place of a superblock's float16 scale.
var superblocks = map[quant.Type]int{quant.IQ4_XS: 0, quant.IQ3_S: 0, quant.IQ3_XXS: 0, quant.IQ2_S: 0, quant.IQ2_XS: 0, quant.IQ2_XXS: 0,
	quant.IQ1_S: 0, quant.TQ1_0: 52, quant.TQ2_0: 64}

// randomStored returns n weights in random blocks of t, of the size of a matrix with n columns of spread 1.
func randomStored(t quant.Type, n, cols int, rng *rand.Rand) []byte {
	data := make([]byte, t.RowBytes(n))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	setScales := func(h uint16) {
		for b := superblocks[t]; b < len(data); b += t.BlockBytes() {
			binary.LittleEndian.PutUint16(data[b:], h)
		}
	}
	setScales(0x3c00) // 1
	values := make([]float32, n)
	quant.Decode(t, values, data)
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	var h [2]byte
	if err := quant.Encode(quant.F16, h[:], []float32{float32(1 / math.Sqrt(sum/float64(n)*float64(cols)))}); err != nil {
		panic(err)
	}
	setScales(binary.LittleEndian.Uint16(h[:]))
	return data
}

// writeStored writes the model m to path, its matrices of random blocks of typ or, if decoded, of the same weights in F32.
func writeStored(t *testing.T, m *Model, path string, typ quant.Type, decoded bool) {
	t.Helper()
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for key, v := range m.Config.Metadata("x").All() {
		w.Set(key, v)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, p := range m.Params() {
		stored := storedOf(p)
		if len(p.Dims) > 1 {
			n := p.Dims[0] * p.Dims[1]
			stored.Type, stored.Data = typ, randomStored(typ, n, p.Dims[1], rng)
			if decoded {
				stored.Type, stored.Data = quant.F32, bytesOf(stored.Floats())
			}
		}
		dims := slices.Clone(p.Dims)
		slices.Reverse(dims)
		w.Add(p.Name, gguf.Type(stored.Type), dims, func(dst io.Writer) error {
			_, err := dst.Write(stored.Data)
			return err
		})
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// offBy returns the largest difference of got and want as a share of the root mean square of want.
func offBy(got, want []float32) float64 {
	square, worst := 0.0, 0.0
	for i, v := range want {
		square += float64(v) * float64(v)
		worst = max(worst, math.Abs(float64(got[i])-float64(v)))
	}
	return worst / math.Sqrt(square/float64(len(want)))
}

// TestStoredInSuperblocks: a whole model in each of those formats answers as the same model in F32 does, but for the
// rounding of activations to int8, in a prompt and token by token; and so it does where it learns a LoRA.
func TestStoredInSuperblocks(t *testing.T) {
	c := tinyLlama()
	c.Width, c.Heads, c.KVHeads, c.HeadDim, c.FFN, c.Rope.Dim = 256, 4, 2, 64, 512, 64
	m := lively(t, c, 2)
	tokens := []int32{3, 30, 7, 11, 3, 25, 9, 1}
	rows := []int{0, 1, 2, 3, 4, 5, 6, 7}
	const tolerance = 0.1 // of the spread of the logits: some twenty products of eight bits one after the other
	for typ := range superblocks {
		t.Run(typ.String(), func(t *testing.T) {
			dir := t.TempDir()
			small, full := filepath.Join(dir, "small.gguf"), filepath.Join(dir, "full.gguf")
			writeStored(t, m, small, typ, false)
			writeStored(t, m, full, typ, true)
			numtest.EachImpl(t, func(t *testing.T) {
				var logits [2][]float32
				for i, path := range []string{full, small} {
					m, err := Load(path, LoadOptions{})
					if err != nil {
						t.Fatal(err)
					}
					defer m.Close()
					run := newRun(t)
					logits[i] = slices.Clone(m.Logits(&op.Pass{Run: run, Batch: batch(tokens, 0, nil)}, rows).Data)
					cache := newCache(m, op.CacheF32, len(tokens))
					for at, token := range tokens {
						step := m.Logits(&op.Pass{Run: run, Batch: batch([]int32{token}, at, cache)}, []int{0}).Data
						if s := offBy(step, logits[i][at*c.Vocab:(at+1)*c.Vocab]); !(s < tolerance) {
							t.Errorf("%s: token %d alone differs by %.3f", path, at, s)
						}
					}
				}
				if s := offBy(logits[1], logits[0]); !(s < tolerance) {
					t.Errorf("logits differ by %.3f of their spread", s)
				}
			})
			lora, err := Load(small, LoadOptions{LoRA: &LoRAConfig{Rank: 2, Alpha: 2}, Precision: tensor.BFloat16})
			if err != nil {
				t.Fatal(err)
			}
			defer lora.Close()
			p := &op.Pass{Run: newRun(t), Batch: batch(tokens, 0, nil), Tape: &op.Tape{}}
			if loss := lora.Loss(p, []op.Label{{Row: 3, Token: 1, Weight: 1}}, 1); !(loss > 0 && loss < 20) {
				t.Errorf("loss %v", loss)
			}
		})
	}
}

// TestWritersRefuse: what a file cannot hold is told by tensor and place, by every writer of models, and no file is left.
func TestWritersRefuse(t *testing.T) {
	nan := float32(math.NaN())
	for shape, c := range everyShape() {
		for _, bad := range []struct {
			v   float32
			typ quant.Type
		}{{nan, quant.F32}, {nan, quant.BF16}, {float32(math.Inf(-1)), quant.F16}, {99840, quant.F16}, {-1e30, quant.Q8_0}} {
			m := lively(t, c, 9)
			var matrix Param
			for _, p := range m.Params() {
				if strings.HasSuffix(p.Name, ".ffn_down_exps.weight") || strings.HasSuffix(p.Name, ".ffn_down.weight") {
					matrix = p // the last such
				}
			}
			var last []float32
			n := 0
			matrix.Slices(func(v, _ []float32) { last = v; n += len(v) })
			last[len(last)-2] = bad.v
			dir := t.TempDir()
			check := func(what, name string, index int, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "weight "+strconv.Itoa(index)+" is ") {
					t.Errorf("%s, %s: %v as %v: %v, want weight %d of %s", shape, what, bad.v, bad.typ, err, index, name)
				}
				left, _ := os.ReadDir(dir)
				for _, e := range left {
					if e.Name() == "x.gguf" || e.Name() == ConfigName {
						t.Errorf("%s, %s: left %s", shape, what, e.Name())
					}
				}
			}
			check("GGUF", matrix.Name, n-2, m.WriteGGUF(t.Context(), filepath.Join(dir, "x.gguf"), c.Metadata("x"), bad.typ))
			if bad.typ != quant.Q8_0 {
				check("folder", "down_proj", len(last)-2, m.WriteSafetensors(t.Context(), dir, bad.typ))
			}
		}
	}
}

// TestLoRARefuses: frozen weights that bf16 cannot hold are a fault of the load, and merging what is no number is one of the
// matrix, before anything is written.
func TestLoRARefuses(t *testing.T) {
	c := tinyLlama()
	const name = "blk.1.ffn_down.weight"
	src := inMemory(t, c)
	far := src[name].Floats()
	far[len(far)-3] = math.MaxFloat32
	bad := src[name]
	bad.Data = bytesOf(far)
	src[name] = bad
	opts := LoadOptions{LoRA: &LoRAConfig{Rank: 2, Alpha: 2}, Precision: tensor.BFloat16}
	want := name + ": weight " + strconv.Itoa(len(far)-3) + " is 3.4028235e+38, which BF16 cannot hold"
	if _, err := Bind(c, src, opts); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	src = inMemory(t, c)
	for _, typ := range []quant.Type{quant.F32, quant.F16, quant.BF16} {
		m, err := Bind(c, src, LoadOptions{LoRA: opts.LoRA})
		if err != nil {
			t.Fatal(err)
		}
		w := m.adapted[name][0]
		w.b.data[3*w.b.cols] = float32(math.NaN()) // of row 3
		w.b.changed()
		place := name + `": weight ` + strconv.Itoa(3*c.FFN) + " is NaN"
		path := filepath.Join(t.TempDir(), "x.gguf")
		if err := m.WriteGGUF(t.Context(), path, c.Metadata("x"), typ); err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("%v: %v, want %s", typ, err, place)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%v: a file is there", typ)
		}
		if err := m.Merge(); err == nil || !strings.Contains(err.Error(), "merge "+name+": weight "+strconv.Itoa(3*c.FFN)+" is NaN") {
			t.Errorf("merge: %v", err)
		}
		m.Close()
	}
}

// TestEncodeRowsPlace: the place of a weight that cannot be stored counts from the tensor's start, not from the piece's.
func TestEncodeRowsPlace(t *testing.T) {
	const n, rows, bad = 512, 400, 300*512 + 9
	row := func(dst []float32, i int) {
		clear(dst)
		if i == bad/n {
			dst[bad%n] = float32(math.Inf(1))
		}
	}
	var e *quant.RangeError
	if err := encodeRowsOf(io.Discard, quant.Q8_0, rows, n, row); !errors.As(err, &e) || e.Index != bad {
		t.Errorf("by rows: %v, want weight %d", err, bad)
	}
	values := make([]float32, rows*n)
	values[bad] = float32(math.Inf(1))
	if err := encodeRows(io.Discard, quant.F16, values, n); !errors.As(err, &e) || e.Index != bad {
		t.Errorf("at once: %v, want weight %d", err, bad)
	}
	raw := bytesOf(values)
	if _, err := narrowed(quant.F32, raw); !errors.As(err, &e) || e.Index != bad {
		t.Errorf("narrowed: %v, want weight %d", err, bad)
	}
}
