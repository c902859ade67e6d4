// Package model writes each model once: Forward over the ops of package op, the same for prefill, decoding and
// training. Whether a weight is quantized is the weight's affair, whether something learns is the tape's, which
// rows belong together is the batch's.
//
// It knows token ids and no text. Open this file first, then mla.go and moe.go; load.go binds stored tensors.
//
// Letters: T rows (tokens), D width, H query heads, K key/value heads, d head width, F feed-forward width, V vocabulary.
package model

import (
	"errors"

	"retort/internal/compute/op"
	"retort/internal/compute/tensor"
	"retort/internal/format/weights"
)

// Model is a decoder-only transformer.
type Model struct {
	Config Config
	Embed  tensor.Weight // token_embd.weight [V, D]
	Blocks []*Block
	Norm   *tensor.Vector // output_norm.weight [D]
	Head   tensor.Weight  // output.weight [V, D], or Embed where they are tied

	// Recompute keeps only each block's input for the backward pass and runs the block again there: a third more
	// work, a tenth of the memory.
	Recompute bool
	// Float32 says that every matrix is stored as float32: all of the computation is in float32 then.
	Float32 bool

	params  []Param
	lora    *LoRAConfig        // what was asked for, or nil
	adapted map[string][]*LoRA // by the stored tensor that they change
	source  weights.Source     // of the stored tensors

	precision tensor.Precision // of the products of what learns
	frozen    int              // bytes of the packed weights
	integers  bool             // products of a block take int8 inputs
	close     []func() error
}

// Block is one layer: x + Attention(norm(x)), then x + FFN(norm(x)).
type Block struct {
	AttnNorm  *tensor.Vector // attn_norm.weight [D]
	Attention interface {
		forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor // [T, D] -> [T, D]
	}
	FFNNorm *tensor.Vector // ffn_norm.weight [D]
	FFN     interface {
		forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor // [T, D] -> [T, D]
	}
	eps float32
}

// Hidden returns the last hidden states after the final norm, [T, D], of the rows of p.Batch.
func (m *Model) Hidden(p *op.Pass) *tensor.Tensor {
	x := op.Embed(p, m.Embed) // [T, D]
	for _, b := range m.Blocks {
		x = op.Apply(p, b, x, m.Recompute)
	}
	return op.RMSNorm(p, x, m.Norm, float32(m.Config.Eps))
}

// Logits returns the logits of the rows named, [len(rows), V].
func (m *Model) Logits(p *op.Pass, rows []int) *tensor.Tensor {
	return op.Logits(p, m.Hidden(p), m.Head, rows)
}

// Loss returns the mean negative log-likelihood of the labels, weighted; see op.CrossEntropy. With a tape the
// gradients wait for Tape.Backward.
func (m *Model) Loss(p *op.Pass, labels []op.Label, total float32) float64 {
	return op.CrossEntropy(p, m.Hidden(p), m.Head, labels, total)
}

// Close gives back the memory of the weights and the file they lie in.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.close {
		errs = append(errs, f())
	}
	m.close = nil
	return errors.Join(errs...)
}

// Forward is the layer itself.
func (b *Block) Forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor {
	x = op.Add(p, x, b.Attention.forward(p, op.RMSNorm(p, x, b.AttnNorm, b.eps)))
	return op.Add(p, x, b.FFN.forward(p, op.RMSNorm(p, x, b.FFNNorm, b.eps)))
}

// GQA is grouped-query attention: H query heads share K key and value heads.
// Source: Ainslie et al. 2023, arXiv 2305.13245.
type GQA struct {
	Q, K, V      tensor.Weight  // attn_{q,k,v}.weight [H·d, D], [K·d, D], [K·d, D]
	QB, KB, VB   *tensor.Vector // attn_{q,k,v}.bias, or nil
	QNorm, KNorm *tensor.Vector // attn_{q,k}_norm.weight [d], or nil (qwen3)
	Out          tensor.Weight  // attn_output.weight [D, H·d]
	OutB         *tensor.Vector // attn_output.bias [D], or nil

	layer int
	heads op.Heads
	rope  *op.RopeTable
	eps   float32
}

func (a *GQA) forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor {
	qkv := op.Linear3(p, x, [3]tensor.Weight{a.Q, a.K, a.V}, [3]*tensor.Vector{a.QB, a.KB, a.VB})
	q, k, v := qkv[0], qkv[1], qkv[2] // [T, H·d], [T, K·d], [T, K·d]
	if a.QNorm != nil {
		q, k = op.RMSNorm(p, q, a.QNorm, a.eps), op.RMSNorm(p, k, a.KNorm, a.eps)
	}
	op.Rope(p, q, a.rope, a.heads.Key, 0)
	op.Rope(p, k, a.rope, a.heads.Key, 0)
	y := op.Attention(p, a.layer, a.heads, q, k, v) // [T, H·d]
	return op.Linear(p, y, a.Out, a.OutB)
}

// MLP is the gated feed-forward network: Down(silu(Gate x)·(Up x)).
type MLP struct {
	Gate, Up, Down    tensor.Weight  // ffn_{gate,up}.weight [F, D], ffn_down.weight [D, F]
	GateB, UpB, DownB *tensor.Vector // ffn_{gate,up,down}.bias [F], [F], [D], or nil
}

func (m *MLP) forward(p *op.Pass, x *tensor.Tensor) *tensor.Tensor {
	gate, up := m.gateUp(p, x) // [T, F]
	return op.Linear(p, op.SwiGLU(p, gate, up), m.Down, m.DownB)
}

func (m *MLP) gateUp(p *op.Pass, x *tensor.Tensor) (gate, up *tensor.Tensor) {
	if m.GateB == nil {
		return op.Linear2(p, x, m.Gate, m.Up)
	}
	return op.Linear(p, x, m.Gate, m.GateB), op.Linear(p, x, m.Up, m.UpB)
}
