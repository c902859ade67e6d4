package weights

import (
	"fmt"
	"strings"
	"testing"

	"retort/internal/compute/quant"
	"retort/internal/format/gguf"
)

// memory is a Source of tensors in their order.
type memory []Tensor

func (m memory) Close() error { return nil }

func (m memory) Tensor(name string) (Tensor, bool) {
	for _, t := range m {
		if t.Name == name {
			return t, true
		}
	}
	return Tensor{}, false
}

func (m memory) Names() []string {
	var names []string
	for _, t := range m {
		names = append(names, t.Name)
	}
	return names
}

// TestBinderTellsAll: one error names each tensor that does not fit, and what comes back with data can be decoded.
func TestBinderTellsAll(t *testing.T) {
	src := memory{
		{Name: "good", Type: quant.F16, Dims: []int{2, 3}, Data: make([]byte, 12)},
		{Name: "blocks", Type: quant.Q4_K, Dims: []int{1, 2, 256}, Data: make([]byte, 288)},
		{Name: "scalar", Type: quant.F32, Dims: []int{}, Data: make([]byte, 4)},
		{Name: "shape", Type: quant.F32, Dims: []int{2, 3}, Data: make([]byte, 24)},
		{Name: "integers", Type: quant.Type(gguf.I32), Dims: []int{4}, Data: make([]byte, 16)},
		{Name: "fp4", Type: quant.Type(gguf.NVFP4), Dims: []int{64}, Data: make([]byte, 36)},
		{Name: "unheard", Type: 1 << 31, Dims: []int{4}, Data: make([]byte, 16)},
		{Name: "row", Type: quant.Q8_0, Dims: []int{2, 16}, Data: make([]byte, 34)},
		{Name: "short", Type: quant.F32, Dims: []int{2, 3}, Data: make([]byte, 20)},
		{Name: "long", Type: quant.F32, Dims: []int{2, 3}, Data: make([]byte, 48)},
		{Name: "wraps", Type: quant.F32, Dims: []int{1 << 31, 1 << 31, 1}, Data: nil},
		{Name: "ignored", Type: quant.F32, Dims: []int{1}},
		{Name: "extra", Type: quant.F32, Dims: []int{1}},
	}
	b := NewBinder(src)
	b.Ignore("ignored")
	for _, want := range []struct {
		name string
		dims []int
	}{{"good", []int{2, 3}}, {"blocks", []int{2, 256}}, {"scalar", []int{1}}} {
		got := b.Tensor(want.name, want.dims...)
		if got.Data == nil || len(got.Floats()) != got.Elements() {
			t.Errorf("%s: %+v", want.name, got)
		}
	}
	for _, bad := range []struct {
		name string
		dims []int
	}{{"absent", []int{1}}, {"shape", []int{3, 2}}, {"integers", []int{4}}, {"fp4", []int{64}}, {"unheard", []int{4}}, {"row", []int{2, 16}}, {"short", []int{2, 3}},
		{"long", []int{2, 3}}, {"wraps", []int{1 << 31, 1 << 31, 1}}} {
		if got := b.Tensor(bad.name, bad.dims...); got.Data != nil {
			t.Errorf("%s: has data", bad.name)
		}
	}
	if !b.Has("good") || b.Has("absent") {
		t.Error("Has does not know what is there")
	}
	want := `weights: 10 tensors do not fit:
  absent: missing, want shape [1]
  extra: not part of this architecture
  fp4: stored as NVFP4, which cannot be decoded
  integers: stored as I32, which cannot be decoded
  long: 48 bytes of F32, which shape [2 3] does not have
  row: rows of 16 weights, Q8_0 wants a multiple of 32
  shape: shape [2 3], want [3 2]
  short: 20 bytes of F32, which shape [2 3] does not have
  unheard: stored as type(2147483648), which cannot be decoded
  wraps: 0 bytes of F32, which shape [2147483648 2147483648 1] does not have`
	if err := b.Err(); err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
	if b := NewBinder(src[:1]); b.Tensor("good", 2, 3).Data == nil || b.Err() != nil {
		t.Errorf("a source that fits: %v", b.Err())
	}
}

// TestHeaders: without data, names and shapes are compared as ever, and what fits has no data.
func TestHeaders(t *testing.T) {
	b := NewBinder(Headers(memory{{Name: "good", Type: quant.F32, Dims: []int{2}, Data: make([]byte, 8)}, {Name: "shape", Type: quant.F32, Dims: []int{3}}, {Name: "extra", Dims: []int{1}}}))
	if got := b.Tensor("good", 2); got.Data != nil || !b.Has("good") {
		t.Errorf("good: %+v", got)
	}
	b.Tensor("shape", 2)
	b.Tensor("absent", 1)
	const want = "weights: 3 tensors do not fit:\n  absent: missing, want shape [1]\n  extra: not part of this architecture\n  shape: shape [3], want [2]"
	if err := b.Err(); err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
}

// TestManyFaults: an error stays readable.
func TestManyFaults(t *testing.T) {
	b := NewBinder(memory{})
	for i := range 50 {
		b.Tensor(fmt.Sprint("t", i), 1)
	}
	if got := b.Err().Error(); strings.Count(got, "\n") != mostFaults+1 || !strings.HasSuffix(got, "… and 30 more") {
		t.Errorf("the error is\n%s", got)
	}
}

func TestFits(t *testing.T) {
	for _, c := range []struct {
		have, want []int
		fits       bool
	}{
		{nil, nil, true}, {[]int{1}, nil, true}, {nil, []int{1, 1}, true}, {[]int{1, 1, 3}, []int{3}, true}, {[]int{3}, []int{1, 3}, true}, {[]int{2, 3}, []int{2, 3}, true},
		{nil, []int{2}, false}, {[]int{3, 1}, []int{3}, false}, {[]int{2, 3}, []int{3, 2}, false}, {[]int{6}, []int{2, 3}, false}, {[]int{2, 1, 3}, []int{2, 3}, false},
	} {
		if got := fits(c.have, c.want); got != c.fits {
			t.Errorf("%v fits %v: %v", c.have, c.want, got)
		}
	}
}
