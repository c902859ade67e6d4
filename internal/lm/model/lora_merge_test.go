package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/gguf"
	"retort/internal/format/safetensors"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// A file of a LoRA model answers as the model does, and holds as stored what no LoRA changes.
func TestLoRAWritesMerged(t *testing.T) {
	for _, arch := range loraArchs {
		g := openLoRAGolden(t, arch)
		m, run, b := g.model(t, tensor.Float32), newRun(t), data.Pack(g.examples())
		want := allLogits(m, run, b)
		for _, c := range []struct {
			typ quant.Type
			tol float64 // of the logits, whose root mean square is the measure: rounding of weights, 2⁻¹² and 2⁻⁹, passes some twenty products
		}{{quant.F32, 1e-5}, {quant.F16, 1e-2}, {quant.BF16, 8e-2}} {
			path := filepath.Join(t.TempDir(), "merged.gguf")
			if err := m.WriteGGUF(context.Background(), path, g.config().Metadata("tiny"), c.typ); err != nil {
				t.Fatal(err)
			}
			merged, err := model.Load(path, model.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := share(allLogits(merged, run, b), want); !(d <= c.tol) {
				t.Errorf("%s as %v: logits %.2g of the root mean square off, want %g", arch, c.typ, d, c.tol)
			}
			merged.Close()
			if c.typ == quant.F32 {
				checkCopied(t, g, path)
			}
		}
		before := bits(m)
		if err := m.Merge(); err != nil {
			t.Fatal(err)
		}
		if d := share(allLogits(m, run, b), want); !(d <= 1e-5) {
			t.Errorf("%s: merged in place, logits are %.2g of the root mean square off", arch, d)
		}
		if fmt.Sprint(before) == fmt.Sprint(bits(m)) {
			t.Errorf("%s: B is as before the merge", arch)
		}
	}
}

// checkCopied compares what no LoRA changes with the base, byte for byte.
func checkCopied(t *testing.T, g *loraGolden, path string) {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors) != len(g.Names()) {
		t.Errorf("%d tensors in the merged file, %d in the base", len(f.Tensors), len(g.Names()))
	}
	kept := 0
	for _, name := range g.Names() {
		src, _ := g.Tensor(name)
		if string(src.Data) == string(f.Tensor(name).Data()) {
			kept++
			continue
		}
		if len(src.Dims) == 1 || !strings.HasPrefix(name, "blk.") || strings.HasSuffix(name, "ffn_gate_inp.weight") {
			t.Errorf("%s: changed by the merge", name)
		}
	}
	if kept == 0 || kept == len(g.Names()) {
		t.Errorf("%d of %d tensors are as in the base", kept, len(g.Names()))
	}
}

// The adapter's values are the model's; rows of q and k of llama lie as Hugging Face's.
func TestLoRAWritesAdapter(t *testing.T) {
	for _, arch := range loraArchs {
		g := openLoRAGolden(t, arch)
		dir := filepath.Join(t.TempDir(), "adapter")
		m := g.model(t, tensor.Float32)
		if err := m.WriteAdapter(context.Background(), dir); err != nil {
			t.Fatal(err)
		}
		var c struct {
			PeftType string   `json:"peft_type"`
			R        int      `json:"r"`
			Alpha    float64  `json:"lora_alpha"`
			Targets  []string `json:"target_modules"`
		}
		b, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"llama": "[down_proj gate_proj k_proj o_proj q_proj up_proj v_proj]",
			"deepseek2": "[down_proj gate_proj kv_a_proj_with_mqa kv_b_proj o_proj q_a_proj q_b_proj up_proj]"}[arch]
		if c.PeftType != "LORA" || c.R != g.Rank || c.Alpha != g.Alpha || fmt.Sprint(c.Targets) != want {
			t.Errorf("%s: adapter_config.json says %+v", arch, c)
		}
		f, err := safetensors.Open(filepath.Join(dir, "adapter_model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if len(f.Tensors) != len(m.Params()) {
			t.Errorf("%s: %d tensors, want %d", arch, len(f.Tensors), len(m.Params()))
		}
		for i := range f.Tensors {
			s := &f.Tensors[i]
			got, want := make([]float32, s.Elements()), g.floats(t, "p/"+s.Name)
			quant.Decode(quant.F32, got, s.Data())
			turned := arch == "llama" && (strings.HasSuffix(s.Name, "q_proj.lora_B.weight") || strings.HasSuffix(s.Name, "k_proj.lora_B.weight"))
			if turned {
				want = huggingFaceOrder(want, g.Config.HeadDim, g.Rank)
			}
			if d := share(got, want); d != 0 {
				t.Errorf("%s: %s differs from the model's", arch, s.Name)
			}
		}
	}
}

// huggingFaceOrder undoes llama.cpp's permutation, reshape(heads, 2, d/2, n).swapaxes(1, 2), row by row.
func huggingFaceOrder(rows []float32, d, n int) []float32 {
	out := make([]float32, len(rows))
	for r := range len(rows) / n {
		h, i := r/d, r%d // row i of a head of the file was row (i%2)·d/2 + i/2
		copy(out[(h*d+i%2*d/2+i/2)*n:][:n], rows[r*n:(r+1)*n])
	}
	return out
}

func TestLoRAOverSplitLatent(t *testing.T) {
	g := openLoRAGolden(t, "deepseek2")
	m, err := model.Bind(g.config(), splitSource{g}, model.LoadOptions{LoRA: &model.LoRAConfig{Rank: g.Rank, Alpha: g.Alpha}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	run, b := newRun(t), data.Pack(g.examples())
	cached := func(m *model.Model) []float32 { // the absorbed form
		n := len(g.Sequences[0].Tokens)
		batch := &op.Batch{Tokens: g.Sequences[0].Tokens, Seqs: []op.Seq{{Hi: n, Cache: model.NewCacheOf(m, op.CacheF32, n)}}}
		for i := range n {
			batch.Pos = append(batch.Pos, int32(i))
		}
		out := append([]float32(nil), m.Logits(&op.Pass{Run: run, Batch: batch}, []int{n - 1}).Data...)
		run.Release(0)
		return out
	}
	first := cached(m) // packs the absorbed form, which the values below must undo
	for _, p := range m.Params() {
		p.Slices(func(v, _ []float32) { copy(v, g.floats(t, "p/"+p.Name)) })
		p.Changed()
	}
	if d := share(allLogits(m, run, b), g.floats(t, "logits")); !(d <= 1e-5) {
		t.Errorf("logits: %.2g of the root mean square off", d)
	}
	want := cached(m)
	if share(first, want) < 1e-2 {
		t.Error("the absorbed form does not see the LoRA")
	}
	path := filepath.Join(t.TempDir(), "merged.gguf")
	if err := m.WriteGGUF(context.Background(), path, g.config().Metadata("tiny"), quant.F32); err != nil {
		t.Fatal(err)
	}
	merged, err := model.Load(path, model.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if d := share(allLogits(merged, run, b), g.floats(t, "logits")); !(d <= 1e-5) {
		t.Errorf("merged logits: %.2g of the root mean square off", d)
	}
	if d := share(cached(merged), want); !(d <= 1e-5) {
		t.Errorf("merged logits through the absorbed form: %.2g of the root mean square off", d)
	}
}

// A quantized base is frozen as it is stored, learns, and is merged into the type asked for.
func TestLoRAOverQuantizedBase(t *testing.T) {
	c := model.Config{Arch: "llama", Vocab: 96, Width: 256, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 64, FFN: 512, Context: 64, Eps: 1e-5, Tied: true,
		Rope: model.RopeConfig{Dim: 64, Theta: 10000, Pairs: true}}
	fresh, err := model.Fresh(c, 5, tensor.Float32)
	if err != nil {
		t.Fatal(err)
	}
	ctx, dir, run := context.Background(), t.TempDir(), newRun(t)
	es := []data.Example{{Tokens: []int32{5, 9, 33, 80, 2, 7, 61, 44, 5, 9, 33, 80}, From: 1}}
	b := data.Pack(es)
	for _, base := range []quant.Type{quant.Q4_K, quant.Q8_0} {
		path, out := filepath.Join(dir, "base.gguf"), filepath.Join(dir, "merged.gguf")
		if err := fresh.WriteGGUF(ctx, path, c.Metadata("tiny"), base); err != nil {
			t.Fatal(err)
		}
		m, err := model.Load(path, model.LoadOptions{Precision: tensor.BFloat16, LoRA: &model.LoRAConfig{Rank: 8, Alpha: 16, Seed: 1}})
		if err != nil {
			t.Fatal(err)
		}
		before := allLogits(m, run, b)
		tr, err := train.New(m, &data.Loader{Examples: es, Batch: 1, Tokens: 64}, run, train.Options{Schedule: optim.Schedule{Kind: "constant", Peak: 5e-3, Steps: 30}, AdamW: optim.DefaultAdamW})
		if err != nil {
			t.Fatal(err)
		}
		var first, last train.Line
		if err := tr.Run(ctx, nil, func(l train.Line) {
			if last = l; l.Step == 1 {
				first = l
			}
		}); err != nil {
			t.Fatal(err)
		}
		if !(last.Loss < 0.2*first.Loss) {
			t.Errorf("%v: the loss went from %.3f to %.3f in %d steps", base, first.Loss, last.Loss, last.Step)
		}
		want := allLogits(m, run, b)
		if share(before, want) < 0.1 {
			t.Errorf("%v: training did not move the logits", base)
		}
		// What differs is the rounding of the merged weights: Q8_0's is a hundredth of a value's spread, Q4_K's a tenth.
		for _, to := range []struct {
			typ quant.Type
			tol float64
		}{{quant.F16, 0.1}, {quant.Q8_0, 0.1}, {quant.Q4_K, 0.5}} {
			if err := m.WriteGGUF(ctx, out, c.Metadata("tiny"), to.typ); err != nil {
				t.Fatal(err)
			}
			merged, err := model.Load(out, model.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			d := share(allLogits(merged, run, b), want)
			t.Logf("%v merged as %v: logits %.2g of the root mean square off; training moved them by %.2g", base, to.typ, d, share(before, want))
			if !(d <= to.tol) {
				t.Errorf("%v merged as %v: logits %.2g of the root mean square off, want %g", base, to.typ, d, to.tol)
			}
			merged.Close()
		}
		m.Close()
	}
}
