package cli

import (
	"retort/internal/compute/limit"
	"retort/internal/compute/par"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
	"retort/internal/lm/model"
)

// work is what a model makes the machine do for one token.
type work struct {
	blocks, head float64 // weights that are multiplied in the layers, and in the output head
	bytes        float64 // of weights that are read, head included
	peak         func(*par.Pool) float64
}

// workOf adds up the matrices that a token passes: of the experts those that are chosen.
func workOf(m *model.Model) work {
	w := work{peak: limit.Float32}
	add := func(share float64, weights ...tensor.Weight) {
		for _, x := range weights {
			if x == nil {
				continue
			}
			out, in := x.Dims()
			w.blocks += share * float64(out) * float64(in)
			w.bytes += share * bytesOf(x)
			if p, ok := x.(interface{ Type() quant.Type }); ok && p.Type() != quant.F32 && p.Type() != quant.F16 {
				if w.peak = limit.Int8; p.Type() == quant.BF16 {
					w.peak = limit.BF16
				}
			}
		}
	}
	for _, b := range m.Blocks {
		switch a := b.Attention.(type) {
		case *model.GQA:
			add(1, a.Q, a.K, a.V, a.Out)
		case *model.MLA:
			add(1, a.QA, a.QB, a.KVA, a.Out)
			c := m.Config.MLA
			up := float64(m.Config.Heads * (c.Nope + c.Value) * c.KVRank) // kept in float32
			w.blocks, w.bytes = w.blocks+up, w.bytes+4*up
		}
		switch f := b.FFN.(type) {
		case *model.MLP:
			add(1, f.Gate, f.Up, f.Down)
		case *model.MoE:
			add(1, f.Router)
			for _, e := range f.Experts {
				add(float64(m.Config.MoE.TopK)/float64(len(f.Experts)), e.Gate, e.Up, e.Down)
			}
			if f.Shared != nil {
				add(1, f.Shared.Gate, f.Shared.Up, f.Shared.Down)
			}
		}
	}
	before := w.blocks
	add(1, m.Head)
	w.head, w.blocks = w.blocks-before, before
	return w
}

func bytesOf(x tensor.Weight) float64 {
	if b, ok := x.(interface{ Bytes() int }); ok {
		return float64(b.Bytes())
	}
	out, in := x.Dims()
	return 4 * float64(out) * float64(in)
}
