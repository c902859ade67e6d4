package quant

import "unsafe"

// asHalves and asFloats see an arena's bytes as numbers; take aligns them. The order of bytes is the machine's own:
// these bytes never leave it.

func asHalves(b []byte) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/2)
}

func asFloats(b []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

// asHalfPanels sees scratch memory of float32 as bf16, asWords pairs of bf16 as words to be moved.
func asHalfPanels(f []float32) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(f))), 2*len(f))
}

func asWords(h []uint16) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(h))), len(h)/2)
}
