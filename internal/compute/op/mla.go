package op

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// Latent is the shape of multi-head latent attention: H heads whose keys are [nope N | rope R] wide and whose
// values are V wide, both computed from one latent of width L a token.
type Latent struct {
	Heads, Nope, Rope, Value, Rank int
	Scale                          float32
}

// LatentUp is the up-projection W^UKV, [H·(N+V), L], with the per-head packed parts that the absorbed form multiplies.
type LatentUp struct {
	W tensor.Weight

	shape Latent
	keys  []float32 // per head panels of W^UK [N, L] over its columns: q·W^UK
	vals  []float32 // per head panels of W^UV [V, L] over its rows: z·(W^UV)ᵀ
}

// NewLatentUp wraps w, whose rows are per head [N rows of W^UK | V rows of W^UV].
func NewLatentUp(w tensor.Weight, shape Latent) *LatentUp { return &LatentUp{W: w, shape: shape} }

// Changed says that W was written: the absorbed form's panels are packed again when next needed.
func (u *LatentUp) Changed() { u.keys, u.vals = nil, nil }

// pack makes the absorbed form's panels, once after every change.
func (u *LatentUp) pack() {
	s := u.shape
	head := make([]float32, (s.Nope+s.Value)*s.Rank)
	nk, nv := kernel.PanelsF32(s.Rank, s.Nope), kernel.PanelsF32(s.Value, s.Rank)
	u.keys, u.vals = make([]float32, s.Heads*nk), make([]float32, s.Heads*nv)
	for h := range s.Heads {
		for i := range s.Nope + s.Value {
			u.W.Decode(head[i*s.Rank:(i+1)*s.Rank], h*(s.Nope+s.Value)+i)
		}
		kernel.PackColsF32(u.keys[h*nk:], head, s.Nope, s.Rank, s.Rank)
		kernel.PackRowsF32(u.vals[h*nv:], head[s.Nope*s.Rank:], s.Value, s.Rank, s.Rank)
	}
}

// LatentAttention returns y[t,h] = Σ_s softmax_s(scale·(q_C·k_C + q_R·k_R)) v[s,h] with k_C = W^UK·c, v = W^UV·c.
//
// q is [T, H·(N+R)], rotated; c is [T, L], the normed latent; kr is [T, R], rotated, shared by all heads; y is
// [T, H·V]. With a cache the latent itself is cached and W^UK moves to the query, W^UV behind the sum (the
// absorbed form); without one keys and values are expanded. Both are the same function.
// Source: DeepSeek-V2, arXiv 2405.04434, equations 9-13 and appendix C.
func LatentAttention(p *Pass, layer int, q, c, kr *tensor.Tensor, up *LatentUp) *tensor.Tensor {
	if p.Batch.Seqs[0].Cache != nil {
		return latentAbsorbed(p, layer, q, c, kr, up)
	}
	s := up.shape
	kv := Linear(p, c, up.W, nil)
	k, v := expandLatent(p, s, kv, kr)
	return Attention(p, layer, Heads{Query: s.Heads, KV: s.Heads, Key: s.Nope + s.Rope, Value: s.Value, Scale: s.Scale}, q, k, v)
}

// latentAbsorbed attends with one shared key of width L+R a position, whose first L values are the value.
func latentAbsorbed(p *Pass, layer int, q, c, kr *tensor.Tensor, up *LatentUp) *tensor.Tensor {
	if up.keys == nil {
		up.pack()
	}
	s := up.shape
	nk, nv := kernel.PanelsF32(s.Rank, s.Nope), kernel.PanelsF32(s.Value, s.Rank)
	wide, head := s.Rank+s.Rope, s.Nope+s.Rope
	qs, k := p.New(q.Rows, s.Heads*wide), p.New(q.Rows, wide)
	copyRows(k.Data, wide, c.Data, s.Rank, k.Rows, s.Rank)
	copyRows(k.Data[s.Rank:], wide, kr.Data, s.Rope, k.Rows, s.Rope)
	p.again.heads = headsJob{y: qs, x: q, w: up.keys, stepY: wide, stepX: head, stepW: nk, in: s.Nope, out: s.Rank, tail: s.Rope}
	p.Run.RunRows(s.Heads, &p.again.heads)
	z := Attention(p, layer, Heads{Query: s.Heads, KV: 1, Key: wide, Value: s.Rank, Scale: s.Scale}, qs, k, c)
	y := p.New(q.Rows, s.Heads*s.Value)
	p.again.heads = headsJob{y: y, x: z, w: up.vals, stepY: s.Value, stepX: s.Rank, stepW: nv, in: s.Rank, out: s.Value}
	p.Run.RunRows(s.Heads, &p.again.heads)
	return y
}

// headsJob multiplies the part of x that belongs to a head by that head's own matrix, and copies what follows it:
// y[t,h] = [W_h·x[t,h,:in] | x[t,h,in:in+tail]].
type headsJob struct {
	y, x                *tensor.Tensor
	w                   []float32 // panels of each head
	stepY, stepX, stepW int       // from head to head
	in, out, tail       int
}

// Rows computes heads [lo, hi).
func (j *headsJob) Rows(lo, hi, _ int) {
	for h := lo; h < hi; h++ {
		kernel.GemmF32(j.y.Data[h*j.stepY:], j.y.Cols, j.x.Data[h*j.stepX:], j.x.Cols, j.w[h*j.stepW:], j.x.Rows, j.in, j.out, false)
		if j.tail > 0 {
			copyRows(j.y.Data[h*j.stepY+j.out:], j.y.Cols, j.x.Data[h*j.stepX+j.in:], j.x.Cols, j.x.Rows, j.tail)
		}
	}
}

// expandLatent splits kv [T, H·(N+V)] into values and keys, and appends the shared rotated part to each key.
//
// dkv is the gradients side by side, dkr[t] += Σ_h dk[t,h] over the rope part.
func expandLatent(p *Pass, s Latent, kv, kr *tensor.Tensor) (k, v *tensor.Tensor) {
	k, v = p.New(kv.Rows, s.Heads*(s.Nope+s.Rope)), p.New(kv.Rows, s.Heads*s.Value)
	for t := range kv.Rows {
		for h := range s.Heads {
			src := kv.Row(t)[h*(s.Nope+s.Value):]
			dst := k.Row(t)[h*(s.Nope+s.Rope):]
			copy(dst[:s.Nope], src)
			copy(dst[s.Nope:s.Nope+s.Rope], kr.Row(t))
			copy(v.Row(t)[h*s.Value:(h+1)*s.Value], src[s.Nope:])
		}
	}
	if p.Tape != nil {
		p.Tape.push(&expanded{k: k, v: v, kv: kv, kr: kr, shape: s})
	}
	return k, v
}

type expanded struct {
	k, v, kv, kr *tensor.Tensor
	shape        Latent
}

// output is nil, since either of the two may be used alone.
func (e *expanded) output() *tensor.Tensor { return nil }

func (e *expanded) backward(p *Pass) {
	if e.k.Grad != nil || e.v.Grad != nil {
		e.accumulate(p)
	}
	p.Run.Free(e.k)
	p.Run.Free(e.v)
}

func (e *expanded) accumulate(p *Pass) {
	s := e.shape
	dkv, dkr := p.Run.Zeroed(e.kv), p.Run.Zeroed(e.kr)
	gk, gv := p.Run.Zeroed(e.k), p.Run.Zeroed(e.v)
	for t := range e.kv.Rows {
		out := dkv[t*e.kv.Cols:]
		for h := range s.Heads {
			dk := gk[t*e.k.Cols+h*(s.Nope+s.Rope):]
			kernel.Add(out[h*(s.Nope+s.Value):][:s.Nope], dk[:s.Nope])
			kernel.Add(out[h*(s.Nope+s.Value)+s.Nope:][:s.Value], gv[t*e.v.Cols+h*s.Value:][:s.Value])
			kernel.Add(dkr[t*s.Rope:(t+1)*s.Rope], dk[s.Nope:s.Nope+s.Rope])
		}
	}
}
