//go:build !unix

package numtest

import "testing"

// EndOfPage returns n zeroed float32; only on unix does an unreadable page follow them.
func EndOfPage(t testing.TB, n int) []float32 { return make([]float32, n) }

// EndOfPage16 is EndOfPage for bf16 and float16 values.
func EndOfPage16(t testing.TB, n int) []uint16 { return make([]uint16, n) }

// EndOfPage8 is EndOfPage for bytes.
func EndOfPage8(t testing.TB, n int) []byte { return make([]byte, n) }
