package model

import (
	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
)

// MoE is DeepSeekMoE: the shared experts, which every token passes, and TopK of the routed ones.
// Source: DeepSeek-V2 arXiv 2405.04434 section 2.2; gate of DeepSeek-V3 arXiv 2412.19437 section 2.1.2.
type MoE struct {
	Router  tensor.Weight // ffn_gate_inp.weight [E, D]
	Experts []op.Expert   // ffn_{gate,up}_exps.weight [E, F, D], ffn_down_exps.weight [E, D, F]
	Shared  *MLP          // ffn_{gate,up,down}_shexp.weight, or nil

	gate op.Gate
}

func (m *MoE) forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor {
	choice := op.Route(p, op.Linear(p, x, m.Router, nil), m.gate)
	y := op.Experts(p, x, choice, m.Experts)
	if m.Shared == nil {
		return y
	}
	return op.Add(p, y, m.Shared.forward(p, x))
}
