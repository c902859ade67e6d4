package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"retort/internal/compute/op"
)

// newCache returns a cache with pages for n positions.
func newCache(m *Model, t op.CacheType, n int) *KVCache {
	p := m.NewCachePool(t, m.NewCachePool(t, 0).PageBytes()*int64(n/op.Page+1))
	c := p.NewCache()
	for p.Free() > 0 {
		c.Append(p.Take())
	}
	return c
}

var cacheTypes = []op.CacheType{op.CacheF32, op.CacheBF16, op.CacheQ8}

// TestPoolKeepsItsBudget: a pool holds as many pages as its bytes do, one at least, and its counts are right.
func TestPoolKeepsItsBudget(t *testing.T) {
	m := lively(t, tinyLlama(), 5)
	for _, kind := range cacheTypes {
		size := m.NewCachePool(kind, 0).PageBytes()
		if got := int64(m.CacheBytes(2*op.Page+1, kind)); got != 3*size {
			t.Errorf("%v: %d bytes for %d positions, want %d", kind, got, 2*op.Page+1, 3*size)
		}
		for budget, want := range map[int64]int{-1: 1, 0: 1, size: 1, 3*size - 1: 2, 3 * size: 3} {
			p := m.NewCachePool(kind, budget)
			if p.Capacity() != want || p.Free() != want {
				t.Errorf("%v: budget of %d: %d pages, %d free, want %d", kind, budget, p.Capacity(), p.Free(), want)
			}
			var pages []*CachePage
			for p.Free() > 0 {
				pages = append(pages, p.Take())
			}
			if len(pages) != want || p.Take() != nil || p.Copy(pages[0]) != nil {
				t.Errorf("%v: budget of %d: %d pages taken, and more to come", kind, budget, len(pages))
			}
			p.Release(pages[0])
			if p.Free() != 1 || p.Capacity() != want {
				t.Errorf("%v: %d free after one was given back", kind, p.Free())
			}
		}
	}
}

// TestReferences: a page goes back with its last reference and not before, and one too many is a panic.
func TestReferences(t *testing.T) {
	p := lively(t, tinyLlama(), 5).NewCachePool(op.CacheBF16, math.MaxInt64)
	all := p.Free()
	pg := p.Take()
	p.Retain(pg)
	p.Release(pg)
	if p.Free() != all-1 {
		t.Error("a page went back while somebody held it")
	}
	pg.data.B16[3] = 7
	p.Release(pg)
	if p.Free() != all {
		t.Error("a page did not come back")
	}
	if again := p.Take(); again != pg || again.data.B16[3] != 0 {
		t.Error("a page that came back is not used again, or shows what it held")
	}
	p.Release(pg)
	defer func() {
		if recover() == nil {
			t.Error("a page was released twice")
		}
	}()
	p.Release(pg)
}

// TestCopyOnWrite: a copy has the content, and neither sees what is written to the other.
func TestCopyOnWrite(t *testing.T) {
	for _, kind := range cacheTypes {
		p := lively(t, tinyDeepSeek(), 5).NewCachePool(kind, math.MaxInt64)
		a := fill(p.Take(), 3)
		before := content(t, p, a)
		p.Release(fill(p.Take(), 9)) // what a copy finds there
		b := p.Copy(a)
		if !bytes.Equal(content(t, p, b), before) {
			t.Errorf("%v: a copy differs", kind)
		}
		fill(b, 5)
		if !bytes.Equal(content(t, p, a), before) {
			t.Errorf("%v: writing the copy changed the page", kind)
		}
	}
}

// fill sets all of a page.
func fill(pg *CachePage, seed int) *CachePage {
	for i := range pg.data.F32 {
		pg.data.F32[i] = float32(seed*i%1009) / 7
	}
	for i := range pg.data.B16 {
		pg.data.B16[i] = uint16(seed * i)
	}
	for i := range pg.data.Q8 {
		pg.data.Q8[i] = int8(seed * i)
	}
	return pg
}

func content(t *testing.T, p *CachePool, pg *CachePage) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WritePage(&b, pg, op.Page); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPageOnDisk: a page is written as its bytes, little endian, and read again the same; a file that is cut short is an
// error.
func TestPageOnDisk(t *testing.T) {
	for _, kind := range cacheTypes {
		p := lively(t, tinyDeepSeek(), 5).NewCachePool(kind, math.MaxInt64)
		pg := fill(p.Take(), 3)
		b := content(t, p, pg)
		if int64(len(b)) != p.PageBytes() {
			t.Errorf("%v: %d bytes written, want %d", kind, len(b), p.PageBytes())
		}
		switch kind {
		case op.CacheF32:
			if binary.LittleEndian.Uint32(b[4*5:]) != math.Float32bits(pg.data.F32[5]) {
				t.Error("not little endian")
			}
		case op.CacheBF16:
			if binary.LittleEndian.Uint16(b[2*999:]) != pg.data.B16[999] {
				t.Error("not little endian")
			}
		case op.CacheQ8:
			if at := 2 * len(pg.data.B16); int8(b[at+999]) != pg.data.Q8[999] {
				t.Error("codes do not follow the scales")
			}
		}
		other := p.Take()
		if err := p.ReadPage(bytes.NewReader(b), other); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, p, other), b) {
			t.Errorf("%v: read again, a page differs", kind)
		}
		for _, n := range []int{len(b) - 1, 0} {
			if err := p.ReadPage(bytes.NewReader(b[:n]), other); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Errorf("%v: %d of %d bytes: error %v", kind, n, len(b), err)
			}
		}
	}
}

// TestCacheGivesPagesBack: what a cache holds follows Append, Replace and Truncate.
func TestCacheGivesPagesBack(t *testing.T) {
	p := lively(t, tinyLlama(), 5).NewCachePool(op.CacheF32, math.MaxInt64)
	all := p.Free()
	c := p.NewCache()
	for range 4 {
		c.Append(p.Take())
	}
	c.Len = 3*op.Page + 1
	own := slices.Clone(c.Pages())
	for _, s := range []struct{ n, len, pages int }{
		{9 * op.Page, 3*op.Page + 1, 4},
		{3*op.Page + 1, 3*op.Page + 1, 4},
		{3 * op.Page, 3 * op.Page, 3},
		{op.Page + 1, op.Page + 1, 2},
	} {
		c.Truncate(s.n)
		if c.Len != s.len || len(c.Pages()) != s.pages || all-p.Free() != s.pages {
			t.Errorf("cut to %d: %d positions in %d pages, %d taken", s.n, c.Len, len(c.Pages()), all-p.Free())
		}
	}
	other := p.Take()
	c.Replace(1, other)
	if all-p.Free() != 2 || !slices.Equal(c.Pages(), []*CachePage{own[0], other}) || c.Layer(0).Pages[1] != &other.data {
		t.Error("a page was not replaced")
	}
	p.Retain(own[0]) // somebody else's
	c.Truncate(0)
	if c.Len != 0 || len(c.Pages()) != 0 || all-p.Free() != 1 {
		t.Errorf("emptied: %d positions, %d pages taken", c.Len, all-p.Free())
	}
}

// TestPoolDoesNotAllocate: pages that were made once, and caches that grew once, cost nothing again.
func TestPoolDoesNotAllocate(t *testing.T) {
	p := lively(t, tinyLlama(), 5).NewCachePool(op.CacheBF16, math.MaxInt64)
	c := p.NewCache()
	turn := func() {
		for range 5 {
			c.Append(p.Take())
		}
		c.Replace(4, p.Copy(c.Pages()[4]))
		c.Truncate(0)
	}
	turn()
	if n := testing.AllocsPerRun(8, turn); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
}
