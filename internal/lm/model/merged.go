package model

import (
	"errors"
	"fmt"
	"strings"

	"retort/internal/compute/quant"
	"retort/internal/format/weights"
)

// MergeAdapter returns the tensors of src, which are of a model of c, with the PEFT adapter in the folder dir merged into
// those that it changes: W + s·B·A. Those are given as F32, or as BF16 or F16 where W is stored so; all others are src's. They
// are computed each time they are asked for. Closing the result closes src.
func MergeAdapter(src weights.Source, c Config, dir string) (weights.Source, error) {
	ad, err := openAdapter(dir, &c)
	if err != nil {
		return nil, err
	}
	return ad.merged(src, c)
}

// mergedSource is a Source with an adapter merged into its tensors.
type mergedSource struct {
	weights.Source
	ad *adapter
	c  Config
}

// merged returns src with the adapter merged into it. Every matrix that the adapter changes has to be there, in its shape.
func (ad *adapter) merged(src weights.Source, c Config) (*mergedSource, error) {
	var faults []string
	for at, ch := range ad.changes {
		if err := ch.fits(src, c, at); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", ch.module, err))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("model: adapter %s does not fit the model: %w", ad.dir, weights.Faults(faults))
	}
	return &mergedSource{src, ad, c}, nil
}

// fits says why ch cannot change the matrix at of src.
func (ch *change) fits(src weights.Source, c Config, at changed) error {
	t, ok := weights.Describe(src, at.name)
	dims := t.Dims
	if block, kv := strings.CutSuffix(at.name, "attn_kv_b.weight"); kv && !ok && c.MLA != nil {
		if _, ok = weights.Describe(src, block+latentKeys); ok {
			dims = []int{c.Heads * (c.MLA.Nope + c.MLA.Value), c.MLA.KVRank}
		}
	}
	if !ok {
		return errors.New("the model has no such matrix")
	}
	if at.expert >= 0 {
		if len(dims) != 3 || at.expert >= dims[0] {
			return fmt.Errorf("the model has no such expert: %s is %v", at.name, dims)
		}
		dims = dims[1:]
	}
	if len(dims) != 2 || dims[0] != ch.out || dims[1] != ch.in {
		return fmt.Errorf("changes a matrix [%d, %d], %s is %v", ch.out, ch.in, at.name, dims)
	}
	return nil
}

// Describe is Tensor without its data.
func (s *mergedSource) Describe(name string) (weights.Tensor, bool) {
	t, ok := weights.Describe(s.Source, name)
	if ok && s.adder(t) != nil {
		t.Type, t.Data = mergedAs(t.Type), nil
	}
	return t, ok
}

// Tensor is that of the model with the adapter. A merged number that its type cannot hold leaves the tensor without data.
func (s *mergedSource) Tensor(name string) (weights.Tensor, bool) {
	t, ok := s.Source.Tensor(name)
	if !ok {
		return t, false
	}
	add := s.adder(t)
	if add == nil || t.Check() != nil {
		return t, true
	}
	n, typ := t.Dims[len(t.Dims)-1], mergedAs(t.Type)
	from, to := t.Type.RowBytes(n), typ.RowBytes(n)
	line, data := make([]float32, n), make([]byte, len(t.Data)/from*to)
	for i := range len(data) / to {
		quant.Decode(t.Type, line, t.Data[i*from:(i+1)*from])
		add(line, i)
		if err := quant.Encode(typ, data[i*to:(i+1)*to], line); err != nil {
			data = nil
			break
		}
	}
	t.Type, t.Data = typ, data
	return t, true
}

// mergedAs is the type in which W of type t is given once it is merged: what four bits cannot tell is kept for whoever
// writes it.
func mergedAs(t quant.Type) quant.Type {
	if t == quant.BF16 || t == quant.F16 {
		return t
	}
	return quant.F32
}

// adder returns what adds the adapter's part to row i of t, counted through the outer dims, or nil if there is none.
func (s *mergedSource) adder(t weights.Tensor) func(dst []float32, i int) {
	if ch := s.ad.changes[changed{t.Name, -1}]; ch != nil {
		return ch.addRow
	}
	for _, part := range []string{latentKeys, latentValues} {
		if block, ok := strings.CutSuffix(t.Name, part); ok && s.c.MLA != nil {
			if ch := s.ad.changes[changed{block + "attn_kv_b.weight", -1}]; ch != nil {
				return ch.latentAdder(s.c.MLA, part == latentKeys)
			}
		}
	}
	var experts []*change
	if len(t.Dims) == 3 {
		for i := range t.Dims[0] {
			if ch := s.ad.changes[changed{t.Name, i}]; ch != nil {
				if experts == nil {
					experts = make([]*change, t.Dims[0])
				}
				experts[i] = ch
			}
		}
	}
	if experts == nil {
		return nil
	}
	return func(dst []float32, i int) {
		if ch := experts[i/t.Dims[1]]; ch != nil {
			ch.addRow(dst, i%t.Dims[1])
		}
	}
}

// latentAdder adds to rows of W^UK, transposed per head as files hold it, or of W^UV, both out of [W^UK | W^UV] per head.
func (ch *change) latentAdder(m *MLAConfig, keys bool) func(dst []float32, i int) {
	if !keys {
		return func(dst []float32, i int) { ch.addRow(dst, i/m.Value*(m.Nope+m.Value)+m.Nope+i%m.Value) }
	}
	return func(dst []float32, i int) { // row i of head h holds value i%L of each of its N rows
		h, at := i/m.KVRank*(m.Nope+m.Value), i%m.KVRank
		for n := range dst {
			for k, b := range ch.b[(h+n)*ch.rank : (h+n+1)*ch.rank] {
				dst[n] += float32(ch.scale) * b * ch.a[k*ch.in+at]
			}
		}
	}
}
