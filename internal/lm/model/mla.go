package model

import (
	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
)

// MLA is multi-head latent attention: keys and values of all heads come from one latent of width L a token, which
// is all that a cache keeps, beside a rotated key of width R that the heads share.
// Source: DeepSeek-V2, arXiv 2405.04434, section 2.1; the symbols are the paper's.
type MLA struct {
	QA    tensor.Weight  // W^DQ attn_q_a.weight [q rank, D], or nil (V2-Lite)
	QNorm *tensor.Vector // attn_q_a_norm.weight [q rank], or nil
	QB    tensor.Weight  // W^UQ, W^QR attn_q_b.weight [H·(N+R), q rank], or attn_q.weight [H·(N+R), D]
	KVA   tensor.Weight  // W^DKV, W^KR attn_kv_a_mqa.weight [L+R, D]
	KNorm *tensor.Vector // attn_kv_a_norm.weight [L]
	Up    *op.LatentUp   // W^UK, W^UV attn_kv_b.weight [H·(N+V), L]
	Out   tensor.Weight  // attn_output.weight [D, H·V]

	layer int
	shape op.Latent
	rope  *op.RopeTable
	eps   float32
}

func (a *MLA) forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor {
	s := a.shape
	q := x
	if a.QA != nil {
		q = op.RMSNorm(p, op.Linear(p, x, a.QA, nil), a.QNorm, a.eps) // [T, q rank]
	}
	q = op.Linear(p, q, a.QB, nil)                            // [T, H·(N+R)]
	c, kr := op.Split(p, op.Linear(p, x, a.KVA, nil), s.Rank) // [T, L], [T, R]
	c = op.RMSNorm(p, c, a.KNorm, a.eps)
	op.Rope(p, q, a.rope, s.Nope+s.Rope, s.Nope)
	op.Rope(p, kr, a.rope, s.Rope, 0)
	y := op.LatentAttention(p, a.layer, q, c, kr, a.Up) // [T, H·V]
	return op.Linear(p, y, a.Out, nil)
}
