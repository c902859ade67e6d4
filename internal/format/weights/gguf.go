package weights

import (
	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// ggufSource reads a GGUF file.
type ggufSource struct{ f *gguf.File }

// FromGGUF returns the tensors of f. A type that cannot be decoded is an error when the model
// asks for the tensor.
func FromGGUF(f *gguf.File) Source { return ggufSource{f} }

func (s ggufSource) Tensor(name string) (Tensor, bool) {
	t := s.f.Tensor(name)
	if t == nil {
		return Tensor{}, false
	}
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[len(dims)-1-i] = d
	}
	return Tensor{Name: name, Type: quant.Type(t.Type), Dims: dims, Data: t.Data()}, true
}

func (s ggufSource) Names() []string {
	names := make([]string, len(s.f.Tensors))
	for i := range s.f.Tensors {
		names[i] = s.f.Tensors[i].Name
	}
	return names
}

func (s ggufSource) Close() error { return s.f.Close() }
