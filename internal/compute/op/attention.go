package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Heads is the shape of an attention: H query heads share K key/value heads, H/K each.
type Heads struct {
	Query, KV  int
	Key, Value int     // width of a query and key, and of a value, per head
	Scale      float32 // multiplies the scores
}

// queryTile is how many query rows of one head are computed at a time where there is no cache.
const queryTile = 48

// Attention returns causal softmax attention: y[t,h] = Σ_s softmax_s(scale·q[t,h]·k[s,h/g]) v[s,h/g] over the
// positions s of the same sequence up to t's, with g = Query/KV.
//
// q is [T, Query·Key], k is [T, KV·Key], v is [T, KV·Value], y is [T, Query·Value]. layer names the part of each
// sequence's cache. Sums run over positions in order, so a row does not depend on the rows beside it.
// Backward, per head with P the weights: dv = Pᵀ·dy, dS = P∘(dy·vᵀ − Σ(dy∘y)), dq = scale·dS·k, dk = scale·dSᵀ·q.
func Attention(p *Pass, layer int, hs Heads, q, k, v *tensor.Tensor) *tensor.Tensor {
	y := p.New(q.Rows, hs.Query*hs.Value)
	if p.Batch.Seqs[0].Cache != nil {
		if p.Tape != nil {
			panic("op: Attention: a tape needs sequences without a cache")
		}
		p.again.attend.run(p, layer, hs, y, q, k, v)
		return y
	}
	for _, s := range p.Batch.Seqs {
		if s.Cache != nil {
			panic("op: Attention: sequences with and without a cache in one batch")
		}
	}
	a := &attention{y, q, k, v, hs, p.Batch.Seqs}
	a.forward(p)
	if p.Tape != nil {
		p.Tape.push(a)
	}
	return y
}

// causalSoftmax turns the scores of the first n positions into weights and sets the others to zero.
func causalSoftmax(w []float32, n int, scale float32) {
	kernel.Scale(scale, w[:n])
	kernel.Softmax(w[:n])
	clear(w[n:])
}

// attention is the step of sequences without a cache: the keys are the rows of the batch.
type attention struct {
	y, q, k, v *tensor.Tensor
	hs         Heads
	seqs       []Seq
}

func (s *attention) output() *tensor.Tensor { return s.y }

// forward computes each sequence and key/value head as one part.
func (s *attention) forward(p *Pass) {
	p.Run.Rows(len(s.seqs)*s.hs.KV, func(a, b, worker int) {
		for i := a; i < b; i++ {
			s.forwardHead(p, s.seqs[i/s.hs.KV], i%s.hs.KV, worker)
		}
	})
}

func (s *attention) forwardHead(p *Pass, seq Seq, h, worker int) {
	n, hs := seq.Hi-seq.Lo, s.hs
	nk, nv := kernel.PanelsF32(n, hs.Key), kernel.PanelsF32(hs.Value, n)
	buf := p.Run.Scratch(worker, nk+nv+queryTile*n)
	keys, values, w := buf[:nk], buf[nk:nk+nv], buf[nk+nv:]
	kernel.PackRowsF32(keys, s.k.Data[seq.Lo*s.k.Cols+h*hs.Key:], n, hs.Key, s.k.Cols)
	kernel.PackColsF32(values, s.v.Data[seq.Lo*s.v.Cols+h*hs.Value:], n, hs.Value, s.v.Cols)
	g := hs.Query / hs.KV
	for head := h * g; head < (h+1)*g; head++ {
		for lo := 0; lo < n; lo += queryTile {
			m := min(queryTile, n-lo)
			s.weights(w, keys, seq.Lo+lo, head, m, lo+m)
			// The panels of values are n rows long; those beyond lo+m have no weight.
			for v := 0; v < hs.Value; v += kernel.Panel {
				kernel.GemmF32(s.y.Data[(seq.Lo+lo)*s.y.Cols+head*hs.Value+v:], s.y.Cols, w, lo+m,
					values[v*n:], m, lo+m, min(kernel.Panel, hs.Value-v), false)
			}
		}
	}
}

// weights sets w[m, n] to the softmax weights of query rows t..t+m-1 over the first n rows of their sequence;
// row t+r sees n-m+r+1 of them.
func (s *attention) weights(w, keys []float32, t, head, m, n int) {
	kernel.GemmF32(w, n, s.q.Data[t*s.q.Cols+head*s.hs.Key:], s.q.Cols, keys, m, s.hs.Key, n, false)
	for r := range m {
		causalSoftmax(w[r*n:(r+1)*n], n-m+r+1, s.hs.Scale)
	}
}

func (s *attention) backward(p *Pass) {
	p.Run.Zeroed(s.q)
	p.Run.Zeroed(s.k)
	p.Run.Zeroed(s.v)
	p.Run.Rows(len(s.seqs)*s.hs.KV, func(a, b, worker int) {
		for i := a; i < b; i++ {
			s.backwardHead(p, s.seqs[i/s.hs.KV], i%s.hs.KV, worker)
		}
	})
}

// backwardHead adds the gradients of one key/value head and its query heads in one sequence of n rows.
func (s *attention) backwardHead(p *Pass, seq Seq, h, worker int) {
	n, hs := seq.Hi-seq.Lo, s.hs
	nk, nv := kernel.PanelsF32(n, hs.Key), kernel.PanelsF32(n, hs.Value)
	nkc := kernel.PanelsF32(hs.Key, n)
	mq, mv := kernel.PanelsF32(hs.Key, queryTile), kernel.PanelsF32(hs.Value, queryTile)
	buf := p.Run.Scratch(worker, nk+nv+nkc+mq+mv+3*queryTile*n)
	take := func(size int) (b []float32) { b, buf = buf[:size], buf[size:]; return b }
	keys, values, keyCols := take(nk), take(nv), take(nkc) // k for scores, v for dy·vᵀ, k for dS·k
	qCols, dyCols := take(mq), take(mv)
	w, dw, wt := take(queryTile*n), take(queryTile*n), take(queryTile*n)
	k := s.k.Data[seq.Lo*s.k.Cols+h*hs.Key:]
	kernel.PackRowsF32(keys, k, n, hs.Key, s.k.Cols)
	kernel.PackColsF32(keyCols, k, n, hs.Key, s.k.Cols)
	kernel.PackRowsF32(values, s.v.Data[seq.Lo*s.v.Cols+h*hs.Value:], n, hs.Value, s.v.Cols)
	dk, dv := s.k.Grad[seq.Lo*s.k.Cols+h*hs.Key:], s.v.Grad[seq.Lo*s.v.Cols+h*hs.Value:]
	g := hs.Query / hs.KV
	for head := h * g; head < (h+1)*g; head++ {
		for lo := 0; lo < n; lo += queryTile {
			m := min(queryTile, n-lo)
			t, seen := seq.Lo+lo, lo+m
			dy := s.y.Grad[t*s.y.Cols+head*hs.Value:]
			s.weights(w, keys, t, head, m, seen)
			// dv += wᵀ·dy
			kernel.TransposeF32(wt, w, m, seen, seen, m)
			kernel.PackColsF32(dyCols, dy, m, hs.Value, s.y.Cols)
			kernel.GemmF32(dv, s.v.Cols, wt, m, dyCols, seen, m, hs.Value, true)
			// dS = w∘(dy·vᵀ − Σ(dy∘y))·scale
			kernel.GemmF32(dw, seen, dy, s.y.Cols, values, m, hs.Value, seen, false)
			for r := range m {
				y := s.y.Data[(t+r)*s.y.Cols+head*hs.Value:][:hs.Value]
				softmaxBackward(dw[r*seen:(r+1)*seen], w[r*seen:(r+1)*seen], kernel.Dot(dy[r*s.y.Cols:][:hs.Value], y), hs.Scale)
			}
			// dq += dS·k; the panels of keyCols are n rows long
			for c := 0; c < hs.Key; c += kernel.Panel {
				kernel.GemmF32(s.q.Grad[t*s.q.Cols+head*hs.Key+c:], s.q.Cols, dw, seen, keyCols[c*n:], m, seen, min(kernel.Panel, hs.Key-c), true)
			}
			// dk += dSᵀ·q
			kernel.TransposeF32(wt, dw, m, seen, seen, m)
			kernel.PackColsF32(qCols, s.q.Data[t*s.q.Cols+head*hs.Key:], m, hs.Key, s.q.Cols)
			kernel.GemmF32(dk, s.k.Cols, wt, m, qCols, seen, m, hs.Key, true)
		}
	}
}

// softmaxBackward turns dw, the gradient of the weights w, into that of the raw scores; dot is Σ dy∘y of the row.
func softmaxBackward(dw, w []float32, dot, scale float32) {
	for i, v := range w {
		dw[i] = (dw[i] - dot) * v * scale
	}
}
