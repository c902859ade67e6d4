//go:build !purego

package kernel

import "retort/internal/compute/cpu"

// Why not Go: the compiler has no vectors.

var (
	vecHasAVX512 = cpu.X86.AVX512 && cpu.X86.F16C
	vecHasAVX2   = cpu.X86.AVX2 && cpu.X86.FMA && cpu.X86.F16C
)

func init() {
	cpu.Register("vec/avx512", &vecHasAVX512)
	cpu.Register("vec/avx2", &vecHasAVX2)
}

func dot(x, y []float32) float32 {
	if vecHasAVX512 {
		return dotAVX512(x, y)
	}
	if vecHasAVX2 {
		return dotAVX2(x, y)
	}
	return dotGeneric(x, y)
}

func axpy(a float32, x, y []float32) {
	switch {
	case vecHasAVX512:
		axpyAVX512(a, x, y)
	case vecHasAVX2:
		axpyAVX2(a, x, y)
	default:
		axpyGeneric(a, x, y)
	}
}

func add(dst, x []float32) {
	switch {
	case vecHasAVX512:
		addAVX512(dst, x)
	case vecHasAVX2:
		addAVX2(dst, x)
	default:
		addGeneric(dst, x)
	}
}

func mul(dst, x []float32) {
	switch {
	case vecHasAVX512:
		mulAVX512(dst, x)
	case vecHasAVX2:
		mulAVX2(dst, x)
	default:
		mulGeneric(dst, x)
	}
}

func scale(a float32, x []float32) {
	switch {
	case vecHasAVX512:
		scaleAVX512(a, x)
	case vecHasAVX2:
		scaleAVX2(a, x)
	default:
		scaleGeneric(a, x)
	}
}

func mulScaled(y, x, w []float32, a float32) {
	switch {
	case vecHasAVX512:
		mulScaledAVX512(y, x, w, a)
	case vecHasAVX2:
		mulScaledAVX2(y, x, w, a)
	default:
		mulScaledGeneric(y, x, w, a)
	}
}

func maximum(x []float32) float32 {
	if vecHasAVX512 {
		return maximumAVX512(x)
	}
	if vecHasAVX2 {
		return maximumAVX2(x)
	}
	return maxGeneric(x)
}

func expSum(x []float32, max float32) float32 {
	if vecHasAVX512 {
		return expSumAVX512(x, max)
	}
	if vecHasAVX2 {
		return expSumAVX2(x, max)
	}
	return expSumGeneric(x, max)
}

func swiGLU(dst, gate, up []float32) {
	switch {
	case vecHasAVX512:
		swiGLUAVX512(dst, gate, up)
	case vecHasAVX2:
		swiGLUAVX2(dst, gate, up)
	default:
		swiGLUGeneric(dst, gate, up)
	}
}

func swiGLUBackward(dGate, dUp, dy, gate, up []float32) {
	switch {
	case vecHasAVX512:
		swiGLUBackwardAVX512(dGate, dUp, dy, gate, up)
	case vecHasAVX2:
		swiGLUBackwardAVX2(dGate, dUp, dy, gate, up)
	default:
		swiGLUBackwardGeneric(dGate, dUp, dy, gate, up)
	}
}

func ropeHalf(x, cos, sin []float32) {
	switch {
	case vecHasAVX512:
		ropeHalfAVX512(x, cos, sin)
	case vecHasAVX2:
		ropeHalfAVX2(x, cos, sin)
	default:
		ropeHalfGeneric(x, cos, sin)
	}
}

func adamW(p, m, v, g []float32, c *[10]float32) {
	switch {
	case vecHasAVX512:
		adamWAVX512(p, m, v, g, c)
	case vecHasAVX2:
		adamWAVX2(p, m, v, g, c)
	default:
		adamWGeneric(p, m, v, g, c)
	}
}

// The kernels below do whole registers; the rest, whose place depends on the length alone, is plain Go.

func ropePairs(x, cos, sin []float32) {
	done := 0
	switch {
	case vecHasAVX512:
		ropePairsAVX512(x, cos, sin)
		done = len(cos) &^ 7
	case vecHasAVX2:
		ropePairsAVX2(x, cos, sin)
		done = len(cos) &^ 3
	}
	ropePairsGeneric(x[2*done:], cos[done:], sin[done:])
}

func toBF16(dst []uint16, src []float32) {
	done := 0
	switch {
	case vecHasAVX512:
		toBF16AVX512(dst, src)
		done = len(src) &^ 15
	case vecHasAVX2:
		toBF16AVX2(dst, src)
		done = len(src) &^ 7
	}
	toBF16Generic(dst[done:], src[done:])
}

func fromBF16(dst []float32, src []uint16) {
	done := 0
	switch {
	case vecHasAVX512:
		fromBF16AVX512(dst, src)
		done = len(src) &^ 15
	case vecHasAVX2:
		fromBF16AVX2(dst, src)
		done = len(src) &^ 7
	}
	fromBF16Generic(dst[done:], src[done:])
}

func toF16(dst []uint16, src []float32) {
	done := 0
	switch {
	case vecHasAVX512:
		toF16AVX512(dst, src)
		done = len(src) &^ 15
	case vecHasAVX2:
		toF16AVX2(dst, src)
		done = len(src) &^ 7
	}
	toF16Generic(dst[done:], src[done:])
}

func fromF16(dst []float32, src []uint16) {
	done := 0
	switch {
	case vecHasAVX512:
		fromF16AVX512(dst, src)
		done = len(src) &^ 15
	case vecHasAVX2:
		fromF16AVX2(dst, src)
		done = len(src) &^ 7
	}
	fromF16Generic(dst[done:], src[done:])
}
