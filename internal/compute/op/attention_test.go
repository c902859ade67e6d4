package op

import (
	"math/rand/v2"
	"testing"

	"retort/internal/compute/tensor"
)

// TestAttentionGradient: sequences within a tile and beyond two of them, whose rows and widths fill no panel.
func TestAttentionGradient(t *testing.T) {
	for _, c := range []struct {
		hs      Heads
		lengths []int
	}{
		{Heads{Query: 4, KV: 2, Key: 5, Value: 3, Scale: 0.4}, []int{6, 3}},
		{Heads{Query: 2, KV: 1, Key: 3, Value: 5, Scale: 0.7}, []int{2, 2*queryTile + 7}},
		{Heads{Query: 1, KV: 1, Key: 17, Value: 1, Scale: 0.2}, []int{queryTile + 1}},
	} {
		rng := rand.New(rand.NewPCG(1, 6))
		b := rows(c.lengths...)
		n := b.Rows()
		in := []*tensor.Tensor{x(rng, n, c.hs.Query*c.hs.Key), x(rng, n, c.hs.KV*c.hs.Key), x(rng, n, c.hs.KV*c.hs.Value)}
		check(t, b, in, nil, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			return Attention(p, 0, c.hs, in[0], in[1], in[2])
		})
	}
}

func TestLatentAttentionGradient(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 7))
	s := Latent{Heads: 2, Nope: 4, Rope: 2, Value: 3, Rank: 5, Scale: 0.4}
	w := dense(rng, 2*7, 5)
	up := NewLatentUp(w, s)
	check(t, rows(5, 2), []*tensor.Tensor{x(rng, 7, 12), x(rng, 7, 5), x(rng, 7, 2)}, []input{ofDense("up", w)}, func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
		return LatentAttention(p, 0, in[0], in[1], in[2], up)
	})
}
