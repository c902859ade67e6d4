package model

import (
	"context"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
)

// everyShape are small models of every architecture.
func everyShape() map[string]Config {
	qwen2 := tinyLlama()
	qwen2.Arch, qwen2.Bias, qwen2.Rope.Pairs, qwen2.Width, qwen2.Rope.Theta = "qwen2", true, false, 24, 1e6
	qwen3 := tinyLlama()
	qwen3.Arch, qwen3.QKNorm, qwen3.Rope.Pairs, qwen3.Tied = "qwen3", true, false, false
	lite := tinyDeepSeek()
	lite.MLA.QRank, lite.MoE.Sigmoid, lite.MoE.Normalize, lite.MoE.Groups, lite.MoE.Keep, lite.MoE.Scale = 0, false, false, 1, 1, 1
	return map[string]Config{"llama": tinyLlama(), "qwen2": qwen2, "qwen3": qwen3, "deepseek-v3": tinyDeepSeek(), "deepseek-v2-lite": lite}
}

// everyStretch are models of which positions are stretched, in every way.
func everyStretch() map[string]Config {
	shapes := everyShape()
	stretch := func(from string, r RopeConfig) Config {
		c := shapes[from]
		r.Dim, r.Theta, r.Pairs = c.Rope.Dim, max(r.Theta, c.Rope.Theta), c.Rope.Pairs
		c.Rope = r
		return c
	}
	return map[string]Config{
		"linear":        stretch("qwen3", RopeConfig{Scaling: "linear", Factor: 4, Original: 64}),
		"llama3":        stretch("llama", RopeConfig{Scaling: "llama3", Theta: 5e5, Factor: 8, Original: 8192, LowFreq: 1, HighFreq: 4}),
		"yarn":          stretch("qwen2", RopeConfig{Scaling: "yarn", Factor: 4, Original: 16, BetaFast: 32, BetaSlow: 1, Magnitude: yarnScale(4, 1)}),
		"yarn-factor":   stretch("llama", RopeConfig{Scaling: "yarn", Factor: 4, Original: 16, BetaFast: 16, BetaSlow: 2, Magnitude: 1.25}),
		"deepseek-yarn": stretch("deepseek-v3", RopeConfig{Scaling: "yarn", Factor: 40, Original: 16, BetaFast: 32, BetaSlow: 1, MScale: 0.5, Magnitude: 1}),
	}
}

var someTokens = []int32{3, 30, 7, 11, 3, 25, 9, 1, 36, 7, 2, 14}

// logitsOf returns the logits of every row of someTokens.
func logitsOf(t *testing.T, m *Model) []float32 {
	t.Helper()
	rows := make([]int, len(someTokens))
	for i := range rows {
		rows[i] = i
	}
	run := newRun(t)
	return slices.Clone(m.Logits(&op.Pass{Run: run, Batch: batch(someTokens, 0, nil)}, rows).Data)
}

func mustLoad(t *testing.T, path string, opts LoadOptions) *Model {
	t.Helper()
	m, err := Load(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// equal reports where two models do not give the same bits.
func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: logit %d is %v, want %v, bit for bit", what, i, got[i], want[i])
			return
		}
	}
}

// near reports where two models are farther apart than float32 sums are.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-4) {
			t.Errorf("%s: logit %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

// TestRoundTrips: a model written as GGUF, as safetensors, and from either as the other, gives the same logits. Where
// positions are stretched, numbers that GGUF keeps in float32 and config.json in decimals turn them by other last bits.
func TestRoundTrips(t *testing.T) {
	ctx := context.Background()
	models := everyShape()
	maps.Copy(models, everyStretch())
	for name, c := range models {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := lively(t, c, 11)
			if strings.HasSuffix(name, "lite") {
				m = withoutBias(t, m)
			}
			gguf1, folder1 := filepath.Join(dir, "1.gguf"), filepath.Join(dir, "1")
			if err := m.WriteGGUF(ctx, gguf1, c.Metadata("tiny"), quant.F32); err != nil {
				t.Fatal(err)
			}
			loaded := mustLoad(t, gguf1, LoadOptions{})
			want := logitsOf(t, loaded)
			near(t, "trained -> gguf", want, logitsOf(t, m)) // metadata are float32
			if err := m.WriteSafetensors(ctx, folder1, quant.F32); err != nil {
				t.Fatal(err)
			}
			near(t, "trained -> safetensors", logitsOf(t, mustLoad(t, folder1, LoadOptions{})), logitsOf(t, m))

			folder2 := filepath.Join(dir, "2")
			if err := loaded.WriteSafetensors(ctx, folder2, quant.F32); err != nil {
				t.Fatal(err)
			}
			near(t, "gguf -> safetensors", logitsOf(t, mustLoad(t, folder2, LoadOptions{})), want)
			sameFile(t, folder1, folder2)

			back := mustLoad(t, folder1, LoadOptions{Train: true})
			gguf2 := filepath.Join(dir, "2.gguf")
			if err := back.WriteGGUF(ctx, gguf2, back.Config.Metadata("tiny"), quant.F32); err != nil {
				t.Fatal(err)
			}
			equal(t, "safetensors -> gguf", logitsOf(t, mustLoad(t, gguf2, LoadOptions{})), want)
			if m.Config.Rope.Scaling == "" {
				equal(t, "safetensors", logitsOf(t, mustLoad(t, folder1, LoadOptions{})), want)
			}

			if err := m.WriteSafetensors(ctx, folder1, quant.F32); err == nil {
				t.Error("a folder that holds a model was written over")
			}
			if err := m.WriteSafetensors(ctx, filepath.Join(dir, "q"), quant.Q8_0); err == nil {
				t.Error("safetensors of Q8_0")
			}
			half := filepath.Join(dir, "half")
			if err := m.WriteSafetensors(ctx, half, quant.BF16); err != nil {
				t.Fatal(err)
			}
			for i, v := range logitsOf(t, mustLoad(t, half, LoadOptions{Train: true})) {
				// bf16 weights are off by 2⁻⁹ of themselves; logits are of the order of 1 to 5.
				if d := math.Abs(float64(v - want[i])); d > 0.25 {
					t.Fatalf("in bf16 logit %d is %v, in float32 %v", i, v, want[i])
				}
			}
		})
	}
}

// withoutBias returns m without the balancing bias, which V2 has not.
func withoutBias(t *testing.T, m *Model) *Model {
	t.Helper()
	src := memory{}
	for _, p := range m.Params() {
		if !strings.HasSuffix(p.Name, "exp_probs_b.bias") {
			src[p.Name] = storedOf(p)
		}
	}
	m, err := Bind(m.Config, src, LoadOptions{Train: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// memory is a Source of tensors by name.
type memory map[string]weights.Tensor

func (s memory) Tensor(name string) (weights.Tensor, bool) { t, ok := s[name]; return t, ok }
func (s memory) Close() error                              { return nil }
func (s memory) Names() []string {
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func storedOf(p Param) weights.Tensor {
	t := weights.Tensor{Name: p.Name, Type: quant.F32, Dims: p.Dims}
	p.Slices(func(values, _ []float32) { t.Data = append(t.Data, bytesOf(values)...) })
	return t
}

func sameFile(t *testing.T, dir1, dir2 string) {
	t.Helper()
	for _, name := range []string{safetensors.SingleName, ConfigName} {
		a, err1 := os.ReadFile(filepath.Join(dir1, name))
		b, err2 := os.ReadFile(filepath.Join(dir2, name))
		if err1 != nil || err2 != nil || string(a) != string(b) {
			t.Errorf("%s of %s and %s are not the same (%v, %v)", name, dir1, dir2, err1, err2)
		}
	}
}

// TestSplitLatentUp: a file that stores W^UK transposed and W^UV apart is the same model, and is written in one.
func TestSplitLatentUp(t *testing.T) {
	c := tinyDeepSeek()
	m := lively(t, c, 4)
	src, a := memory{}, c.MLA
	for _, p := range m.Params() {
		block, ok := strings.CutSuffix(p.Name, "attn_kv_b.weight")
		if !ok {
			src[p.Name] = storedOf(p)
			continue
		}
		var k, v []float32
		for h := range c.Heads {
			w := p.Weight.Data[h*(a.Nope+a.Value)*a.KVRank:]
			for r := range a.KVRank {
				for n := range a.Nope {
					k = append(k, w[n*a.KVRank+r])
				}
			}
			v = append(v, w[a.Nope*a.KVRank:(a.Nope+a.Value)*a.KVRank]...)
		}
		src[block+"attn_k_b.weight"] = weights.Tensor{Name: block + "attn_k_b.weight", Type: quant.F32, Dims: []int{c.Heads, a.KVRank, a.Nope}, Data: bytesOf(k)}
		src[block+"attn_v_b.weight"] = weights.Tensor{Name: block + "attn_v_b.weight", Type: quant.F32, Dims: []int{c.Heads, a.Value, a.KVRank}, Data: bytesOf(v)}
	}
	split, err := Bind(c, src, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	one, two := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")
	if err := m.WriteSafetensors(context.Background(), one, quant.F32); err != nil {
		t.Fatal(err)
	}
	if err := split.WriteSafetensors(context.Background(), two, quant.F32); err != nil {
		t.Fatal(err)
	}
	sameFile(t, one, two)
	equal(t, "split", logitsOf(t, split), logitsOf(t, mustLoad(t, one, LoadOptions{})))
}

// TestLoRAIsWrittenMerged: the folder holds W + s·B·A, in llama's own order of rows.
func TestLoRAIsWrittenMerged(t *testing.T) {
	for _, name := range []string{"llama", "deepseek-v3"} {
		c := everyShape()[name]
		base := filepath.Join(t.TempDir(), "base")
		if err := lively(t, c, 12).WriteSafetensors(context.Background(), base, quant.F32); err != nil {
			t.Fatal(err)
		}
		m := mustLoad(t, base, LoadOptions{LoRA: &LoRAConfig{Rank: 3, Alpha: 6, Seed: 2}})
		plain := logitsOf(t, m)
		for _, p := range m.Params() {
			p.Slices(func(v, _ []float32) {
				for i := range v {
					v[i] += float32(i%7-3) * 0.02
				}
			})
			p.Changed()
		}
		merged := filepath.Join(t.TempDir(), "merged")
		if err := m.WriteSafetensors(context.Background(), merged, quant.F32); err != nil {
			t.Fatal(err)
		}
		want, moved := logitsOf(t, m), 0.0
		for i, v := range logitsOf(t, mustLoad(t, merged, LoadOptions{})) {
			moved = max(moved, math.Abs(float64(want[i]-plain[i])))
			if d := math.Abs(float64(v - want[i])); d > 1e-4 { // the sum is taken in another order
				t.Fatalf("%s: logit %d is %v merged, %v beside", name, i, v, want[i])
			}
		}
		if moved < 0.1 {
			t.Errorf("%s: the LoRA moves no logit by more than %g: the test sees nothing", name, moved)
		}
	}
}

// TestEveryFaultAtOnce: all that does not fit is told in one error.
func TestEveryFaultAtOnce(t *testing.T) {
	c := tinyDeepSeek()
	src := memory{}
	for _, p := range lively(t, c, 1).Params() {
		src[p.Name] = storedOf(p)
	}
	delete(src, "blk.1.ffn_down_exps.weight")
	delete(src, "output_norm.weight")
	x := src["blk.0.attn_q_a.weight"]
	x.Dims = []int{x.Dims[1], x.Dims[0]}
	src["blk.0.attn_q_a.weight"] = x
	src["blk.7.attn_q_a.weight"] = x
	for _, opts := range []LoadOptions{{}, {Train: true}, {LoRA: &LoRAConfig{Rank: 2, Alpha: 2}}} {
		_, err := Bind(c, src, opts)
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{"4 tensors", "blk.1.ffn_down_exps.weight: missing, want shape [6 18 7]", "output_norm.weight: missing, want shape [18]",
			"blk.0.attn_q_a.weight: shape [18 11], want [11 18]", "blk.7.attn_q_a.weight: not part"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: the error does not say %q:\n%v", opts, want, err)
			}
		}
	}
}

// TestFolderFaults: damaged folders are errors that name the file or the tensor.
func TestFolderFaults(t *testing.T) {
	c := tinyDeepSeek()
	good := filepath.Join(t.TempDir(), "good")
	if err := lively(t, c, 1).WriteSafetensors(context.Background(), good, quant.F32); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	config, err := os.ReadFile(filepath.Join(good, ConfigName))
	if err != nil {
		t.Fatal(err)
	}
	type change = func(s []safetensors.Source) []safetensors.Source
	drop := func(name string) change {
		return func(s []safetensors.Source) []safetensors.Source {
			return slices.DeleteFunc(s, func(x safetensors.Source) bool { return x.Name == name })
		}
	}
	rename := func(from, to string) change {
		return func(s []safetensors.Source) []safetensors.Source {
			for i := range s {
				if s[i].Name == from {
					s[i].Name = to
				}
			}
			return s
		}
	}
	for want, f2 := range map[string]change{
		"blk.1.ffn_up_exps.weight: shape [4 7 18], want [6 7 18]": drop("model.layers.1.mlp.experts.4.up_proj.weight"),
		"blk.1.ffn_up_exps.weight: shape [0]":                     drop("model.layers.1.mlp.experts.0.up_proj.weight"),
		"experts.9.up_proj.weight: not part":                      rename("model.layers.1.mlp.experts.4.up_proj.weight", "model.layers.1.mlp.experts.9.up_proj.weight"),
		"blk.0.attn_kv_a_mqa.weight: missing":                     drop("model.layers.0.self_attn.kv_a_proj_with_mqa.weight"),
		"lm_head.bias: not part":                                  rename("model.norm.weight", "lm_head.bias"),
		"dtype I32 cannot be read": func(s []safetensors.Source) []safetensors.Source {
			s[3].DType = safetensors.I32
			return s
		},
		"": func(s []safetensors.Source) []safetensors.Source { // what V3 has besides, and old files repeat
			for _, name := range []string{"model.layers.2.eh_proj.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"} {
				x := s[0]
				x.Name = name
				s = append(s, x)
			}
			return s
		},
	} {
		var sources []safetensors.Source
		for i := range f.Tensors {
			x := &f.Tensors[i]
			sources = append(sources, safetensors.Source{Name: x.Name, DType: x.DType, Shape: x.Shape, Write: func(w io.Writer) error {
				_, err := w.Write(x.Data())
				return err
			}})
		}
		dir := t.TempDir()
		if err := safetensors.WriteFile(context.Background(), filepath.Join(dir, safetensors.SingleName), nil, f2(sources)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ConfigName), config, 0o666); err != nil {
			t.Fatal(err)
		}
		m, err := Load(dir, LoadOptions{})
		switch {
		case err == nil && want != "":
			t.Errorf("loaded, want an error with %q", want)
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
			t.Errorf("error %v, want %q", err, want)
		}
		if err == nil {
			m.Close()
		}
	}
	for name, spoil := range map[string]func(dir string) error{
		"no config":   func(dir string) error { return os.Remove(filepath.Join(dir, ConfigName)) },
		"no weights":  func(dir string) error { return os.Remove(filepath.Join(dir, safetensors.SingleName)) },
		"torn":        func(dir string) error { return os.Truncate(filepath.Join(dir, safetensors.SingleName), 4000) },
		"torn config": func(dir string) error { return os.Truncate(filepath.Join(dir, ConfigName), 90) },
		"long config": func(dir string) error { return os.Truncate(filepath.Join(dir, ConfigName), 2*maxConfigBytes) },
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir, LoadOptions{}); err == nil {
			t.Errorf("%s: loaded", name)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: the error does not name the folder: %v", name, err)
		}
	}
}
