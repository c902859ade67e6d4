package model

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/format/safetensors"
)

// transformersTol: both sides compute in float32, logits are of the order of 1 to 4 after some forty sums.
const transformersTol = 2e-5

// TestAsTransformers opens folders that Hugging Face's transformers saved and holds the logits to theirs; see
// ref/hf_models.py. What is written back is the same model.
func TestAsTransformers(t *testing.T) {
	for _, name := range []string{"llama", "llama_linear", "qwen2", "deepseek_v3"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", "hf_"+name)
			f, err := safetensors.Open(filepath.Join(dir, "logits.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := make([]float32, f.Tensor("logits").Elements())
			quant.Decode(quant.F32, want, f.Tensor("logits").Data())

			m := mustLoad(t, dir, LoadOptions{})
			got := logitsOf(t, m)
			if len(got) != len(want) {
				t.Fatalf("%d logits, want %d", len(got), len(want))
			}
			for i, w := range want {
				if d := math.Abs(float64(got[i] - w)); !(d <= transformersTol) {
					t.Fatalf("row %d, token %d: logit %v, transformers say %v", i/m.Config.Vocab, i%m.Config.Vocab, got[i], w)
				}
			}
			again := filepath.Join(t.TempDir(), "again")
			if err := m.WriteSafetensors(context.Background(), again, quant.F32); err != nil {
				t.Fatal(err)
			}
			equal(t, "written back", logitsOf(t, mustLoad(t, again, LoadOptions{})), got)
			sameTensors(t, again, dir)
		})
	}
}

// sameTensors holds the tensors of one folder to those of another: names, types, shapes and bytes.
func sameTensors(t *testing.T, got, want string) {
	t.Helper()
	a, err := safetensors.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := safetensors.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if len(a.Tensors) != len(b.Tensors) {
		t.Errorf("%d tensors, want %d", len(a.Tensors), len(b.Tensors))
	}
	for i := range b.Tensors {
		y := &b.Tensors[i]
		x := a.Tensor(y.Name)
		if x == nil || x.DType != y.DType || !slices.Equal(x.Shape, y.Shape) || !bytes.Equal(x.Data(), y.Data()) {
			t.Errorf("%s is not as it was", y.Name)
		}
	}
}
