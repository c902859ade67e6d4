package op

import "fmt"

// CacheType says how keys and values are kept.
type CacheType int

const (
	CacheF32  CacheType = iota // float32, as they were computed
	CacheBF16                  // rounded to bf16
	CacheQ8                    // codes of 8 bits with one bf16 scale for each 32; see kvq8.go
)

var cacheTypes = [...]string{CacheF32: "f32", CacheBF16: "bf16", CacheQ8: "q8_0"}

// String returns "f32", "bf16" or "q8_0".
func (t CacheType) String() string { return cacheTypes[t] }

// ParseCacheType is the inverse of String.
func ParseCacheType(s string) (CacheType, error) {
	for t, name := range cacheTypes {
		if s == name {
			return CacheType(t), nil
		}
	}
	return 0, fmt.Errorf("op: cache type %q, want f32, bf16 or q8_0", s)
}

// PageData is the content of one page: keys and values of Page positions in every layer and head.
type PageData struct {
	F32 []float32 // CacheF32: values
	B16 []uint16  // CacheBF16: values; CacheQ8: scales
	Q8  []int8    // CacheQ8: codes
}

// PageSize is how much a page holds.
type PageSize struct {
	Type           CacheType
	Values, Scales int // those of CacheQ8 alone have scales
}

// Layout places the layers one after another in a page of type t, and returns the size of such a page.
func Layout(t CacheType, layers []KV) PageSize {
	size := PageSize{Type: t}
	for i := range layers {
		c := &layers[i]
		c.Type, c.at, c.scaleAt = t, size.Values, size.Scales
		size.Values += c.Heads * c.headValues()
		if t == CacheQ8 {
			size.Scales += c.Heads * c.headScales()
		}
	}
	return size
}

// Bytes returns the memory of a page.
func (s PageSize) Bytes() int64 {
	switch s.Type {
	case CacheF32:
		return 4 * int64(s.Values)
	case CacheBF16:
		return 2 * int64(s.Values)
	default:
		return int64(s.Values) + 2*int64(s.Scales)
	}
}

// New returns a page of zeros.
func (s PageSize) New() PageData {
	switch s.Type {
	case CacheF32:
		return PageData{F32: make([]float32, s.Values)}
	case CacheBF16:
		return PageData{B16: make([]uint16, s.Values)}
	default:
		return PageData{Q8: make([]int8, s.Values), B16: make([]uint16, s.Scales)}
	}
}

// Clear makes the page zero.
func (d *PageData) Clear() {
	clear(d.F32)
	clear(d.B16)
	clear(d.Q8)
}

// CopyFrom copies the content of a page of the same size.
func (d *PageData) CopyFrom(src *PageData) {
	copy(d.F32, src.F32)
	copy(d.B16, src.B16)
	copy(d.Q8, src.Q8)
}
