package model_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
	"retort/internal/learn/data"
	"retort/internal/learn/optim"
	"retort/internal/learn/train"
	"retort/internal/lm/model"
)

// loraGolden is what PyTorch computed of a tiny LoRA model: see testdata/lora/lora.py.
type loraGolden struct {
	Arch   string
	Config struct {
		Vocab, Width, Layers, Heads, KV, FFN      int
		HeadDim                                   int `json:"head_dim"`
		Eps, Theta                                float64
		Tied                                      bool
		QRank                                     int `json:"q_rank"`
		KVRank                                    int `json:"kv_rank"`
		Nope, Rope, Value                         int
		Experts, Top, Groups, Keep, Shared, Dense int
		ExpertFFN                                 int `json:"expert_ffn"`
		Scale                                     float64
	}
	Rank      int
	Alpha, LR float64
	Losses    []float64
	Sequences []struct {
		Tokens []int32
		From   int
		Weight float32
	}

	file *safetensors.File
}

func openLoRAGolden(t *testing.T, arch string) *loraGolden {
	t.Helper()
	f, err := safetensors.Open("testdata/lora/lora_" + arch + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	g := &loraGolden{file: f}
	if err := json.Unmarshal([]byte(f.Metadata["golden"]), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *loraGolden) config() model.Config {
	c := g.Config
	m := model.Config{Arch: g.Arch, Vocab: c.Vocab, Width: c.Width, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KV, HeadDim: c.HeadDim,
		FFN: c.FFN, Context: 64, Eps: c.Eps, Tied: c.Tied, Rope: model.RopeConfig{Dim: c.HeadDim, Theta: c.Theta, Pairs: true}}
	if g.Arch == "deepseek2" {
		m.HeadDim = c.Nope + c.Rope
		m.Rope.Dim = c.Rope
		m.MLA = &model.MLAConfig{QRank: c.QRank, KVRank: c.KVRank, Nope: c.Nope, Rope: c.Rope, Value: c.Value}
		m.MoE = &model.MoEConfig{Experts: c.Experts, TopK: c.Top, Shared: c.Shared, FFN: c.ExpertFFN, Dense: c.Dense, Groups: c.Groups,
			Keep: c.Keep, Sigmoid: true, Normalize: true, Scale: c.Scale}
	}
	return m
}

// Tensor gives the frozen base as a weights.Source does.
func (g *loraGolden) Tensor(name string) (weights.Tensor, bool) {
	s := g.file.Tensor("p/" + name)
	if s == nil || strings.Contains(name, ".lora_") {
		return weights.Tensor{}, false
	}
	return weights.Tensor{Name: name, Type: quant.F32, Dims: s.Shape, Data: s.Data()}, true
}

func (g *loraGolden) Names() []string {
	var names []string
	for i := range g.file.Tensors {
		name, ok := strings.CutPrefix(g.file.Tensors[i].Name, "p/")
		if ok && !strings.Contains(name, ".lora_") {
			names = append(names, name)
		}
	}
	return names
}

func (g *loraGolden) Close() error { return nil }

// model returns the golden model with the golden A and B.
func (g *loraGolden) model(t *testing.T, p tensor.Precision) *model.Model {
	t.Helper()
	m, err := model.Bind(g.config(), g, model.LoadOptions{Precision: p, LoRA: &model.LoRAConfig{Rank: g.Rank, Alpha: g.Alpha}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	n := 0
	for _, p := range m.Params() {
		p.Slices(func(v, _ []float32) { n += copy(v, g.floats(t, "p/"+p.Name)) })
		p.Changed()
	}
	want := 0
	for i := range g.file.Tensors {
		if s := &g.file.Tensors[i]; strings.HasPrefix(s.Name, "g/") {
			want += s.Elements()
		}
	}
	if n != want {
		t.Fatalf("%d trainable values, PyTorch has %d", n, want)
	}
	return m
}

func (g *loraGolden) floats(t *testing.T, name string) []float32 {
	t.Helper()
	s := g.file.Tensor(name)
	if s == nil {
		t.Fatalf("the golden file has no %s", name)
	}
	v := make([]float32, s.Elements())
	quant.Decode(quant.F32, v, s.Data())
	return v
}

func (g *loraGolden) examples() []data.Example {
	var es []data.Example
	for _, s := range g.Sequences {
		es = append(es, data.Example{Tokens: s.Tokens, From: s.From, Weight: s.Weight})
	}
	return es
}

func newRun(t testing.TB) *tensor.Run {
	t.Helper()
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return tensor.NewRun(pool)
}

// share returns the largest difference of got and want as a share of the root mean square of want.
func share(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	square, worst := 0.0, 0.0
	for i, v := range want {
		square += float64(v) * float64(v)
		if d := math.Abs(float64(got[i]) - float64(v)); d > worst || d != d {
			worst = d
		}
	}
	if worst == 0 {
		return 0
	}
	return worst / math.Sqrt(square/float64(len(want)))
}

// allLogits returns the logits of every row of b.
func allLogits(m *model.Model, run *tensor.Run, b *data.Batch) []float32 {
	rows := make([]int, b.Rows())
	for i := range rows {
		rows[i] = i
	}
	z := m.Logits(&op.Pass{Run: run, Batch: &b.Batch}, rows)
	out := append([]float32(nil), z.Data...)
	run.Release(0)
	return out
}

var loraArchs = []string{"llama", "deepseek2"}

func (g *loraGolden) trainer(t *testing.T, m *model.Model, dir string) *train.Trainer {
	t.Helper()
	loader := &data.Loader{Examples: g.examples(), Batch: 2, Tokens: 1 << 10}
	tr, err := train.New(m, loader, newRun(t), train.Options{Dir: dir, Schedule: optim.Schedule{Kind: "constant", Peak: g.LR, Steps: len(g.Losses)}, AdamW: optim.DefaultAdamW, ID: "lora"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// splitSource gives attn_kv_b as newer files store it: W^UK transposed per head, and W^UV.
type splitSource struct{ *loraGolden }

func (s splitSource) Names() []string {
	var names []string
	for _, n := range s.loraGolden.Names() {
		if block, ok := strings.CutSuffix(n, "attn_kv_b.weight"); ok {
			names = append(names, block+"attn_k_b.weight", block+"attn_v_b.weight")
			continue
		}
		names = append(names, n)
	}
	return names
}

func (s splitSource) Tensor(name string) (weights.Tensor, bool) {
	c := s.Config
	block, keys := strings.CutSuffix(name, "attn_k_b.weight")
	if !keys {
		var ok bool
		if block, ok = strings.CutSuffix(name, "attn_v_b.weight"); !ok {
			if strings.HasSuffix(name, "attn_kv_b.weight") {
				return weights.Tensor{}, false
			}
			return s.loraGolden.Tensor(name)
		}
	}
	t, ok := s.loraGolden.Tensor(block + "attn_kv_b.weight")
	if !ok {
		return t, false
	}
	w, row := t.Floats(), 0
	var v []float32
	for range c.Heads {
		k := w[row*c.KVRank:]
		if keys {
			for r := range c.KVRank {
				for n := range c.Nope {
					v = append(v, k[n*c.KVRank+r])
				}
			}
		} else {
			v = append(v, k[c.Nope*c.KVRank:(c.Nope+c.Value)*c.KVRank]...)
		}
		row += c.Nope + c.Value
	}
	dims := []int{c.Heads, c.Value, c.KVRank}
	if keys {
		dims = []int{c.Heads, c.KVRank, c.Nope}
	}
	data := make([]byte, 4*len(v))
	if err := quant.Encode(quant.F32, data, v); err != nil {
		panic(err)
	}
	return weights.Tensor{Name: name, Type: quant.F32, Dims: dims, Data: data}, true
}
