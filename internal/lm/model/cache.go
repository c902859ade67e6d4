package model

import "retort/internal/compute/op"

// KVCache is what a model keeps of one sequence: keys and values of the first Len positions in every layer.
type KVCache struct {
	Len    int
	layers []op.KV
}

// NewCache returns an empty cache for m, in bf16 if half is set, else in float32.
func (m *Model) NewCache(half bool) *KVCache {
	c := &KVCache{layers: make([]op.KV, len(m.Blocks))}
	for i := range c.layers {
		kv := op.KV{Heads: m.Config.KVHeads, Key: m.Config.HeadDim, Value: m.Config.HeadDim, Half: half}
		if a := m.Config.MLA; a != nil {
			kv = op.KV{Heads: 1, Key: a.KVRank + a.Rope, Value: a.KVRank, Half: half}
		}
		c.layers[i] = kv
	}
	return c
}

// Layer gives an op the part of layer i.
func (c *KVCache) Layer(i int) *op.KV { return &c.layers[i] }

// Truncate forgets the positions from n on.
func (c *KVCache) Truncate(n int) {
	if n < c.Len {
		c.Len = n
		for i := range c.layers {
			c.layers[i].Shrink(n)
		}
	}
}

// CopyFrom makes c hold the first n positions of src, a cache of the same model.
func (c *KVCache) CopyFrom(src *KVCache, n int) {
	for i := range c.layers {
		c.layers[i].CopyFrom(&src.layers[i], n)
	}
	c.Len = n
}

// CacheBytes returns what a cache of n positions takes for m.
func (m *Model) CacheBytes(n int, half bool) int {
	width := 2 * m.Config.KVHeads * m.Config.HeadDim
	if a := m.Config.MLA; a != nil {
		width = 2*a.KVRank + a.Rope
	}
	bytes := 4
	if half {
		bytes = 2
	}
	return (n + op.Page - 1) / op.Page * op.Page * width * len(m.Blocks) * bytes
}
