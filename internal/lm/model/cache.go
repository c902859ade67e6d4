package model

import (
	"encoding/binary"
	"fmt"
	"io"

	"retort/internal/compute/op"
)

// KVCache is what a model keeps of one sequence: keys and values of the first Len positions in every layer. Page k
// holds positions [op.Page·k, op.Page·(k+1)); its owner appends pages before a batch fills them.
type KVCache struct {
	Len int

	pool   *CachePool
	pages  []*CachePage
	data   []*op.PageData // of the pages
	layers []op.KV
}

// CachePage is op.Page positions of every layer, which several caches may hold.
type CachePage struct {
	data op.PageData
	refs int
}

// CachePool hands out pages within a budget. One goroutine uses a pool; a page's memory is made when first needed and
// used again after the last reference to it is gone.
type CachePool struct {
	layers []op.KV // their places in a page
	size   op.PageSize
	most   int // pages
	taken  int
	free   []*CachePage
}

// kvShape returns the heads of layer i, and the widths of a key and of a value.
func (m *Model) kvShape(i int) op.KV {
	if a := m.Config.MLA; a != nil {
		return op.KV{Heads: 1, Key: a.KVRank + a.Rope, Value: a.KVRank}
	}
	return op.KV{Heads: m.Config.layer(i).KVHeads, Key: m.Config.HeadDim, Value: m.Config.HeadDim}
}

// kvLayout returns the layers of a cache of type t and the size of a page.
func (m *Model) kvLayout(t op.CacheType) ([]op.KV, op.PageSize) {
	layers := make([]op.KV, len(m.Blocks))
	for i := range layers {
		layers[i] = m.kvShape(i)
	}
	return layers, op.Layout(t, layers)
}

// NewCachePool returns a pool of as many pages of type t as budget bytes hold, at least one.
func (m *Model) NewCachePool(t op.CacheType, budget int64) *CachePool {
	layers, size := m.kvLayout(t)
	return &CachePool{layers: layers, size: size, most: int(max(budget/size.Bytes(), 1))}
}

// CacheBytes returns what a cache of n positions takes for m.
func (m *Model) CacheBytes(n int, t op.CacheType) int {
	_, size := m.kvLayout(t)
	return (n + op.Page - 1) / op.Page * int(size.Bytes())
}

// PageBytes returns the memory of a page.
func (p *CachePool) PageBytes() int64 { return p.size.Bytes() }

// Capacity returns how many pages there can be at most.
func (p *CachePool) Capacity() int { return p.most }

// Free returns how many pages Take can still give.
func (p *CachePool) Free() int { return p.most - p.taken }

// Take returns a page of zeros with one reference, or nil where the pool is full.
func (p *CachePool) Take() *CachePage {
	pg, old := p.take()
	if old {
		pg.data.Clear() // what somebody else's answer left is nobody's business
	}
	return pg
}

// take returns a page of any content, and whether it was used before.
func (p *CachePool) take() (pg *CachePage, old bool) {
	if p.taken == p.most {
		return nil, false
	}
	p.taken++
	if n := len(p.free); n > 0 {
		pg, p.free = p.free[n-1], p.free[:n-1]
		pg.refs = 1
		return pg, true
	}
	return &CachePage{data: p.size.New(), refs: 1}, false
}

// Copy returns a page of its own with the content of pg, to be written; nil where the pool is full.
func (p *CachePool) Copy(pg *CachePage) *CachePage {
	own, _ := p.take()
	if own != nil {
		own.data.CopyFrom(&pg.data)
	}
	return own
}

// Retain adds a reference to pg.
func (p *CachePool) Retain(pg *CachePage) { pg.refs++ }

// Release takes a reference from pg; with the last one the page goes back. It panics on one too many.
func (p *CachePool) Release(pg *CachePage) {
	if pg.refs == 0 {
		panic("model: CachePool: a page is released that nobody holds")
	}
	if pg.refs--; pg.refs == 0 {
		p.taken--
		p.free = append(p.free, pg)
	}
}

// WritePage writes the first n positions of pg, little endian: floats, bf16, or scales and then codes. In the place of the
// others stands nothing: a page that was copied holds there what belongs to another sequence.
func (p *CachePool) WritePage(w io.Writer, pg *CachePage, n int) error {
	if n < op.Page {
		clipped := &CachePage{data: p.size.New()}
		clipped.data.CopyFrom(&pg.data)
		for i := range p.layers {
			p.layers[i].Forget(&clipped.data, n)
		}
		pg = clipped
	}
	for _, part := range pg.parts() {
		if err := binary.Write(w, binary.LittleEndian, part); err != nil {
			return fmt.Errorf("model: writing a page of the cache: %w", err)
		}
	}
	return nil
}

// ReadPage sets the content of pg to what WritePage wrote from a pool of the same model and type.
func (p *CachePool) ReadPage(r io.Reader, pg *CachePage) error {
	for _, part := range pg.parts() {
		if err := binary.Read(r, binary.LittleEndian, part); err != nil {
			return fmt.Errorf("model: reading a page of the cache: %w", err)
		}
	}
	return nil
}

// parts returns the slices of a page that are not empty.
func (pg *CachePage) parts() []any {
	var parts []any
	if pg.data.F32 != nil {
		parts = append(parts, pg.data.F32)
	}
	if pg.data.B16 != nil {
		parts = append(parts, pg.data.B16)
	}
	if pg.data.Q8 != nil {
		parts = append(parts, pg.data.Q8)
	}
	return parts
}

// NewCache returns an empty cache over p's pages.
func (p *CachePool) NewCache() *KVCache {
	return &KVCache{pool: p, layers: append([]op.KV(nil), p.layers...)}
}

// Layer gives an op the part of layer i.
func (c *KVCache) Layer(i int) *op.KV {
	kv := &c.layers[i]
	kv.Pages = c.data
	return kv
}

// Pages returns the pages in order.
func (c *KVCache) Pages() []*CachePage { return c.pages }

// Append adds pg behind the others and takes over the reference.
func (c *KVCache) Append(pg *CachePage) {
	c.pages, c.data = append(c.pages, pg), append(c.data, &pg.data)
}

// Replace makes pg page i: it takes over its reference and releases the old one.
func (c *KVCache) Replace(i int, pg *CachePage) {
	c.pool.Release(c.pages[i])
	c.pages[i], c.data[i] = pg, &pg.data
}

// Truncate forgets the positions from n on, and gives back the pages beyond those that hold n positions.
func (c *KVCache) Truncate(n int) {
	c.Len = min(c.Len, n)
	keep := min((n+op.Page-1)/op.Page, len(c.pages))
	for _, pg := range c.pages[keep:] {
		c.pool.Release(pg)
	}
	clear(c.pages[keep:])
	clear(c.data[keep:])
	c.pages, c.data = c.pages[:keep], c.data[:keep]
}

// Refs returns how many references to the page there are.
func (pg *CachePage) Refs() int { return pg.refs }
