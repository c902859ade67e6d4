//go:build !linux

package limit

// reserve returns zeroed memory.
func reserve(size int) (mem []float32, free func(), err error) {
	return make([]float32, size/4), func() {}, nil
}
