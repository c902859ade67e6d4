package model

import (
	"context"
	"io"

	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
	"retort/internal/format/weights"
)

// WriteGGUF writes the trainable tensors of m as a GGUF file at path. md gives everything but the tensors: that of
// the file the model came from, or of Config.Metadata. A number that is not finite, or that its type cannot hold, is an
// error with tensor and place. Matrices are stored as t where their rows allow it, else
// as F16; norms, biases and the router stay F32, as every reader expects.
//
// Of a LoRA model, and of one that does not learn, it writes every tensor, with LoRAs and adapter merged into those that
// they change. The others are copied as stored unless t is smaller, and rows that t does not fit become Q8_0. A small
// change may round away in four bits: see Merge.
func (m *Model) WriteGGUF(ctx context.Context, path string, md *gguf.Metadata, t quant.Type) error {
	w, err := gguf.Create(path)
	if err != nil {
		return err
	}
	defer w.Abort()
	for key, v := range md.All() {
		w.Set(key, v)
	}
	w.Set("general.file_type", gguf.ValueOf(uint32(fileType(t))))
	if factors := m.Config.Rope.ropeFactors(); factors != nil && (m.lora == nil && len(m.params) > 0 || !m.stores(ropeFreqs)) {
		w.Add(ropeFreqs, gguf.F32, []int{len(factors)}, func(dst io.Writer) error {
			_, err := dst.Write(bytesOf(factors))
			return err
		})
	}
	if m.lora != nil || len(m.params) == 0 {
		m.addMerged(w, t)
		return w.Commit(ctx)
	}
	for _, p := range m.params {
		typ := storedType(p, t)
		row := p.Dims[len(p.Dims)-1]
		dims := make([]int, len(p.Dims))
		for i, d := range p.Dims {
			dims[len(dims)-1-i] = d
		}
		w.Add(p.Name, gguf.Type(typ), dims, func(dst io.Writer) error {
			var failed error
			at := 0
			p.Slices(func(values, _ []float32) {
				if failed == nil {
					failed = quant.Behind(encodeRows(dst, typ, values, row), at)
				}
				at += len(values)
			})
			return failed
		})
	}
	return w.Commit(ctx)
}

// ropeFreqs divides the frequencies of llama's rotation.
const ropeFreqs = "rope_freqs.weight"

// stores says whether the file that m was made of has the tensor name.
func (m *Model) stores(name string) bool {
	_, ok := weights.Describe(m.source, name)
	return ok
}

// storedType returns how p is stored in a file of type t.
func storedType(p Param, t quant.Type) quant.Type {
	if len(p.Dims) == 1 || p.isRouter() {
		return quant.F32
	}
	if p.Dims[len(p.Dims)-1]%t.BlockSize() != 0 {
		return quant.F16
	}
	return t
}

func (p Param) isRouter() bool {
	const suffix = "ffn_gate_inp.weight"
	return len(p.Name) >= len(suffix) && p.Name[len(p.Name)-len(suffix):] == suffix
}

// encodeRows writes values, rows of n, in the stored form t.
func encodeRows(dst io.Writer, t quant.Type, values []float32, n int) error {
	const most = 1 << 16 // values at a time
	step := max(1, most/n) * n
	buf := make([]byte, step/n*t.RowBytes(n))
	for at := 0; at < len(values); at += step {
		part := values[at:min(at+step, len(values))]
		b := buf[:len(part)/n*t.RowBytes(n)]
		if err := quant.Encode(t, b, part); err != nil {
			return quant.Behind(err, at)
		}
		if _, err := dst.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// fileType is llama.cpp's number for a file whose matrices are mostly t (general.file_type).
func fileType(t quant.Type) int {
	switch t {
	case quant.F32:
		return 0
	case quant.F16:
		return 1
	case quant.Q4_0:
		return 2
	case quant.Q4_1:
		return 3
	case quant.Q8_0:
		return 7
	case quant.Q5_0:
		return 8
	case quant.Q5_1:
		return 9
	case quant.Q4_K:
		return 15
	case quant.Q6_K:
		return 18
	case quant.BF16:
		return 32
	}
	return 1
}
