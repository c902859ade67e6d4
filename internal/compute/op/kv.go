package op

import "retort/internal/compute/kernel"

// Page is how many positions a page of a cache holds. Attention sums over pages in order, so the length is part of
// the definition of a result.
const Page = 64

// KV is one layer of one sequence's cache: for each position a key and a value per head, in pages.
//
// Both are stored as panels, the order in which products read them: keys [Page/16][Key][16 positions], values
// [Value/16][Page positions][16]; a head's keys lie before its values, and heads one after another. So attending to
// a page needs no packing, and prefill and decoding, which use the same products, give the same bits.
type KV struct {
	Heads, Key, Value int // heads; width of a key and of a value
	Type              CacheType
	Pages             []*PageData // of the sequence, in order; all its layers have the same

	at, scaleAt int // where the layer begins among values and scales of a page
}

// headValues is how many values a head takes in a page, headScales how many scales.
func (c *KV) headValues() int { return Page * (c.Key + padded(c.Value)) }
func (c *KV) headScales() int { return Page * (blocks(c.Key) + blocks(c.Value)) }

func padded(n int) int { return (n + kernel.Panel - 1) / kernel.Panel * kernel.Panel }

// span returns where head h has its keys and where its values in a page.
func (c *KV) span(h int) (keys, values int) {
	at := c.at + h*c.headValues()
	return at, at + Page*c.Key
}

// set stores key and value of head h at position pos.
func (c *KV) set(h, pos int, key, value []float32) {
	pg, at := c.Pages[pos/Page], pos%Page
	keys, values := c.span(h)
	keys += at/kernel.Panel*c.Key*kernel.Panel + at%kernel.Panel
	values += at * kernel.Panel
	switch c.Type {
	case CacheF32:
		for i, x := range key {
			pg.F32[keys+i*kernel.Panel] = x
		}
		for i, x := range value {
			pg.F32[values+i/kernel.Panel*Page*kernel.Panel+i%kernel.Panel] = x
		}
	case CacheBF16:
		var half [256]uint16 // rounded as many at a time
		for lo := 0; lo < len(key); lo += len(half) {
			part := key[lo:min(lo+len(half), len(key))]
			kernel.ToBF16(half[:], part)
			for i := range part {
				pg.B16[keys+(lo+i)*kernel.Panel] = half[i]
			}
		}
		for lo := 0; lo < len(value); lo += len(half) {
			part := value[lo:min(lo+len(half), len(value))]
			kernel.ToBF16(half[:], part)
			for i := range part {
				pg.B16[values+(lo+i)/kernel.Panel*Page*kernel.Panel+i%kernel.Panel] = half[i]
			}
		}
	case CacheQ8:
		c.setQ8(h, pos, key, value)
	}
}

// Forget makes keys and values of the positions from n on in a page those of zero.
func (c *KV) Forget(pg *PageData, n int) {
	one := *c
	one.Pages = []*PageData{pg}
	key, value := make([]float32, c.Key), make([]float32, c.Value)
	for h := range c.Heads {
		for pos := n; pos < Page; pos++ {
			one.set(h, pos, key, value)
		}
	}
}

// decoded is how many floats of scratch reading takes.
func (c *KV) decoded() int {
	if c.Type != CacheQ8 {
		return 0
	}
	return Page * max(c.Key, kernel.Panel)
}

// scores sets s[m, n] = q·Kᵀ for m query rows of stride ldq and positions 0..n-1 of head h, with row stride lds.
// buf has room for what is decoded.
func (c *KV) scores(s []float32, lds int, q []float32, ldq, h, m, n int, buf []float32) {
	keys, _ := c.span(h)
	for at := 0; at < n; at += Page {
		pg := c.Pages[at/Page]
		cols := min(Page, n-at)
		switch c.Type {
		case CacheF32:
			kernel.GemmF32(s[at:], lds, q, ldq, pg.F32[keys:], m, c.Key, cols, false)
		case CacheBF16:
			kernel.GemmF32B16(s[at:], lds, q, ldq, pg.B16[keys:], m, c.Key, cols, false)
		case CacheQ8:
			c.decodeKeys(buf, pg, h, cols)
			kernel.GemmF32(s[at:], lds, q, ldq, buf, m, c.Key, cols, false)
		}
	}
}

// mix sets y[m, Value] = w·V for the weights w [m, n] of positions 0..n-1, with row strides lds and ldy. buf has
// room for what is decoded.
func (c *KV) mix(y []float32, ldy int, w []float32, lds, h, m, n int, buf []float32) {
	_, values := c.span(h)
	for at := 0; at < n; at += Page {
		pg := c.Pages[at/Page]
		rows := min(Page, n-at)
		// The panels of a page are Page rows long; a short last page is read panel by panel.
		for v := 0; v < c.Value; v += kernel.Panel {
			cols, from := min(kernel.Panel, c.Value-v), values+v*Page
			switch c.Type {
			case CacheF32:
				kernel.GemmF32(y[v:], ldy, w[at:], lds, pg.F32[from:], m, rows, cols, at > 0)
			case CacheBF16:
				kernel.GemmF32B16(y[v:], ldy, w[at:], lds, pg.B16[from:], m, rows, cols, at > 0)
			case CacheQ8:
				c.decodeValues(buf, pg, h, v, rows)
				kernel.GemmF32(y[v:], ldy, w[at:], lds, buf, m, rows, cols, at > 0)
			}
		}
	}
}
