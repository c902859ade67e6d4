//go:build !purego

package kernel

// The functions of vec_amd64.s. Slices are of equal length where their Go forms want that.

//go:noescape
func dotAVX512(x []float32, y []float32) (ret float32)

//go:noescape
func axpyAVX512(a float32, x []float32, y []float32)

//go:noescape
func addAVX512(dst []float32, x []float32)

//go:noescape
func mulAVX512(dst []float32, x []float32)

//go:noescape
func scaleAVX512(a float32, x []float32)

//go:noescape
func mulScaledAVX512(y []float32, x []float32, w []float32, a float32)

//go:noescape
func maximumAVX512(x []float32) (ret float32)

//go:noescape
func expSumAVX512(x []float32, max float32) (ret float32)

//go:noescape
func swiGLUAVX512(dst []float32, gate []float32, up []float32)

//go:noescape
func swiGLUBackwardAVX512(dGate []float32, dUp []float32, dy []float32, gate []float32, up []float32)

//go:noescape
func ropeHalfAVX512(x []float32, cos []float32, sin []float32)

//go:noescape
func adamWAVX512(p []float32, m []float32, v []float32, g []float32, c *[10]float32)

//go:noescape
func ropePairsAVX512(x []float32, cos []float32, sin []float32)

//go:noescape
func toBF16AVX512(dst []uint16, src []float32)

//go:noescape
func fromBF16AVX512(dst []float32, src []uint16)

//go:noescape
func toF16AVX512(dst []uint16, src []float32)

//go:noescape
func fromF16AVX512(dst []float32, src []uint16)

//go:noescape
func dotAVX2(x []float32, y []float32) (ret float32)

//go:noescape
func axpyAVX2(a float32, x []float32, y []float32)

//go:noescape
func addAVX2(dst []float32, x []float32)

//go:noescape
func mulAVX2(dst []float32, x []float32)

//go:noescape
func scaleAVX2(a float32, x []float32)

//go:noescape
func mulScaledAVX2(y []float32, x []float32, w []float32, a float32)

//go:noescape
func maximumAVX2(x []float32) (ret float32)

//go:noescape
func expSumAVX2(x []float32, max float32) (ret float32)

//go:noescape
func swiGLUAVX2(dst []float32, gate []float32, up []float32)

//go:noescape
func swiGLUBackwardAVX2(dGate []float32, dUp []float32, dy []float32, gate []float32, up []float32)

//go:noescape
func ropeHalfAVX2(x []float32, cos []float32, sin []float32)

//go:noescape
func adamWAVX2(p []float32, m []float32, v []float32, g []float32, c *[10]float32)

//go:noescape
func ropePairsAVX2(x []float32, cos []float32, sin []float32)

//go:noescape
func toBF16AVX2(dst []uint16, src []float32)

//go:noescape
func fromBF16AVX2(dst []float32, src []uint16)

//go:noescape
func toF16AVX2(dst []uint16, src []float32)

//go:noescape
func fromF16AVX2(dst []float32, src []uint16)
