package op

import (
	"fmt"
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Gate is how DeepSeek's router turns scores into a choice. Source: DeepSeek-V2 arXiv 2405.04434 section 2.2,
// DeepSeek-V3 arXiv 2412.19437 section 2.1.2.
type Gate struct {
	TopK         int
	Groups, Keep int       // experts are in Groups groups of which Keep may be chosen from; 1, 1 for no limit
	Sigmoid      bool      // score by sigmoid (V3), else by softmax (V2)
	Normalize    bool      // divide the chosen weights by their sum
	Scale        float32   // multiplies the weights
	Bias         []float32 // [E], added for the choice only (V3), or nil; it has no gradient
}

// Choice is what Route decided: for each row TopK experts and their weights.
type Choice struct {
	Experts []int32        // [T·TopK]
	Weights *tensor.Tensor // [T, TopK]
}

// Route returns the experts of each row and their differentiable weights from the router's logits z, [T, E].
//
// s = softmax(z) or σ(z); the choice is by s + bias, within the best groups (of a group's score: the sum of its
// two best with a bias, its best without); g = s of the chosen, divided by their sum if Normalize, times Scale.
func Route(p *Pass, z *tensor.Tensor, g Gate) Choice {
	if g.TopK < 1 || g.TopK > z.Cols {
		panic(fmt.Sprintf("op: Route: choose %d of %d experts", g.TopK, z.Cols))
	}
	c := Choice{Experts: ownInts(p, &p.again.chosen, z.Rows*g.TopK), Weights: p.New(z.Rows, g.TopK)}
	score := p.New(z.Rows, z.Cols)
	pick := p.Run.Scratch(0, z.Cols+g.Groups)
	pick, groups := pick[:z.Cols], pick[z.Cols:]
	for t := range z.Rows {
		s := score.Row(t)
		copy(s, z.Row(t))
		g.score(s)
		copy(pick, s)
		if g.Bias != nil {
			kernel.Add(pick, g.Bias)
		}
		chosen := c.Experts[t*g.TopK : (t+1)*g.TopK]
		g.limitGroups(pick, groups)
		topK(chosen, pick)
		g.weigh(c.Weights.Row(t), s, chosen)
	}
	if p.Tape != nil {
		p.Tape.push(&route{c, z, score, g})
	}
	return c
}

func (g *Gate) score(s []float32) {
	if !g.Sigmoid {
		kernel.Softmax(s)
		return
	}
	for i, v := range s {
		s[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
}

// limitGroups sets the scores outside the best groups to -Inf. best, [Groups], is scratch.
func (g *Gate) limitGroups(pick, best []float32) {
	if g.Groups <= 1 || g.Keep >= g.Groups {
		return
	}
	size := len(pick) / g.Groups
	for i := range best {
		first, second := float32(math.Inf(-1)), float32(math.Inf(-1))
		for _, v := range pick[i*size : (i+1)*size] {
			if v > first {
				first, second = v, first
			} else if v > second {
				second = v
			}
		}
		best[i] = first
		if g.Sigmoid && size > 1 {
			best[i] += second
		}
	}
	for range g.Groups - g.Keep {
		worst := 0 // of equals the later one
		for i, v := range best {
			if v <= best[worst] {
				worst = i
			}
		}
		best[worst] = float32(math.Inf(1))
		for j := worst * size; j < (worst+1)*size; j++ {
			pick[j] = float32(math.Inf(-1))
		}
	}
}

func contains(l []int32, x int32) bool {
	for _, v := range l {
		if v == x {
			return true
		}
	}
	return false
}

// topK writes the indices of the largest values, best first; of equals the lower index.
func topK(dst []int32, v []float32) {
	for n := range dst {
		best := int32(-1)
		for i, x := range v {
			if (best < 0 || x > v[best]) && !contains(dst[:n], int32(i)) {
				best = int32(i)
			}
		}
		dst[n] = best
	}
}

const gateEps = 1e-20 // keeps the sum of chosen weights from zero, as the published code does

func (g *Gate) weigh(w, s []float32, chosen []int32) {
	sum := float32(gateEps)
	for i, e := range chosen {
		w[i] = s[e]
		sum += s[e]
	}
	f := g.Scale
	if g.Normalize {
		f /= sum
	}
	for i := range w {
		w[i] *= f
	}
}

type route struct {
	c        Choice
	z, score *tensor.Tensor
	g        Gate
}

func (s *route) output() *tensor.Tensor { return s.c.Weights }

func (s *route) backward(p *Pass) {
	dz := p.Run.Zeroed(s.z)
	k, e := s.g.TopK, s.z.Cols
	ds := make([]float32, e)
	for t := range s.z.Rows {
		clear(ds)
		dw := s.c.Weights.Grad[t*k : (t+1)*k]
		sc := s.score.Row(t)
		chosen := s.c.Experts[t*k : (t+1)*k]
		s.weighBackward(ds, dw, sc, chosen)
		out := dz[t*e : (t+1)*e]
		if s.g.Sigmoid {
			for i, d := range ds {
				out[i] += d * sc[i] * (1 - sc[i])
			}
			continue
		}
		dot := kernel.Dot(ds, sc)
		for i, d := range ds {
			out[i] += sc[i] * (d - dot)
		}
	}
	p.Run.Free(s.score)
}

// weighBackward: w_i = f·s_i, or f·s_i/Σs with ds_i = f/Σs·(dw_i − Σ_j dw_j·s_j/Σs).
func (s *route) weighBackward(ds, dw, sc []float32, chosen []int32) {
	sum, dot := float32(gateEps), float32(0)
	for i, e := range chosen {
		sum += sc[e]
		dot += dw[i] * sc[e]
	}
	for i, e := range chosen {
		if s.g.Normalize {
			ds[e] += s.g.Scale / sum * (dw[i] - dot/sum)
		} else {
			ds[e] += s.g.Scale * dw[i]
		}
	}
}

// Expert is one feed-forward network of a mixture.
type Expert struct{ Gate, Up, Down tensor.Weight }

// Experts returns y[t] = Σ_i w[t,i]·Down_e(silu(Gate_e x)·(Up_e x)), e the i-th expert chosen for row t; x, y are [T, D].
//
// Rows are grouped by expert and go through each expert as one product. Backward: each expert's own, with
// dw[t,i] = dy[t]·Expert_e(x[t]).
func Experts(p *Pass, x *tensor.Tensor, c Choice, experts []Expert) *tensor.Tensor {
	y := p.New(x.Rows, x.Cols)
	clear(y.Data)
	k := c.Weights.Cols
	byExpert, ends := group(p, c.Experts, len(experts))
	lo := int32(0)
	for e, hi := range ends {
		places := byExpert[lo:hi]
		if lo = hi; len(places) == 0 {
			continue
		}
		in := gather(p, x, places, k)
		gate, up := Linear2(p, in, experts[e].Gate, experts[e].Up)
		out := Linear(p, SwiGLU(p, gate, up), experts[e].Down, nil)
		scatter(p, y, out, c, places, k)
	}
	return y
}

// group returns the places in chosen of expert 0, then those of expert 1 and so on, and where each expert's end.
func group(p *Pass, chosen []int32, experts int) (places, ends []int32) {
	places, ends = ownInts(p, &p.again.places, len(chosen)), ownInts(p, &p.again.ends, experts)
	clear(ends)
	for _, e := range chosen {
		ends[e]++
	}
	begin := int32(0)
	for e, n := range ends {
		ends[e] = begin
		begin += n
	}
	for i, e := range chosen { // a begin that moves becomes the end
		places[ends[e]] = int32(i)
		ends[e]++
	}
	return places, ends
}

// gather copies the rows of x that the places (row·k + i) name.
func gather(p *Pass, x *tensor.Tensor, places []int32, k int) *tensor.Tensor {
	in := p.New(len(places), x.Cols)
	for i, at := range places {
		copy(in.Row(i), x.Row(int(at)/k))
	}
	if p.Tape != nil {
		p.Tape.push(&gathered{in, x, places, k})
	}
	return in
}

type gathered struct {
	y, x   *tensor.Tensor
	places []int32
	k      int
}

func (s *gathered) output() *tensor.Tensor { return s.y }

func (s *gathered) backward(p *Pass) {
	dx, d := p.Run.Zeroed(s.x), s.x.Cols
	for i, at := range s.places {
		t := int(at) / s.k
		kernel.Add(dx[t*d:(t+1)*d], s.y.Grad[i*d:(i+1)*d])
	}
}

// scatter adds the rows of out, each times its weight, to the rows of y they belong to.
func scatter(p *Pass, y, out *tensor.Tensor, c Choice, places []int32, k int) {
	for i, at := range places {
		kernel.Axpy(c.Weights.Data[at], out.Row(i), y.Row(int(at)/k))
	}
	if p.Tape != nil {
		p.Tape.push(&scattered{y, out, c, places, k})
	}
}

type scattered struct {
	y, out *tensor.Tensor
	c      Choice
	places []int32
	k      int
}

func (s *scattered) output() *tensor.Tensor { return nil }

func (s *scattered) backward(p *Pass) {
	if s.y.Grad == nil {
		return
	}
	dout, dw, d := p.Run.Zeroed(s.out), p.Run.Zeroed(s.c.Weights), s.y.Cols
	for i, at := range s.places {
		t := int(at) / s.k
		dy := s.y.Grad[t*d : (t+1)*d]
		kernel.Axpy(s.c.Weights.Data[at], dy, dout[i*d:(i+1)*d])
		dw[at] += kernel.Dot(dy, s.out.Row(i))
	}
}
