package train

import (
	"encoding/json"
	"fmt"
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
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// golden is what PyTorch computed, in float64, of one tiny model: see ref/tiny_models.py.
type golden struct {
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
	Optimizer struct {
		Peak, Min, Beta1, Beta2, Eps, Clip float64
		Steps, Warmup                      int
		WeightDecay                        float64 `json:"weight_decay"`
	}
	Losses    []float64
	Norms     []float64 `json:"grad_norms"`
	Rates     []float64
	Sequences []struct {
		Tokens []int32
		From   int
		Weight float32
	}

	file *safetensors.File
}

var tinyModels = []string{"llama", "qwen2", "qwen3", "deepseek2"}

func openGolden(t *testing.T, arch string) *golden {
	t.Helper()
	f, err := safetensors.Open("testdata/tiny_" + arch + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	g := &golden{file: f}
	if err := json.Unmarshal([]byte(f.Metadata["golden"]), g); err != nil {
		t.Fatal(err)
	}
	return g
}

// config is the golden model's configuration in our words.
func (g *golden) config() model.Config {
	c := g.Config
	m := model.Config{Arch: g.Arch, Vocab: c.Vocab, Width: c.Width, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KV, HeadDim: c.HeadDim,
		FFN: c.FFN, Context: 64, Eps: c.Eps, Tied: c.Tied, Bias: g.Arch == "qwen2", QKNorm: g.Arch == "qwen3",
		Rope: model.RopeConfig{Dim: c.HeadDim, Theta: c.Theta, Pairs: g.Arch == "llama"}}
	if g.Arch == "deepseek2" {
		m.HeadDim = c.Nope + c.Rope
		m.Rope = model.RopeConfig{Dim: c.Rope, Theta: c.Theta, Pairs: true}
		m.MLA = &model.MLAConfig{QRank: c.QRank, KVRank: c.KVRank, Nope: c.Nope, Rope: c.Rope, Value: c.Value}
		m.MoE = &model.MoEConfig{Experts: c.Experts, TopK: c.Top, Shared: c.Shared, FFN: c.ExpertFFN, Dense: c.Dense, Groups: c.Groups,
			Keep: c.Keep, Sigmoid: true, Normalize: true, Scale: c.Scale}
	}
	return m
}

// Tensor gives the initial values as a weights.Source does.
func (g *golden) Tensor(name string) (weights.Tensor, bool) {
	s := g.file.Tensor("p/" + name)
	if s == nil {
		return weights.Tensor{}, false
	}
	return weights.Tensor{Name: name, Type: quant.F32, Dims: s.Shape, Data: s.Data()}, true
}

func (g *golden) Names() []string {
	var names []string
	for i := range g.file.Tensors {
		if name, ok := strings.CutPrefix(g.file.Tensors[i].Name, "p/"); ok {
			names = append(names, name)
		}
	}
	return names
}

func (g *golden) Close() error { return nil }

// model returns the golden model, trainable.
func (g *golden) model(t *testing.T, precision tensor.Precision) *model.Model {
	t.Helper()
	m, err := model.Bind(g.config(), g, model.LoadOptions{Train: true, Precision: precision})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (g *golden) examples() []data.Example {
	var es []data.Example
	for _, s := range g.Sequences {
		es = append(es, data.Example{Tokens: s.Tokens, From: s.From, Weight: s.Weight})
	}
	return es
}

// floats returns a stored tensor's values, or nil.
func (g *golden) floats(name string) []float32 {
	s := g.file.Tensor(name)
	if s == nil {
		return nil
	}
	v := make([]float32, s.Elements())
	quant.Decode(quant.F32, v, s.Data())
	return v
}

func newRun(t testing.TB) *tensor.Run {
	t.Helper()
	pool := par.New(2)
	t.Cleanup(pool.Close)
	return tensor.NewRun(pool)
}

// values copies a parameter's values or gradient, all experts in order.
func values(p model.Param, gradient bool) []float32 {
	var out []float32
	p.Slices(func(v, grad []float32) {
		if gradient {
			v = grad
		}
		out = append(out, v...)
	})
	return out
}

// compare reports where got is farther than tol times the root mean square of want, with the worst place.
func compare(t *testing.T, name string, got, want []float32, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	square := 0.0
	for _, v := range want {
		square += float64(v) * float64(v)
	}
	rms := math.Sqrt(square / float64(len(want)))
	worst, at := 0.0, 0
	for i := range got {
		if d := math.Abs(float64(got[i]) - float64(want[i])); d > worst || d != d {
			worst, at = d, i
		}
	}
	if !(worst <= tol*rms) {
		t.Errorf("%s[%d]: %g, PyTorch says %g: %.2g of the root mean square %.3g, want at most %g", name, at, got[at], want[at], worst/rms, rms, tol)
	}
}

// A value is a chain of some 30 sums of at most 67 float32 products, each good to about sqrt(67)·2⁻²⁴ = 5e-7 of its
// terms; the errors of a chain add up like a random walk, and the worst element of some hundred is 3 to 4 of its
// deviations: 5e-7·sqrt(30)·4 = 1e-5 of the root mean square.
const (
	logitsTol = 1e-5
	gradTol   = 2e-5 // forward and backward chains
	lossTol   = 1e-6 // a mean: the errors of its terms cancel
)

func TestLossAndGradientsAsPyTorch(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, arch := range tinyModels {
			for _, recompute := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/recompute=%v", arch, recompute), func(t *testing.T) { lossAndGradients(t, arch, recompute) })
			}
		}
	})
}

func lossAndGradients(t *testing.T, arch string, recompute bool) {
	g := openGolden(t, arch)
	m, run := g.model(t, tensor.Float32), newRun(t)
	m.Recompute = recompute
	b := data.Pack(g.examples())

	rows := make([]int, b.Rows())
	for i := range rows {
		rows[i] = i
	}
	z := m.Logits(&op.Pass{Run: run, Batch: &b.Batch}, rows)
	compare(t, "logits", z.Data, g.floats("logits"), logitsTol)
	run.Release(0)

	loss := backward(m, run, b)
	if d := math.Abs(loss-g.Losses[0]) / g.Losses[0]; !(d <= lossTol) {
		t.Errorf("loss %.9f, PyTorch says %.9f", loss, g.Losses[0])
	}
	if len(m.Params()) != len(g.Names()) {
		t.Errorf("%d parameters, PyTorch has %d", len(m.Params()), len(g.Names()))
	}
	for _, p := range m.Params() {
		if want := g.floats("g/" + p.Name); want != nil {
			compare(t, p.Name, values(p, true), want, gradTol)
			continue
		}
		for i, v := range values(p, true) { // the balancing bias decides the choice and nothing else
			if v != 0 {
				t.Errorf("%s[%d]: gradient %g, want none", p.Name, i, v)
			}
		}
	}
}

// backward leaves the gradients of the mean loss of b in m and returns the loss.
func backward(m *model.Model, run *tensor.Run, b *data.Batch) float64 {
	p := &op.Pass{Run: run, Batch: &b.Batch, Tape: &op.Tape{}}
	loss := m.Loss(p, b.Labels, b.Weight)
	p.Tape.Backward(p)
	run.Release(0)
	return loss
}

// Products of bf16 have eight bits: their errors are a few thousandths each, and a gradient that points where
// PyTorch's does (a cosine near 1) is what such training can have.
const (
	bf16LossTol   = 1e-2
	bf16CosineTol = 1e-3 // 1 - cosine: half the square of an error of 4 %
)

func TestBF16GradientsPointAsPyTorch(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, arch := range tinyModels {
			g := openGolden(t, arch)
			m := g.model(t, tensor.BFloat16)
			loss := backward(m, newRun(t), data.Pack(g.examples()))
			if d := math.Abs(loss-g.Losses[0]) / g.Losses[0]; !(d <= bf16LossTol) {
				t.Errorf("%s: loss %.6f, PyTorch says %.6f", arch, loss, g.Losses[0])
			}
			ab, aa, bb := 0.0, 0.0, 0.0
			for _, p := range m.Params() {
				grad := values(p, true)
				for i, want := range g.floats("g/" + p.Name) {
					got := float64(grad[i])
					ab, aa, bb = ab+got*float64(want), aa+got*got, bb+float64(want)*float64(want)
				}
			}
			if cosine := ab / math.Sqrt(aa*bb); !(1-cosine <= bf16CosineTol) {
				t.Errorf("%s: cosine of the gradients %.6f, want 1 - %g", arch, cosine, bf16CosineTol)
			} else {
				t.Logf("%s: 1 - cosine %.2g", arch, 1-cosine)
			}
		}
	})
}

// AdamW divides a gradient by its own size, so an element whose gradient is small beside the rest of its tensor's
// moves by that element's own relative error: the worst of a tensor can be far off though the whole is not.
const (
	stepsLossTol = 2e-5 // errors of the weights enter the loss squared near its minimum, and it still falls here
	movementTol  = 1e-3 // root mean square error of a tensor, of the root mean square way it went
	worstTol     = 2e-2 // of an element, of the same
	stepsNormTol = 1e-4
)

func TestTenStepsAsPyTorch(t *testing.T) {
	for _, arch := range tinyModels {
		t.Run(arch, func(t *testing.T) {
			g := openGolden(t, arch)
			m, o := g.model(t, tensor.Float32), g.Optimizer
			loader := &data.Loader{Examples: g.examples(), Batch: 2, Tokens: 1 << 10}
			tr, err := New(m, loader, newRun(t), Options{
				Schedule: optim.Schedule{Kind: "cosine", Peak: o.Peak, Steps: o.Steps, Warmup: o.Warmup, Min: o.Min},
				AdamW:    optim.AdamWOptions{Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.Clip},
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range o.Steps {
				line, err := tr.Next()
				if err != nil {
					t.Fatal(err)
				}
				if d := math.Abs(line.Loss-g.Losses[i]) / g.Losses[i]; !(d <= stepsLossTol) {
					t.Errorf("step %d: loss %.8f, PyTorch says %.8f (%.2g)", i+1, line.Loss, g.Losses[i], d)
				}
				if d := math.Abs(line.Norm-g.Norms[i]) / g.Norms[i]; !(d <= stepsNormTol) {
					t.Errorf("step %d: gradient norm %.7f, PyTorch says %.7f (%.2g)", i+1, line.Norm, g.Norms[i], d)
				}
				if d := math.Abs(line.LR - g.Rates[i]); d > 1e-12 {
					t.Errorf("step %d: rate %g, PyTorch used %g", i+1, line.LR, g.Rates[i])
				}
			}
			if !tr.Done() {
				t.Error("not done after the schedule's steps")
			}
			for _, p := range m.Params() {
				compareMovement(t, p.Name, values(p, false), g.floats("p/"+p.Name), g.floats("w/"+p.Name))
			}
		})
	}
}

// compareMovement measures the error of got by how far the values went from first to last.
func compareMovement(t *testing.T, name string, got, first, last []float32) {
	t.Helper()
	way, off, worst, at := 0.0, 0.0, 0.0, 0
	for i := range last {
		w, d := float64(last[i])-float64(first[i]), float64(got[i])-float64(last[i])
		way += w * w
		off += d * d
		if math.Abs(d) > worst || d != d {
			worst, at = math.Abs(d), i
		}
	}
	n := float64(len(last))
	way, off = math.Sqrt(way/n), math.Sqrt(off/n)
	if way == 0 { // the balancing bias does not learn
		if worst != 0 {
			t.Errorf("%s[%d]: %g, want it as it was", name, at, got[at])
		}
		return
	}
	if !(off <= movementTol*way) || !(worst <= worstTol*way) {
		t.Errorf("%s: error %.2g of the way of %.3g; worst [%d] %g, PyTorch says %g, %.2g of it", name, off/way, way, at, got[at], last[at], worst/way)
	}
}
