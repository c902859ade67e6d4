//go:build !amd64 || purego

package kernel

func quantizeInt8(dst []byte, src []float32) { quantizeInt8Generic(dst, src) }

func matMulInt8(f PanelFormat, y []float32, ldy int, a []byte, stride, cols int, w []byte, n int) {
	matMulInt8Generic(f, y, ldy, a, stride, cols, w, n)
}

func decodeTile(f PanelFormat, dst []float32, ld int, w []byte, rows, cols int, scratch []float32) {
	decodeTileGeneric(f, dst, ld, w, rows, cols, scratch)
}
