package op

import (
	"cmp"
	"fmt"
	"slices"

	"retort/internal/compute/tensor"
)

// How attention against caches is cut into parts. A row of a product depends on itself alone, so this decides nothing
// but speed.
const (
	groupHeads  = 8  // query heads of a part at most: all heads of a latent cache share one key
	attendTile  = 48 // query rows x heads of a part of a long run of rows
	attendWhole = 64 // run of rows x heads up to this: one part, which reads the keys once
)

// attend is attention of all sequences of a batch against their caches, as one job: a part is some rows of a sequence by
// some of the query heads that share a key/value head.
type attend struct {
	p          *Pass
	hs         Heads
	y, q, k, v *tensor.Tensor

	caches []*KV // of each sequence
	parts  []attendPart
}

// attendPart is rows [lo, hi) of the batch by query heads [head, head+heads).
type attendPart struct {
	seq, lo, hi int
	head, heads int
	cost        int  // in scores
	alone       bool // no other part reads these rows' keys and values: it stores them itself
}

// run stores keys and values of the batch and computes y.
func (j *attend) run(p *Pass, layer int, hs Heads, y, q, k, v *tensor.Tensor) {
	*j = attend{p, hs, y, q, k, v, j.caches[:0], j.parts[:0]}
	if shared := j.plan(layer); shared {
		p.Run.RunRows(q.Rows, j)
	}
	p.Run.Pool.Run(j, len(j.parts))
}

// plan makes the parts, the longest first, and says whether there are rows that several of them read.
func (j *attend) plan(layer int) (shared bool) {
	group := j.hs.Query / j.hs.KV
	count := (group + groupHeads - 1) / groupHeads
	heads := (group + count - 1) / count
	for i, s := range j.p.Batch.Seqs {
		if s.Cache == nil {
			panic("op: Attention: sequences with and without a cache in one batch")
		}
		c := s.Cache.Layer(layer)
		if last := int(j.p.Batch.Pos[s.Hi-1]); last >= len(c.Pages)*Page {
			panic(fmt.Sprintf("op: Attention: position %d, but %d pages of %d", last, len(c.Pages), Page))
		}
		j.caches = append(j.caches, c)
		rows := s.Hi - s.Lo
		if rows*heads > attendWhole {
			rows = max(attendTile/heads, 1)
		}
		alone := count == 1 && rows == s.Hi-s.Lo
		shared = shared || !alone
		for lo := s.Lo; lo < s.Hi; lo += rows {
			hi := min(lo+rows, s.Hi)
			for at := 0; at < j.hs.Query; at += group {
				for h := at; h < at+group; h += heads {
					part := attendPart{seq: i, lo: lo, hi: hi, head: h, heads: min(heads, at+group-h), alone: alone}
					part.cost = (hi - lo) * part.heads * j.seen(hi-1)
					j.parts = append(j.parts, part)
				}
			}
		}
	}
	slices.SortFunc(j.parts, longer)
	return shared
}

func longer(a, b attendPart) int { return cmp.Compare(b.cost, a.cost) }

// seen returns how many positions row t of the batch attends to.
func (j *attend) seen(t int) int { return int(j.p.Batch.Pos[t]) + 1 }

// Rows stores keys and values of rows [lo, hi) of the batch, as far as several parts read them.
func (j *attend) Rows(lo, hi, _ int) {
	for i := range j.parts {
		if c := &j.parts[i]; !c.alone && c.head == 0 {
			for h := range j.hs.KV {
				j.store(c.seq, h, max(lo, c.lo), min(hi, c.hi))
			}
		}
	}
}

// store puts keys and values of head h in rows [lo, hi) into the cache of their sequence.
func (j *attend) store(seq, h, lo, hi int) {
	hs := j.hs
	for t := lo; t < hi; t++ {
		j.caches[seq].set(h, int(j.p.Batch.Pos[t]), j.k.Row(t)[h*hs.Key:(h+1)*hs.Key], j.v.Row(t)[h*hs.Value:(h+1)*hs.Value])
	}
}

// Part computes a part: one product of all its rows and heads with each page.
func (j *attend) Part(i, worker int) {
	c, hs := &j.parts[i], j.hs
	h := c.head / (hs.Query / hs.KV)
	if c.alone {
		j.store(c.seq, h, c.lo, c.hi)
	}
	kv, m, n := j.caches[c.seq], c.hi-c.lo, j.seen(c.hi-1)
	rows, copied := m*c.heads, 0
	if m > 1 && c.heads > 1 && c.heads < hs.Query { // do not lie evenly in the batch
		copied = rows
	}
	buf := j.p.Run.Scratch(worker, rows*n+copied*(hs.Key+hs.Value)+kv.decoded())
	take := func(size int) (b []float32) { b, buf = buf[:size], buf[size:]; return b }
	w, ownQ, ownY := take(rows*n), take(copied*hs.Key), take(copied*hs.Value)

	q, ldq := j.q.Data[c.lo*j.q.Cols+c.head*hs.Key:], hs.Key
	y, ldy := j.y.Data[c.lo*j.y.Cols+c.head*hs.Value:], hs.Value
	out := y
	switch {
	case copied > 0:
		copyRows(ownQ, c.heads*hs.Key, q, j.q.Cols, m, c.heads*hs.Key)
		q, y = ownQ, ownY
	case c.heads == 1:
		ldq, ldy = j.q.Cols, j.y.Cols
	}
	kv.scores(w, n, q, ldq, h, rows, n, buf)
	for r := range rows {
		causalSoftmax(w[r*n:(r+1)*n], j.seen(c.lo+r/c.heads), hs.Scale)
	}
	kv.mix(y, ldy, w, n, h, rows, n, buf)
	if copied > 0 {
		copyRows(out, j.y.Cols, ownY, c.heads*hs.Value, m, c.heads*hs.Value)
	}
}

// copyRows copies rows of width values between matrices of row strides ldDst and ldSrc.
func copyRows(dst []float32, ldDst int, src []float32, ldSrc, rows, width int) {
	for r := range rows {
		copy(dst[r*ldDst:][:width], src[r*ldSrc:])
	}
}
