package tensor

import "math/bits"

// buffers hands out slices and takes them back, by size class. Nothing it hands out is cleared.
type buffers[T any] struct {
	free  [64 * 4][][]T
	total int // elements ever made
}

// class returns the size class of n elements and the size of its buffers: four classes an octave, so that at
// most a quarter of a buffer is wasted and prompts of any length share buffers.
func class(n int) (c, size int) {
	if n <= 64 {
		return 0, 64
	}
	e := bits.Len(uint(n-1)) - 1 // 2^e <= n-1 < 2^(e+1)
	q := (n - 1) >> (e - 2) & 3
	return 4*e + q, 1<<e + (q+1)<<(e-2)
}

func (b *buffers[T]) take(n int) []T {
	c, size := class(n)
	if l := b.free[c]; len(l) > 0 {
		s := l[len(l)-1]
		b.free[c] = l[:len(l)-1]
		return s[:n]
	}
	b.total += size
	return make([]T, n, size)
}

// give takes s back. A slice of another origin has another capacity, and is left to the garbage collector.
func (b *buffers[T]) give(s []T) {
	if cap(s) == 0 {
		return
	}
	if c, size := class(cap(s)); size == cap(s) {
		b.free[c] = append(b.free[c], s)
	}
}
