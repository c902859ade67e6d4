package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Page is how many positions a page of a KV holds. Attention sums over pages in order, so the length is part of
// the definition of a result.
const Page = 64

// KV is what one layer keeps of one sequence: for each position a key and a value per head, in pages.
//
// Both are stored as panels, the order in which products read them: keys [Page/16][Key][16 positions], values
// [Value/16][Page positions][16]. So attending to a page needs no packing, and prefill and decoding, which use
// the same products, give the same bits.
type KV struct {
	Heads, Key, Value int  // heads; width of a key and of a value
	Half              bool // bf16 instead of float32

	pages []page // [positions/Page][Heads], flat
}

// page is Page positions of one head; either the float32 or the bf16 slices are set.
type page struct {
	k32, v32 []float32
	k16, v16 []uint16
}

// Reserve makes room for n positions.
func (c *KV) Reserve(n int) {
	k, v := c.Key*Page, (c.Value+kernel.Panel-1)/kernel.Panel*kernel.Panel*Page
	for len(c.pages) < (n+Page-1)/Page*c.Heads {
		if c.Half {
			b := make([]uint16, k+v)
			c.pages = append(c.pages, page{k16: b[:k], v16: b[k:]})
		} else {
			b := make([]float32, k+v)
			c.pages = append(c.pages, page{k32: b[:k], v32: b[k:]})
		}
	}
}

// Shrink gives back the pages beyond n positions.
func (c *KV) Shrink(n int) {
	keep := (n + Page - 1) / Page * c.Heads
	if keep < len(c.pages) {
		clear(c.pages[keep:])
		c.pages = c.pages[:keep]
	}
}

// CopyFrom makes c hold the first n positions of src, which has the same shape.
func (c *KV) CopyFrom(src *KV, n int) {
	c.Shrink(0)
	c.Reserve(n)
	for i := range c.pages {
		copy(c.pages[i].k16, src.pages[i].k16)
		copy(c.pages[i].v16, src.pages[i].v16)
		copy(c.pages[i].k32, src.pages[i].k32)
		copy(c.pages[i].v32, src.pages[i].v32)
	}
}

// set stores key and value of head h at position pos.
func (c *KV) set(h, pos int, key, value []float32) {
	pg := &c.pages[pos/Page*c.Heads+h]
	at := pos % Page
	base := at / kernel.Panel * c.Key * kernel.Panel
	lane := at % kernel.Panel
	if c.Half {
		var half [256]uint16 // rounded as many at a time
		for lo := 0; lo < len(key); lo += len(half) {
			part := key[lo:min(lo+len(half), len(key))]
			kernel.ToBF16(half[:], part)
			for i := range part {
				pg.k16[base+(lo+i)*kernel.Panel+lane] = half[i]
			}
		}
		for lo := 0; lo < len(value); lo += len(half) {
			part := value[lo:min(lo+len(half), len(value))]
			kernel.ToBF16(half[:], part)
			for i := range part {
				pg.v16[((lo+i)/kernel.Panel*Page+at)*kernel.Panel+i%kernel.Panel] = half[i]
			}
		}
		return
	}
	for i, x := range key {
		pg.k32[base+i*kernel.Panel+lane] = x
	}
	for i, x := range value {
		pg.v32[(i/kernel.Panel*Page+at)*kernel.Panel+i%kernel.Panel] = x
	}
}

// scores sets s[m, n] = q·Kᵀ for m query rows of stride ldq and positions 0..n-1 of head h, with row stride lds.
func (c *KV) scores(s []float32, lds int, q []float32, ldq, h, m, n int) {
	for at := 0; at < n; at += Page {
		pg := &c.pages[at/Page*c.Heads+h]
		cols := min(Page, n-at)
		if c.Half {
			kernel.GemmF32B16(s[at:], lds, q, ldq, pg.k16, m, c.Key, cols, false)
		} else {
			kernel.GemmF32(s[at:], lds, q, ldq, pg.k32, m, c.Key, cols, false)
		}
	}
}

// mix sets y[m, Value] = w·V for the weights w [m, n] of positions 0..n-1, with row strides lds and ldy.
func (c *KV) mix(y []float32, ldy int, w []float32, lds, h, m, n int) {
	for at := 0; at < n; at += Page {
		pg := &c.pages[at/Page*c.Heads+h]
		rows := min(Page, n-at)
		// The panels of a page are Page rows long; a short last page is read panel by panel.
		for v := 0; v < c.Value; v += kernel.Panel {
			cols := min(kernel.Panel, c.Value-v)
			if c.Half {
				kernel.GemmF32B16(y[v:], ldy, w[at:], lds, pg.v16[v*Page:], m, rows, cols, at > 0)
			} else {
				kernel.GemmF32(y[v:], ldy, w[at:], lds, pg.v32[v*Page:], m, rows, cols, at > 0)
			}
		}
	}
}

// store puts the rows [lo, hi) of k and v into the cache, at the positions of the batch.
func (c *KV) store(p *Pass, k, v *tensor.Tensor, lo, hi int) {
	c.Reserve(int(p.Batch.Pos[hi-1]) + 1)
	if hi-lo == 1 {
		c.storeRows(p, k, v, lo, hi)
		return
	}
	p.Run.Rows(hi-lo, func(a, b, _ int) { c.storeRows(p, k, v, lo+a, lo+b) })
}

func (c *KV) storeRows(p *Pass, k, v *tensor.Tensor, lo, hi int) {
	for t := lo; t < hi; t++ {
		pos := int(p.Batch.Pos[t])
		for h := range c.Heads {
			c.set(h, pos, k.Row(t)[h*c.Key:(h+1)*c.Key], v.Row(t)[h*c.Value:(h+1)*c.Value])
		}
	}
}
