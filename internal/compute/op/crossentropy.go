package op

import (
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// LossRows is how many labelled rows meet the output head at a time: the logits that exist at once are
// [LossRows, V], 50 MB for a vocabulary of 49152.
const LossRows = 256

// A Label asks row Row of the hidden states to predict Token, with a Weight in the mean.
type Label struct {
	Row    int
	Token  int32
	Weight float32
}

// CrossEntropy returns Σ_i w_i·(−log softmax(W·x[row_i])[token_i]) / total over the labels, natural logarithm.
//
// x is [T, D], head is [V, D]. total is the sum of weights of the whole step (several batches may be accumulated).
// With a tape the gradients are computed here, slice by slice, so that neither the logits of all rows nor
// their gradients exist: dlogits = w/total·(softmax − onehot); dx = dlogits·W, dW += dlogitsᵀ·x.
func CrossEntropy(p *Pass, x *tensor.Tensor, head tensor.Weight, labels []Label, total float32) float64 {
	vocab, _ := head.Dims()
	var dx *tensor.Tensor
	if p.Tape != nil {
		dx = p.New(x.Rows, x.Cols)
		clear(dx.Data)
	}
	loss := 0.0
	nll := make([]float64, LossRows)
	for at := 0; at < len(labels); at += LossRows {
		part := labels[at:min(at+LossRows, len(labels))]
		mark := p.Run.Mark()
		h := p.New(len(part), x.Cols)
		for i, l := range part {
			copy(h.Row(i), x.Row(l.Row))
		}
		logits := p.New(len(part), vocab)
		tensor.MatMul(p.Run, logits, h, head)
		if p.Tape != nil {
			logits.Grad = logits.Data // the gradient replaces the logits
		}
		p.Run.Rows(len(part), func(lo, hi, _ int) {
			for i := lo; i < hi; i++ {
				nll[i] = lossRow(logits.Row(i), part[i], total)
			}
		})
		for i, l := range part {
			loss += nll[i] * float64(l.Weight)
		}
		if p.Tape != nil {
			p.lossBackward(dx, h, logits, head, part)
			logits.Grad = nil
		}
		p.Run.Release(mark)
	}
	if p.Tape != nil {
		p.Tape.push(&crossEntropy{x, dx})
	}
	return loss / float64(total)
}

// lossRow returns −log softmax(z)[token] and leaves in z the gradient of its share of the loss.
func lossRow(z []float32, l Label, total float32) float64 {
	most := z[0]
	for _, v := range z {
		most = max(most, v)
	}
	target := z[l.Token]
	sum := kernel.ExpSum(z, most)
	kernel.Scale(l.Weight/(total*sum), z)
	z[l.Token] -= l.Weight / total
	return math.Log(float64(sum)) + float64(most) - float64(target)
}

func (p *Pass) lossBackward(dx, h, logits *tensor.Tensor, head tensor.Weight, part []Label) {
	head.AccGrad(p.Run, logits, h)
	head.MatMulT(p.Run, h, logits)
	for i, l := range part {
		kernel.Add(dx.Row(l.Row), h.Grad[i*h.Cols:(i+1)*h.Cols])
	}
}

type crossEntropy struct{ x, dx *tensor.Tensor }

func (s *crossEntropy) output() *tensor.Tensor { return nil }

func (s *crossEntropy) backward(p *Pass) {
	kernel.Add(p.Run.Zeroed(s.x), s.dx.Data)
	p.Run.Free(s.dx)
}

// Logits returns W·x[rows]ᵀ, [len(rows), V], of the rows named: the head runs only where somebody looks.
func Logits(p *Pass, x *tensor.Tensor, head tensor.Weight, rows []int) *tensor.Tensor {
	vocab, _ := head.Dims()
	h := p.New(len(rows), x.Cols)
	for i, t := range rows {
		copy(h.Row(i), x.Row(t))
	}
	z := p.New(len(rows), vocab)
	tensor.MatMul(p.Run, z, h, head)
	return z
}
