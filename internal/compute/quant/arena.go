package quant

import "retort/internal/compute/par"

// Arena is memory for the packed weights of a model: outside of the Go heap, so that no garbage collection looks at
// it, and on huge pages where the system has them, which the kernels read half as fast again. Its weights may not
// be used after Close.
type Arena struct {
	pool   *par.Pool
	chunks [][]byte
	rest   []byte // of the last chunk
	used   int
}

// NewArena returns an empty arena whose weights are packed by the workers of pool. A nil pool packs in the caller.
func NewArena(pool *par.Pool) *Arena { return &Arena{pool: pool} }

// Bytes returns how many bytes the weights hold.
func (a *Arena) Bytes() int { return a.used }

// Close gives the memory back.
func (a *Arena) Close() error {
	var first error
	for _, c := range a.chunks {
		if err := unmapChunk(c); err != nil && first == nil {
			first = err
		}
	}
	a.chunks, a.rest, a.used = nil, nil, 0
	return first
}

const (
	hugePage = 2 << 20
	// A chunk is much larger than most weights, so that they share their last huge pages. Untouched memory costs nothing.
	chunkBytes = 256 << 20
	// Weights start at lines of cache.
	weightAlign = 64
)

// ArenaBytes is what the system gives for an arena that holds so many bytes: whole huge pages.
func ArenaBytes(n int) int { return (n + hugePage - 1) &^ (hugePage - 1) }

// take returns n bytes of zeros, from the Go heap if a is nil.
func (a *Arena) take(n int) ([]byte, error) {
	if a == nil {
		return make([]byte, n), nil
	}
	size := (n + weightAlign - 1) &^ (weightAlign - 1)
	if size > len(a.rest) {
		chunk, err := mapChunk(max(chunkBytes, ArenaBytes(size)))
		if err != nil {
			return nil, err
		}
		a.chunks = append(a.chunks, chunk)
		a.rest = alignHuge(chunk)
	}
	b := a.rest[:n:n]
	a.rest = a.rest[size:]
	a.used += size
	return b, nil
}

// run does the parts of a job on the pool, or in the caller where there is none.
func (a *Arena) run(j par.Job, parts int) {
	if a == nil || a.pool == nil {
		for i := range parts {
			j.Part(i, 0)
		}
		return
	}
	a.pool.Run(j, parts)
}
