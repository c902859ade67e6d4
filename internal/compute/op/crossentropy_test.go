package op

import (
	"math"
	"math/rand/v2"
	"testing"

	"retort/internal/compute/tensor"
)

// TestCrossEntropy holds loss and gradients to their definition in float64, for labels of less than a slice, of whole
// slices and of some more; a row may have several labels, and others none.
func TestCrossEntropy(t *testing.T) {
	const vocab, d, total = 21, 6, 3.5
	for _, n := range []int{0, 1, 3, LossRows - 1, LossRows, LossRows + 1, 2 * LossRows, 2*LossRows + 9} {
		rng := rand.New(rand.NewPCG(1, 10))
		head, h := dense(rng, vocab, d), x(rng, n+2, d)
		labels := make([]Label, n)
		for i := range labels {
			labels[i] = Label{Row: rng.IntN(n + 2), Token: int32(rng.IntN(vocab)), Weight: 0.25 + rng.Float32()}
		}
		wantLoss, dh, dw := crossEntropy64(h, head, labels, total)

		p := newPass(t, rows(n+2))
		if got := CrossEntropy(p, h, head, labels, total); !(math.Abs(got-wantLoss) <= 1e-5*(1+wantLoss)) {
			t.Errorf("%d labels: loss %g, want %g", n, got, wantLoss)
		}
		p.Tape = &Tape{}
		if got := CrossEntropy(p, h, head, labels, total); !(math.Abs(got-wantLoss) <= 1e-5*(1+wantLoss)) {
			t.Errorf("%d labels: loss %g with a tape, want %g", n, got, wantLoss)
		}
		p.Tape.Backward(p)
		near(t, "hidden", h.Grad, dh, 1e-5)
		near(t, "head", head.Grad, dw, 1e-5)
	}
}

// crossEntropy64 returns the loss and the gradients of x and head.
func crossEntropy64(x *tensor.Tensor, head *tensor.Dense, labels []Label, total float64) (loss float64, dx, dw []float64) {
	vocab, d := head.Dims()
	dx, dw = make([]float64, len(x.Data)), make([]float64, len(head.Data))
	for _, l := range labels {
		z, sum := make([]float64, vocab), 0.0
		for v := range z {
			for j, a := range x.Row(l.Row) {
				z[v] += float64(a) * float64(head.Data[v*d+j])
			}
			sum += math.Exp(z[v])
		}
		share := float64(l.Weight) / total
		loss += share * (math.Log(sum) - z[l.Token])
		for v := range z {
			g := share * math.Exp(z[v]) / sum
			if v == int(l.Token) {
				g -= share
			}
			for j, a := range x.Row(l.Row) {
				dx[l.Row*d+j] += g * float64(head.Data[v*d+j])
				dw[v*d+j] += g * float64(a)
			}
		}
	}
	return loss, dx, dw
}

// near holds got to want within a share of the largest.
func near(t *testing.T, what string, got []float32, want []float64, share float64) {
	t.Helper()
	most := 0.0
	for _, w := range want {
		most = max(most, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= share*most) {
			t.Errorf("%s[%d]: %g, want %g within %g", what, i, got[i], w, share*most)
			return
		}
	}
}

// TestLogits: the rows asked for, in their order, one of them twice.
func TestLogits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 15))
	head, h := dense(rng, 19, 6), x(rng, 5, 6)
	z := Logits(newPass(t, rows(5)), h, head, []int{4, 0, 4})
	for i, row := range []int{4, 0, 4} {
		want := make([]float64, 19)
		for v := range want {
			for j, a := range h.Row(row) {
				want[v] += float64(a) * float64(head.Data[v*6+j])
			}
		}
		near(t, "logits", z.Row(i), want, 1e-5)
	}
}
