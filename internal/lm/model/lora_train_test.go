package model_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/lm/model"
	"retort/internal/numtest"
)

// The tolerances are those of learn/train's goldens: float32 chains against float64.
func TestLoRAAsPyTorch(t *testing.T) {
	numtest.EachImpl(t, func(t *testing.T) {
		for _, arch := range loraArchs {
			for _, recompute := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/recompute=%v", arch, recompute), func(t *testing.T) { loraAsPyTorch(t, arch, recompute) })
			}
		}
	})
}

func loraAsPyTorch(t *testing.T, arch string, recompute bool) {
	g := openLoRAGolden(t, arch)
	m, run, b := g.model(t, tensor.Float32), newRun(t), data.Pack(g.examples())
	m.Recompute = recompute
	if d := share(allLogits(m, run, b), g.floats(t, "logits")); !(d <= 1e-5) {
		t.Errorf("logits: %.2g of the root mean square off", d)
	}
	p := &op.Pass{Run: run, Batch: &b.Batch, Tape: &op.Tape{}}
	loss := m.Loss(p, b.Labels, b.Weight)
	p.Tape.Backward(p)
	run.Release(0)
	if d := math.Abs(loss-g.Losses[0]) / g.Losses[0]; !(d <= 1e-6) {
		t.Errorf("loss %.9f, PyTorch says %.9f", loss, g.Losses[0])
	}
	for _, p := range m.Params() {
		p.Slices(func(_, grad []float32) {
			if d := share(grad, g.floats(t, "g/"+p.Name)); !(d <= 2e-5) {
				t.Errorf("%s: gradient %.2g of the root mean square off", p.Name, d)
			}
		})
	}
}

func TestLoRAFiveStepsAsPyTorch(t *testing.T) {
	for _, arch := range loraArchs {
		g := openLoRAGolden(t, arch)
		m := g.model(t, tensor.Float32)
		tr := g.trainer(t, m, "")
		for i, want := range g.Losses {
			line, err := tr.Next()
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(line.Loss-want) / want; !(d <= 2e-5) {
				t.Errorf("%s: step %d: loss %.8f, PyTorch says %.8f", arch, i+1, line.Loss, want)
			}
		}
		// AdamW divides a gradient by its size, so an element moves by its own relative error: what went LR a step, five
		// times, may be a fiftieth of that off at worst.
		for _, p := range m.Params() {
			want := g.floats(t, "w/"+p.Name)
			p.Slices(func(v, _ []float32) {
				for i := range v {
					if d := math.Abs(float64(v[i]) - float64(want[i])); !(d <= 5*g.LR/50) {
						t.Errorf("%s: %s[%d] is %g after five steps, PyTorch says %g", arch, p.Name, i, v[i], want[i])
						return
					}
				}
			})
		}
	}
}

// bits copies every trainable value.
func bits(m *model.Model) (v []uint32) {
	for _, p := range m.Params() {
		p.Slices(func(values, _ []float32) {
			for _, x := range values {
				v = append(v, math.Float32bits(x))
			}
		})
	}
	return v
}

func TestLoRAResumesBitForBit(t *testing.T) {
	for _, precision := range []tensor.Precision{tensor.Float32, tensor.BFloat16} {
		g := openLoRAGolden(t, "deepseek2")
		whole := g.model(t, precision)
		if err := g.trainer(t, whole, t.TempDir()).Run(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		steps := 0
		if err := g.trainer(t, g.model(t, precision), dir).Run(context.Background(), func() bool { steps++; return steps > 2 }, nil); err != nil {
			t.Fatal(err)
		}
		second := g.model(t, precision)
		tr := g.trainer(t, second, dir)
		if tr.Step() != 2 {
			t.Fatalf("resumed at step %d, want 2", tr.Step())
		}
		if err := tr.Run(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		want := bits(whole)
		for i, v := range bits(second) {
			if v != want[i] {
				t.Fatalf("precision %d: value %d differs between the run in one piece and the resumed one", precision, i)
			}
		}
	}
}

// bf16 gradients point where those of float32 point.
func TestLoRABF16PointsAsPyTorch(t *testing.T) {
	for _, arch := range loraArchs {
		g := openLoRAGolden(t, arch)
		m, run, b := g.model(t, tensor.BFloat16), newRun(t), data.Pack(g.examples())
		p := &op.Pass{Run: run, Batch: &b.Batch, Tape: &op.Tape{}}
		loss := m.Loss(p, b.Labels, b.Weight)
		p.Tape.Backward(p)
		ab, aa, bb := 0.0, 0.0, 0.0
		for _, p := range m.Params() {
			want := g.floats(t, "g/"+p.Name)
			p.Slices(func(_, grad []float32) {
				for i, v := range grad {
					ab, aa, bb = ab+float64(v)*float64(want[i]), aa+float64(v)*float64(v), bb+float64(want[i])*float64(want[i])
				}
			})
		}
		if c := ab / math.Sqrt(aa*bb); !(1-c <= 1e-3) || math.Abs(loss-g.Losses[0]) > 1e-2*g.Losses[0] {
			t.Errorf("%s: 1 - cosine %.2g, loss %.6f, PyTorch says %.6f", arch, 1-c, loss, g.Losses[0])
		}
	}
}

func TestLoRAExcludesTrain(t *testing.T) {
	g := openLoRAGolden(t, "llama")
	for _, o := range []model.LoadOptions{{Train: true, LoRA: &model.LoRAConfig{Rank: 2, Alpha: 2}}, {LoRA: &model.LoRAConfig{Rank: -1, Alpha: 2}}} {
		if m, err := model.Bind(g.config(), g, o); err == nil {
			m.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}
