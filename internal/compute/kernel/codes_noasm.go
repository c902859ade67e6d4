//go:build !amd64 || purego

package kernel

func lanesToF32(dst []float32, codes []int8, scale []uint16) { lanesToF32Generic(dst, codes, scale) }
func rowsToF32(dst []float32, codes []int8, scale []uint16, step int) {
	rowsToF32Generic(dst, codes, scale, step)
}
