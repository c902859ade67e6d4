package op

import (
	"math"

	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// RopeTable is the rotation of each position: cosines and sines of pos·freq[i], [positions, width/2].
type RopeTable struct {
	Pairs bool // rotate (2i, 2i+1) as in DeepSeek and in llama GGUF files; else (i, i+width/2) as in Qwen

	freq     []float64
	scale    float32 // multiplies cosines and sines (YaRN's magnitude where it is not in the softmax scale)
	cos, sin []float32
}

// NewRopeTable returns the table for the given angular frequencies, one a pair.
func NewRopeTable(freq []float64, pairs bool, scale float32) *RopeTable {
	return &RopeTable{Pairs: pairs, freq: freq, scale: scale}
}

// Width returns how many values of a head are rotated.
func (r *RopeTable) Width() int { return 2 * len(r.freq) }

// grow computes the table up to position n-1.
func (r *RopeTable) grow(n int) {
	half := len(r.freq)
	for pos := len(r.cos) / max(half, 1); pos < n; pos++ {
		for _, f := range r.freq {
			sin, cos := math.Sincos(float64(pos) * f)
			r.cos = append(r.cos, float32(cos)*r.scale)
			r.sin = append(r.sin, float32(sin)*r.scale)
		}
	}
}

// Rope rotates in place part of each head of x [T, H·d]: the values [at, at+width) of every head, by the position of the row.
//
// A rotation's transpose is its inverse: dx is rotated back by the same angle.
// Source: Su et al. 2021, arXiv 2104.09864.
func Rope(p *Pass, x *tensor.Tensor, r *RopeTable, d, at int) {
	most := int32(0)
	for _, pos := range p.Batch.Pos {
		most = max(most, pos)
	}
	r.grow(int(most) + 1)
	s := own(p, &p.again.rope)
	*s = rope{p: p, x: x, r: r, pos: p.Batch.Pos, d: d, at: at, data: x.Data}
	p.Run.RunRows(x.Rows, s)
	x.Changed()
	if p.Tape != nil {
		p.Tape.push(s)
	}
}

type rope struct {
	p     *Pass
	x     *tensor.Tensor
	r     *RopeTable
	pos   []int32
	d, at int
	data  []float32 // what is rotated: the data, or the gradient and then backwards
	back  bool
}

func (s *rope) output() *tensor.Tensor { return nil } // the tensor belongs to the op that made it

func (s *rope) backward(p *Pass) {
	if s.x.Grad != nil {
		s.data, s.back = s.x.Grad, true
		p.Run.RunRows(s.x.Rows, s)
	}
}

// Rows rotates rows [lo, hi).
func (s *rope) Rows(lo, hi, worker int) {
	half, data := len(s.r.freq), s.data
	minus := s.p.Run.Scratch(worker, half)
	for t := lo; t < hi; t++ {
		pos := int(s.pos[t])
		cos, sin := s.r.cos[pos*half:(pos+1)*half], s.r.sin[pos*half:(pos+1)*half]
		if s.back {
			for i, v := range sin {
				minus[i] = -v
			}
			sin = minus
		}
		for i := t*s.x.Cols + s.at; i < (t+1)*s.x.Cols; i += s.d {
			if s.r.Pairs {
				kernel.RopePairs(data[i:i+2*half], cos, sin)
			} else {
				kernel.RopeHalf(data[i:i+2*half], cos, sin)
			}
		}
	}
}
