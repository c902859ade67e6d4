//go:build !amd64 || purego

package kernel

func toBF16(dst []uint16, src []float32)   { toBF16Generic(dst, src) }
func fromBF16(dst []float32, src []uint16) { fromBF16Generic(dst, src) }
func toF16(dst []uint16, src []float32)    { toF16Generic(dst, src) }
func fromF16(dst []float32, src []uint16)  { fromF16Generic(dst, src) }

func dot(x, y []float32) float32                 { return dotGeneric(x, y) }
func axpy(a float32, x, y []float32)             { axpyGeneric(a, x, y) }
func add(dst, x []float32)                       { addGeneric(dst, x) }
func mul(dst, x []float32)                       { mulGeneric(dst, x) }
func scale(a float32, x []float32)               { scaleGeneric(a, x) }
func maximum(x []float32) float32                { return maxGeneric(x) }
func mulScaled(y, x, w []float32, a float32)     { mulScaledGeneric(y, x, w, a) }
func expSum(x []float32, max float32) float32    { return expSumGeneric(x, max) }
func swiGLU(dst, gate, up []float32)             { swiGLUGeneric(dst, gate, up) }
func ropeHalf(x, cos, sin []float32)             { ropeHalfGeneric(x, cos, sin) }
func ropePairs(x, cos, sin []float32)            { ropePairsGeneric(x, cos, sin) }
func swiGLUBackward(dg, du, dy, g, up []float32) { swiGLUBackwardGeneric(dg, du, dy, g, up) }
func adamW(p, m, v, g []float32, c *[10]float32) { adamWGeneric(p, m, v, g, c) }

func packRowsF32(dst, src []float32, rows, cols, ld int) {
	packRowsF32Generic(dst, src, rows, cols, ld)
}
func packColsF32(dst, src []float32, rows, cols, ld int) {
	packColsF32Generic(dst, src, rows, cols, ld)
}
func packRowsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	packRowsBF16Generic(dst, src, rows, cols, ld)
}
func packColsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	packColsBF16Generic(dst, src, rows, cols, ld)
}
func transposeF32(dst, src []float32, rows, cols, ldSrc, ldDst int) {
	transposeF32Generic(dst, src, rows, cols, ldSrc, ldDst)
}
func transposeBF16(dst []uint16, src []float32, rows, cols, ldSrc, ldDst int) {
	transposeBF16Generic(dst, src, rows, cols, ldSrc, ldDst)
}

func gemmF32(c []float32, ldc int, a []float32, lda int, b []float32, m, k, n int, acc bool) {
	gemmF32Generic(c, ldc, a, lda, b, m, k, n, acc)
}
func gemmBF16(c []float32, ldc int, a []uint16, lda int, b []uint16, m, k, n int, acc bool) {
	gemmBF16Generic(c, ldc, a, lda, b, m, k, n, acc)
}
func gemmF32B16(c []float32, ldc int, a []float32, lda int, b []uint16, m, k, n int, acc bool) {
	gemmF32B16Generic(c, ldc, a, lda, b, m, k, n, acc)
}
