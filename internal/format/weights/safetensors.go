package weights

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"retort/internal/compute/quant"
	"retort/internal/format/safetensors"
)

// Layout says what of a model's shape decides how Hugging Face's tensors become GGUF's.
type Layout struct {
	Arch           string // GGUF's name of the architecture
	Layers         int    // those beyond predict further tokens and are left out
	Experts        int
	Heads, KVHeads int
	Tied           bool // the output head is the embedding, and left out if the file repeats it; one that differs is not
}

// hfSource gives Hugging Face's tensors under GGUF's names and in GGUF's forms: experts stacked, and the rows of
// llama's queries and keys in the order that turns neighbours together.
type hfSource struct {
	f       *safetensors.File
	layout  Layout
	names   []string
	tensors map[string]*safetensors.Tensor
	experts map[string]map[int]*safetensors.Tensor // by number
}

// FromSafetensors returns the tensors of f under GGUF's names; the error lists those that have none, and those that
// cannot be decoded. What the source gives is the file's own memory, except that stacked experts and permuted rows are
// copied each time they are asked for.
func FromSafetensors(f *safetensors.File, layout Layout) (Source, error) {
	s := &hfSource{f: f, layout: layout, tensors: map[string]*safetensors.Tensor{}, experts: map[string]map[int]*safetensors.Tensor{}}
	var faults []string
	prefix := commonPrefix(f)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		hf := canonical(t.Name, prefix)
		name, expert, known := GGUFName(hf)
		if s.leftOut(t, hf, prefix) {
			continue
		}
		// Only translated names get further, and each of them comes from one name: the file cannot slip in a tensor under
		// GGUF's name, or a dtype that we do not know.
		if !known || expert >= layout.Experts {
			faults = append(faults, t.Name+": not part of this architecture")
			continue
		}
		if _, ok := floatTypes[t.DType]; !ok {
			faults = append(faults, fmt.Sprintf("%s: dtype %s cannot be read, want F32, F16 or BF16", t.Name, t.DType))
			continue
		}
		if s.tensors[name] != nil || s.experts[name][expert] != nil {
			faults = append(faults, t.Name+": is there twice, as "+hf)
			continue
		}
		if s.experts[name] == nil {
			s.names = append(s.names, name)
		}
		if expert < 0 {
			s.tensors[name] = t
			continue
		}
		if s.experts[name] == nil {
			s.experts[name] = map[int]*safetensors.Tensor{}
		}
		s.experts[name][expert] = t
	}
	return s, Faults(faults)
}

var floatTypes = map[safetensors.DType]quant.Type{safetensors.F32: quant.F32, safetensors.F16: quant.F16, safetensors.BF16: quant.BF16}

// leftOut says whether a tensor is in many files and of no use; hf is its usual name.
func (s *hfSource) leftOut(t *safetensors.Tensor, hf, prefix string) bool {
	if strings.HasSuffix(hf, ".rotary_emb.inv_freq") {
		return true
	}
	if hf == headName {
		return s.layout.Tied && sameTensor(t, s.f.Tensor(prefix+embedName))
	}
	_, numbers := pattern(hf)
	return strings.HasPrefix(hf, usualPrefix+"layers.") && len(numbers) > 0 && numbers[0] >= s.layout.Layers
}

// sameTensor says whether two tensors are the same, bit for bit. Source: as transformers decide it (modeling_utils.py,
// tie_weights): with tie_word_embeddings a head that differs is a head of its own.
func sameTensor(a, b *safetensors.Tensor) bool {
	return b != nil && a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data(), b.Data())
}

const (
	usualPrefix = "model."
	embedName   = "embed_tokens.weight"
	headName    = "lm_head.weight"
)

// commonPrefix returns what stands before the names of f's language model: "model.", nothing where only the trunk was
// saved, "language_model.model." or "model.language_model." where it was part of more. The one embedding tells; where
// there are none or several the names have to be the usual ones.
func commonPrefix(f *safetensors.File) string {
	prefix, found := usualPrefix, 0
	for i := range f.Tensors {
		if p, ok := strings.CutSuffix(f.Tensors[i].Name, embedName); ok && (p == "" || strings.HasSuffix(p, ".")) {
			prefix, found = p, found+1
		}
	}
	if found != 1 {
		return usualPrefix
	}
	return prefix
}

// canonical returns the usual name of the tensor hf in a file whose names begin with prefix. One that does not begin so is
// spoiled, for it could be a usual name and is not the file's.
func canonical(hf, prefix string) string {
	if prefix == usualPrefix {
		return hf
	}
	if hf == headName || hf == strings.TrimSuffix(prefix, usualPrefix)+headName {
		return headName
	}
	if rest, ok := strings.CutPrefix(hf, prefix); ok {
		return usualPrefix + rest
	}
	return "?" + hf
}

// Describe gives stacked experts as far as they follow in number and are of one shape and type.
func (s *hfSource) Describe(name string) (Tensor, bool) {
	parts := s.experts[name]
	if parts == nil {
		p := s.tensors[name]
		if p == nil {
			return Tensor{}, false
		}
		return Tensor{Name: name, Type: floatTypes[p.DType], Dims: p.Shape}, true
	}
	first, n := parts[0], 1
	if first == nil {
		return Tensor{Name: name, Dims: []int{0}}, true // a shape that fits nothing
	}
	for parts[n] != nil && parts[n].DType == first.DType && fits(parts[n].Shape, first.Shape) {
		n++
	}
	return Tensor{Name: name, Type: floatTypes[first.DType], Dims: append([]int{n}, first.Shape...)}, true
}

func (s *hfSource) Tensor(name string) (Tensor, bool) {
	t, ok := s.Describe(name)
	if !ok {
		return t, false
	}
	if parts := s.experts[name]; parts != nil {
		all := make([][]byte, t.Dims[0])
		for i := range all {
			all[i] = parts[i].Data()
		}
		t.Data = slices.Concat(all...)
		return t, true
	}
	t.Data = s.tensors[name].Data()
	if s.layout.Arch == "llama" && Turns(name) {
		heads := s.layout.Heads
		if strings.Contains(name, ".attn_k.") {
			heads = s.layout.KVHeads
		}
		return neighbours(t, heads), true
	}
	return t, true
}

// neighbours reorders the rows of each head so that the values that turn together, (i, i + d/2) in Hugging Face's llama,
// are (2i, 2i+1), as GGUF files hold them.
func neighbours(t Tensor, heads int) Tensor {
	if len(t.Dims) == 0 || heads < 1 || t.Dims[0] == 0 || t.Dims[0]%(2*heads) != 0 {
		return t // no such model: the shape is refused elsewhere
	}
	d, row := t.Dims[0]/heads, len(t.Data)/t.Dims[0]
	out := make([]byte, len(t.Data))
	for r := range t.Dims[0] {
		h, i := r/d*d, r%d
		from := h + i%2*(d/2) + i/2
		copy(out[r*row:(r+1)*row], t.Data[from*row:])
	}
	t.Data = out
	return t
}

func (s *hfSource) Names() []string { return s.names }

func (s *hfSource) Close() error { return s.f.Close() }
