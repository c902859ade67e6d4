//go:build !purego

package kernel

// Why not Go: the compiler has no vectors; a code is read from memory in a tenth of the time that Go takes to widen it.

//go:noescape
func lanesToF32AVX512(dst []float32, codes []int8, scale []uint16)

//go:noescape
func rowsToF32AVX512(dst []float32, codes []int8, scale []uint16, step int)

//go:noescape
func lanesToF32AVX2(dst []float32, codes []int8, scale []uint16)

//go:noescape
func rowsToF32AVX2(dst []float32, codes []int8, scale []uint16, step int)

func lanesToF32(dst []float32, codes []int8, scale []uint16) {
	switch {
	case vecHasAVX512:
		lanesToF32AVX512(dst, codes, scale)
	case vecHasAVX2:
		lanesToF32AVX2(dst, codes, scale)
	default:
		lanesToF32Generic(dst, codes, scale)
	}
}

func rowsToF32(dst []float32, codes []int8, scale []uint16, step int) {
	switch {
	case vecHasAVX512:
		rowsToF32AVX512(dst, codes, scale, step)
	case vecHasAVX2:
		rowsToF32AVX2(dst, codes, scale, step)
	default:
		rowsToF32Generic(dst, codes, scale, step)
	}
}
