package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"retort/internal/compute/tensor"
	"retort/internal/numtest"
)

// attending is an attention over a cache: its inputs have a row a token.
type attending struct {
	name   string
	widths []int // of the inputs
	shape  KV
	f      func(p *Pass, in []*tensor.Tensor) *tensor.Tensor
}

func grouped(query, kv, key, value int) attending {
	hs := Heads{Query: query, KV: kv, Key: key, Value: value, Scale: 0.2}
	return attending{
		name:   fmt.Sprintf("%d heads over %d", query, kv),
		widths: []int{query * key, kv * key, kv * value},
		shape:  KV{Heads: kv, Key: key, Value: value},
		f:      func(p *Pass, in []*tensor.Tensor) *tensor.Tensor { return Attention(p, 0, hs, in[0], in[1], in[2]) },
	}
}

func latent(heads int) attending {
	s := Latent{Heads: heads, Nope: 8, Rope: 4, Value: 6, Rank: 10, Scale: 0.3}
	up := NewLatentUp(dense(rand.New(rand.NewPCG(1, 13)), heads*(s.Nope+s.Value), s.Rank), s)
	return attending{
		name:   fmt.Sprintf("latent of %d heads", heads),
		widths: []int{heads * (s.Nope + s.Rope), s.Rank, s.Rope},
		shape:  KV{Heads: 1, Key: s.Rank + s.Rope, Value: s.Rank},
		f: func(p *Pass, in []*tensor.Tensor) *tensor.Tensor {
			return LatentAttention(p, 0, in[0], in[1], in[2], up)
		},
	}
}

// attendings are groups of one head, of some that are one part, and of more that are cut evenly and unevenly.
var attendings = []attending{grouped(4, 4, 24, 20), grouped(8, 4, 24, 20), grouped(6, 2, 33, 17), grouped(14, 2, 16, 32), grouped(9, 1, 5, 40), latent(3), latent(16)}

// timeline is a sequence whose rows are computed bit by bit.
type timeline struct {
	in    []*tensor.Tensor // of all its rows
	cache *KV
	at    int // rows that are computed
	out   []float32
}

func (a *attending) timeline(seed uint64, kind CacheType, n int) *timeline {
	rng := rand.New(rand.NewPCG(seed, 17))
	s := &timeline{cache: newKV(kind, n, a.shape)}
	for _, w := range a.widths {
		s.in = append(s.in, x(rng, n, w))
	}
	return s
}

// step computes the next counts[i] rows of each timeline as one batch, in the order given.
func (a *attending) step(p *Pass, lines []*timeline, order, counts []int) {
	b, in := &Batch{}, make([]*tensor.Tensor, len(a.widths))
	for i, w := range a.widths {
		in[i] = tensor.Of(0, w, nil)
	}
	for _, i := range order {
		s, n := lines[i], counts[i]
		if n == 0 {
			continue
		}
		b.Seqs = append(b.Seqs, Seq{len(b.Pos), len(b.Pos) + n, oneCache{s.cache}})
		for j, whole := range s.in {
			in[j].Data = append(in[j].Data, whole.Data[s.at*whole.Cols:(s.at+n)*whole.Cols]...)
			in[j].Rows += n
		}
		for range n {
			b.Pos = append(b.Pos, int32(s.at))
			s.at++
		}
	}
	b.Tokens = make([]int32, len(b.Pos))
	p.Batch = b
	y, k := a.f(p, in), 0
	for _, i := range order {
		if counts[i] > 0 {
			lines[i].out = append(lines[i].out, y.Data[b.Seqs[k].Lo*y.Cols:b.Seqs[k].Hi*y.Cols]...)
			k++
		}
	}
	p.Run.Release(0)
}

// TestCacheGivesTheSameRows: a row is the same bits whether its sequence is computed at once or in pieces, a token at a
// time, alone or beside others of other lengths, in any order, in every type of cache.
func TestCacheGivesTheSameRows(t *testing.T) {
	lengths := []int{150, 3, 70, Page + 1}
	crowd := [][]int{ // rows of each sequence, a step a line
		{1, 1, 0, Page},
		{70, 0, 1, 1},
		{9, 2, 2, 0},
		{1, 0, 67, 0},
		{69, 0, 0, 0},
	}
	orders := [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}}
	numtest.EachImpl(t, func(t *testing.T) {
		for _, a := range attendings {
			for _, kind := range allCacheTypes {
				p := newPass(t, nil)
				all := func() (lines []*timeline) {
					for i, n := range lengths {
						lines = append(lines, a.timeline(uint64(i), kind, n))
					}
					return lines
				}
				same := func(what string, got, want []*timeline) {
					t.Helper()
					for i := range want {
						if d := differs(got[i].out, want[i].out); d >= 0 {
							width := len(want[i].out) / lengths[i]
							t.Errorf("%s, %v, %s: sequence %d differs in row %d, column %d", a.name, kind, what, i, d/width, d%width)
						}
					}
				}
				want := all()
				for i, n := range lengths {
					counts := make([]int, len(lengths))
					counts[i] = n
					a.step(p, want, orders[0], counts)
				}
				atOnce := all()
				a.step(p, atOnce, orders[1], lengths)
				same("all at once", atOnce, want)
				for i, order := range orders {
					lines := all()
					for _, counts := range crowd {
						a.step(p, lines, order, counts)
					}
					same(fmt.Sprintf("in pieces, order %d", i), lines, want)
				}
				tokens := all()
				for at := range slices.Max(lengths) {
					counts := make([]int, len(lengths))
					for i, n := range lengths {
						if at < n {
							counts[i] = 1
						}
					}
					a.step(p, tokens, orders[at%2], counts)
				}
				same("token by token", tokens, want)
			}
		}
	})
}

// differs returns where the bits of two results differ first, or -1.
func differs(a, b []float32) int {
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// TestCacheIsTheSameFunction: with a cache the rows are those without one, up to the order of sums (a latent one is
// absorbed) and to what the cache rounds: codes of 8 bits cost less than a hundredth of the values' root mean square.
func TestCacheIsTheSameFunction(t *testing.T) {
	const n = 150
	for _, a := range attendings {
		for kind, tol := range map[CacheType]float64{CacheF32: 2e-5, CacheBF16: 0.01, CacheQ8: 0.01} {
			s := a.timeline(1, kind, n)
			p := newPass(t, rows(n))
			want := slices.Clone(a.f(p, s.in).Data)
			a.step(p, []*timeline{s}, []int{0}, []int{n})
			var off, size float64
			for i, w := range want {
				d := float64(s.out[i] - w)
				if kind == CacheF32 && !(math.Abs(d) <= tol) {
					t.Fatalf("%s, %v: value %d is %g, %g without a cache", a.name, kind, i, s.out[i], w)
				}
				off, size = off+d*d, size+float64(w)*float64(w)
			}
			if d := math.Sqrt(off / size); !(d <= tol) {
				t.Errorf("%s, %v: %.2g of the root mean square off", a.name, kind, d)
			}
		}
	}
}

// TestLatentUpChanged: what was written to the up-projection counts in the absorbed form.
func TestLatentUpChanged(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 21))
	s := Latent{Heads: 2, Nope: 4, Rope: 2, Value: 3, Rank: 5, Scale: 0.3}
	w := dense(rng, 2*7, 5)
	up := NewLatentUp(w, s)
	q, c, kr := x(rng, 3, 12), x(rng, 3, 5), x(rng, 3, 2)
	attend := func(up *LatentUp) []float32 {
		b := rows(3)
		b.Seqs[0].Cache = oneCache{newKV(CacheF32, 3, KV{Heads: 1, Key: 7, Value: 5})}
		return LatentAttention(newPass(t, b), 0, q, c, kr, up).Data
	}
	before := attend(up)
	for i := range w.Data {
		w.Data[i] = -w.Data[i] / 2
	}
	w.Changed()
	up.Changed()
	if got := attend(up); differs(got, attend(NewLatentUp(w, s))) >= 0 || differs(got, before) < 0 {
		t.Error("the panels are those of the former values")
	}
}

// TestAttendingAllocatesNothing, once buffers are there: decoding, a prompt and a speculative check as one batch.
func TestAttendingAllocatesNothing(t *testing.T) {
	for _, a := range []attending{grouped(14, 2, 16, 32), latent(16)} {
		for _, kind := range allCacheTypes {
			p, b := newPass(t, nil), rows(1, 100, 5, 1)
			for i := range b.Seqs {
				b.Seqs[i].Cache = oneCache{newKV(kind, 100, a.shape)}
			}
			p.Batch = b
			var in []*tensor.Tensor
			for _, w := range a.widths {
				in = append(in, x(rand.New(rand.NewPCG(1, 22)), 107, w))
			}
			step := func() {
				a.f(p, in)
				p.Run.Release(0)
			}
			step()
			step()
			if n := testing.AllocsPerRun(8, step); n > 0 {
				t.Errorf("%s, %v: %.1f allocations", a.name, kind, n)
			}
		}
	}
}

// TestPlan: every row meets every head once, long parts come first, a part stores for itself alone, and neither a latent
// cache nor a few rows are computed by one worker or read again for each head.
func TestPlan(t *testing.T) {
	for _, c := range []struct {
		hs     Heads
		counts []int // rows of each sequence
		parts  int
		shared bool
	}{
		{Heads{Query: 14, KV: 2, Key: 4, Value: 4}, []int{1, 1, 1}, 6, false},
		{Heads{Query: 14, KV: 2, Key: 4, Value: 4}, []int{9}, 2, false},
		{Heads{Query: 14, KV: 2, Key: 4, Value: 4}, []int{10}, 4, true},
		{Heads{Query: 4, KV: 4, Key: 4, Value: 4}, []int{1, 512, 64}, 4 + 44 + 4, true},
		{Heads{Query: 16, KV: 1, Key: 4, Value: 4}, []int{1, 1}, 4, true},
		{Heads{Query: 128, KV: 1, Key: 4, Value: 4}, []int{1}, 16, true},
		{Heads{Query: 128, KV: 1, Key: 4, Value: 4}, []int{8}, 16, true},
		{Heads{Query: 9, KV: 1, Key: 4, Value: 4}, []int{20}, 6, true},
	} {
		b := rows(c.counts...)
		for i := range b.Seqs {
			b.Seqs[i].Cache = oneCache{newKV(CacheF32, 512, KV{Heads: c.hs.KV, Key: 4, Value: 4})}
		}
		j := attend{p: &Pass{Batch: b}, hs: c.hs}
		if shared := j.plan(0); shared != c.shared || len(j.parts) != c.parts {
			t.Errorf("%v, rows %v: %d parts, shared %v, want %d, %v", c.hs, c.counts, len(j.parts), shared, c.parts, c.shared)
		}
		met := make([]int, b.Rows()*c.hs.Query)
		readers := make([]int, b.Rows()*c.hs.KV)
		for i, part := range j.parts {
			if i > 0 && part.cost > j.parts[i-1].cost {
				t.Errorf("%v, rows %v: part %d is longer than the one before", c.hs, c.counts, i)
			}
			for r := part.lo; r < part.hi; r++ {
				for h := part.head; h < part.head+part.heads; h++ {
					met[r*c.hs.Query+h]++
				}
				readers[r*c.hs.KV+part.head/(c.hs.Query/c.hs.KV)]++
			}
		}
		if slices.Min(met) != 1 || slices.Max(met) != 1 {
			t.Errorf("%v, rows %v: a row meets a head %d to %d times", c.hs, c.counts, slices.Min(met), slices.Max(met))
		}
		for _, part := range j.parts {
			s := b.Seqs[part.seq]
			if whole := part.lo == s.Lo && part.hi == s.Hi; part.alone && (!whole || readers[part.lo*c.hs.KV+part.head/(c.hs.Query/c.hs.KV)] != 1) {
				t.Errorf("%v, rows %v: a part stores what others read", c.hs, c.counts)
			}
		}
	}
}

func TestAttentionRefuses(t *testing.T) {
	hs := Heads{Query: 1, KV: 1, Key: 4, Value: 4, Scale: 1}
	cached := func(n int) Cache { return oneCache{newKV(CacheF32, n, KV{Heads: 1, Key: 4, Value: 4})} }
	for want, prepare := range map[string]func(p *Pass){
		"op: Attention: position 64, but 1 pages of 64":                   func(p *Pass) { p.Batch.Seqs[0].Cache, p.Batch.Seqs[1].Cache = cached(Page), cached(Page) },
		"op: Attention: sequences with and without a cache in one batch":  func(p *Pass) { p.Batch.Seqs[0].Cache = cached(2 * Page) },
		"op: Attention: sequences with and without a cache in one batch ": func(p *Pass) { p.Batch.Seqs[1].Cache = cached(2 * Page) },
		"op: Attention: a tape needs sequences without a cache":           func(p *Pass) { p.Batch.Seqs[0].Cache, p.Tape = cached(2*Page), &Tape{} },
	} {
		func() {
			p := newPass(t, rows(Page+1, 2))
			prepare(p)
			in := tensor.Of(Page+3, 4, make([]float32, 4*(Page+3)))
			defer func() {
				if got := recover(); got != want && fmt.Sprint(got)+" " != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}()
			Attention(p, 0, hs, in, in, in)
		}()
	}
}
