package quant

import (
	"testing"

	"retort/internal/compute/par"
	"retort/internal/compute/tensor"
)

const benchOut, benchIn = 1024, 1536

func benchWeight(b *testing.B, t Type) tensor.Weight {
	w, err := New(t, randomBlocks(t, benchOut*benchIn, 1), benchOut, benchIn)
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkPack is what loading costs one core, in stored bytes.
func BenchmarkPack(b *testing.B) {
	for _, t := range Types() {
		b.Run(t.String(), func(b *testing.B) {
			data := randomBlocks(t, benchOut*benchIn, 1)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := New(t, data, benchOut, benchIn); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecode reads rows from the packed form, in bytes of float32.
func BenchmarkDecode(b *testing.B) {
	for _, t := range Types() {
		b.Run(t.String(), func(b *testing.B) {
			w := benchWeight(b, t)
			dst := make([]float32, benchIn)
			b.SetBytes(4 * benchIn)
			for i := 0; b.Loop(); i++ {
				w.Decode(dst, i%benchOut)
			}
		})
	}
}

// BenchmarkMatMulT is the gradient of 128 rows through a frozen weight.
func BenchmarkMatMulT(b *testing.B) {
	for _, t := range Types() {
		b.Run(t.String(), func(b *testing.B) {
			r := tensor.NewRun(par.New(1))
			w := benchWeight(b, t)
			x, y := r.New(128, benchIn), randomTensor(r, 128, benchOut, 1)
			y.Grad = y.Data
			b.SetBytes(4 * benchOut * benchIn)
			for b.Loop() {
				w.MatMulT(r, x, y)
			}
			b.ReportMetric(2*128*benchOut*benchIn*float64(b.N)/b.Elapsed().Seconds()*1e-9, "Gflops")
		})
	}
}
