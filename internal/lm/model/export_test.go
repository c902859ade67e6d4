package model

import "retort/internal/compute/op"

// PassBytes is the part of TrainBytes that a Run holds.
func (m *Model) PassBytes(tokens int) int { return m.passBytes(tokens) }

// NewCacheOf returns a cache with pages for n positions.
func NewCacheOf(m *Model, t op.CacheType, n int) *KVCache { return newCache(m, t, n) }
