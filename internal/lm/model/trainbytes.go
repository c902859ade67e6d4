package model

import (
	"retort/internal/compute/op"
	"retort/internal/compute/quant"
	"retort/internal/compute/tensor"
)

// TrainBytes estimates the anonymous memory that training m takes when a pass has tokens rows, with m.Recompute as it
// stands: weights, their panels, gradients and moments, and at the fullest moment of a pass the activations. The file
// that the weights were read from is not counted: the system takes its pages back when it needs them.
//
// Against what the process held (RssAnon less that before Load, after three steps of 512 tokens in bf16, two workers) it
// was off by -1 to +4 % for smollm2-135m (full 3.5 GB and 2.9 GB with Recompute, LoRA of rank 16 1.1 GB and 0.37 GB) and
// by +5 to +10 % for the shape of stories260k (12 to 23 MB). BenchmarkTrainBytes measures it again. Of a mixture of
// experts with Recompute the activations are given too high, by a sixth.
func (m *Model) TrainBytes(tokens int) int {
	return processBytes + m.lastingBytes() + m.passBytes(tokens)
}

// processBytes is what is there besides, as measured: stacks, the workers' scratch and what the garbage collector has
// not given back.
const processBytes = 2 << 20

// lastingBytes is what lasts from step to step: 16 bytes a trainable value (value, gradient, two moments), the panels
// over rows and over columns of every dense matrix, and the frozen weights as they are packed.
func (m *Model) lastingBytes() int {
	n := quant.ArenaBytes(m.frozen)
	for _, p := range m.params {
		switch {
		case p.Vector != nil:
			n += learnedBytes * len(p.Vector.Data)
		case p.Weight != nil:
			n += learnedBytes * len(p.Weight.Data)
			if p.Name != "token_embd.weight" || m.Config.Tied { // otherwise its rows are looked up and never multiplied
				n += m.panelBytes(p.Weight.Dims())
			}
		case p.factor != nil:
			n += learnedBytes*len(p.factor.data) + m.panelBytes(p.factor.rows, p.factor.cols)
		default:
			for _, w := range p.parts {
				n += learnedBytes*len(w.Data) + m.panelBytes(w.Dims())
			}
		}
	}
	for _, ws := range m.adapted {
		if d, ok := ws[0].base.(*tensor.Dense); ok {
			n += 4*len(d.Data) + m.panelBytes(d.Dims())
		}
	}
	return n
}

// learnedBytes is what a trainable value takes: itself, its gradient and the two moments of optim.AdamW, all float32.
const learnedBytes = 4 * 4

func (m *Model) panelBytes(out, in int) int {
	return m.precision.PanelBytes(out, in) + m.precision.PanelBytes(in, out)
}

// activations are the tensors of part of a model at so many rows, as their widths.
type activations struct {
	rows  int
	plain []int // kept in float32
	input []int // kept in float32 and in the form that products take
}

// bytes is what a Run hands out for them.
func (a activations) bytes(m *Model) (n int) {
	for _, w := range a.plain {
		n += tensor.TensorBytes(a.rows, w)
	}
	for _, w := range a.input {
		n += tensor.TensorBytes(a.rows, w) + m.formBytes(a.rows, w)
	}
	return n
}

// formBytes is what the converted forms of an input of products take.
func (m *Model) formBytes(rows, width int) (n int) {
	n = m.precision.OperandBytes(rows, width)
	if m.integers {
		n += tensor.Int8Bytes(rows, width)
	}
	return n
}

// passBytes is what a Run holds after a pass: the activations of every block, or with Recompute the input of each and
// the activations of one, and what undoing a block and the output head take besides. They add up because a Run hands
// memory out by size and keeps it.
func (m *Model) passBytes(tokens int) int {
	width := activations{rows: tokens, plain: []int{m.Config.Width}}.bytes(m)
	total := 3 * width        // the embedding, the last norm and dx of the head
	var dense, mixture [2]int // the most that a block keeps, and takes besides: the sizes of one kind do not fit the other
	for _, b := range m.Blocks {
		kept, back := m.blockBytes(b, tokens)
		if m.Recompute {
			total += width
		} else {
			total += kept
			kept = 0
		}
		most := &dense
		if _, ok := b.FFN.(*MoE); ok {
			most = &mixture
		}
		most[0], most[1] = max(most[0], kept), max(most[1], back)
	}
	return total + dense[0] + dense[1] + mixture[0] + mixture[1] + m.headBytes(tokens) + m.narrowBytes(tokens)
}

// blockBytes is what the forward pass of b keeps, and what undoing it takes besides: gradients on their way down, and
// for the gradient of a dense matrix dy and x in another order.
func (m *Model) blockBytes(b *Block, tokens int) (kept, back int) {
	c := m.Config
	a := activations{rows: tokens, plain: []int{c.Width, c.Width, c.Width, c.Width}, input: []int{c.Width, c.Width}} // sums and outputs; norms
	switch at := b.Attention.(type) {
	case *GQA:
		q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
		a.plain = append(a.plain, q, kv, kv)
		if at.QNorm != nil {
			a.plain = append(a.plain, q, kv)
		}
		a.input = append(a.input, q)
	case *MLA:
		s := at.shape
		q, k, v := s.Heads*(s.Nope+s.Rope), s.Heads*(s.Nope+s.Rope), s.Heads*s.Value
		a.plain = append(a.plain, q, s.Rank+s.Rope, s.Rank, s.Rope, s.Heads*(s.Nope+s.Value), k, v)
		a.input = append(a.input, s.Rank, v)
		if at.QA != nil {
			a.plain, a.input = append(a.plain, c.MLA.QRank), append(a.input, c.MLA.QRank)
		}
	}
	wide := activations{rows: tokens} // the widest network of the block
	switch f := b.FFN.(type) {
	case *MLP:
		wide.plain, wide.input = []int{c.FFN, c.FFN}, []int{c.FFN}
	case *MoE:
		e := c.MoE
		routed := activations{rows: tokens * e.TopK, plain: []int{e.FFN, e.FFN, c.Width}, input: []int{c.Width, e.FFN}}
		kept += routed.bytes(m)
		a.plain = append(a.plain, e.Experts, e.Experts, e.TopK)
		if f.Shared != nil {
			s := e.Shared * e.FFN
			wide.plain, wide.input = []int{s, s, c.Width}, []int{s}
		}
	}
	kept += a.bytes(m) + wide.bytes(m)
	for _, w := range wide.plain {
		back += tensor.TensorBytes(tokens, w)
	}
	for _, w := range wide.input {
		back += tensor.TensorBytes(tokens, w)
		back += m.orderBytes(w, c.Width, tokens)
	}
	return kept, back + 3*tensor.TensorBytes(tokens, c.Width)
}

// orderBytes is what the gradients of a dense [out, in] and of one of [in, out], and that of its input, take in passing.
func (m *Model) orderBytes(out, in, tokens int) int {
	if m.lora != nil {
		return tensor.BFloat16.OperandBytes(tokens, max(out, in)) // dy
	}
	return m.precision.AccGradBytes(out, in, tokens) + m.precision.AccGradBytes(in, out, tokens) + m.precision.MatMulTBytes(out, tokens)
}

// headBytes is what the loss takes if every row has a label: logits, which become their own gradient, and that in bf16.
func (m *Model) headBytes(tokens int) int {
	c, rows := m.Config, min(op.LossRows, tokens)
	n := tensor.TensorBytes(rows, c.Vocab) + 2*tensor.TensorBytes(rows, c.Width) + m.formBytes(rows, c.Width) + tensor.BFloat16.OperandBytes(rows, c.Vocab)
	if m.lora == nil {
		n += tensor.BFloat16.ScratchPanelBytes(c.Width, rows)
	}
	return n
}

// narrowBytes is the scratch of the LoRAs: u of each, and what they share.
func (m *Model) narrowBytes(tokens int) int {
	if m.lora == nil {
		return 0
	}
	size, n := m.precision.ValueBytes(), 0
	for _, ws := range m.adapted {
		rows := len(ws) * tokens
		if len(ws) > 1 { // experts share the rows
			rows = min(rows, 2*tokens*m.Config.MoE.TopK)
		}
		n += size * rows * m.lora.Rank
	}
	return n + 3*size*tokens*m.lora.Rank
}

// packed says whether products of w take int8 inputs.
func packed(w tensor.Weight) bool {
	if l, ok := w.(*LoRA); ok {
		w = l.base
	}
	_, ok := w.(*quant.Packed)
	return ok
}

// out returns the output projection of the attention.
func (b *Block) out() tensor.Weight {
	switch a := b.Attention.(type) {
	case *GQA:
		return a.Out
	case *MLA:
		return a.Out
	}
	return nil
}
