package kernel

// Codes of 8 bits stand for code·scale with scales in bf16: what a cache of keys and values keeps, in panels. A code has
// 8 significant bits and so has a scale, so the products are exact (but for subnormal ones) and the same on every
// implementation.

// LanesToF32 sets dst[i, l] = codes[i, l]·scale[l] for the rows of codes [n, 16] and 16 scales.
func LanesToF32(dst []float32, codes []int8, scale []uint16) {
	wholeRows(len(codes), "LanesToF32: codes")
	need(len(dst), len(codes), "LanesToF32: dst")
	need(len(scale), Panel, "LanesToF32: scale")
	lanesToF32(dst, codes, scale)
}

// RowsToF32 sets dst[i, l] = codes[i, l]·scale[i·step] for the rows of codes [n, 16].
func RowsToF32(dst []float32, codes []int8, scale []uint16, step int) {
	wholeRows(len(codes), "RowsToF32: codes")
	need(len(dst), len(codes), "RowsToF32: dst")
	if n := len(codes) / Panel; n > 0 {
		need(len(scale), (n-1)*step+1, "RowsToF32: scale")
	}
	rowsToF32(dst, codes, scale, step)
}

func wholeRows(n int, what string) {
	if n%Panel != 0 {
		panic("kernel: " + what + " are not rows of 16")
	}
}

func lanesToF32Generic(dst []float32, codes []int8, scale []uint16) {
	var s [Panel]float32
	for l := range s {
		s[l] = widen(scale[l])
	}
	for i := 0; i < len(codes); i += Panel {
		row, out := (*[Panel]int8)(codes[i:]), (*[Panel]float32)(dst[i:])
		for l := range out {
			out[l] = float32(row[l]) * s[l]
		}
	}
}

func rowsToF32Generic(dst []float32, codes []int8, scale []uint16, step int) {
	for i := 0; i < len(codes); i += Panel {
		s := widen(scale[i/Panel*step])
		row, out := (*[Panel]int8)(codes[i:]), (*[Panel]float32)(dst[i:])
		for l := range out {
			out[l] = float32(row[l]) * s
		}
	}
}
