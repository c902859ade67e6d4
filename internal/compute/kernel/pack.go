package kernel

// A panel holds Panel output columns side by side, so that a matrix product reads it once, in order:
//
//	f32        [ceil(n/16)][k][16]
//	bf16 pairs [ceil(n/16)][ceil(k/2)][16][2]   two neighbours in k for one column: what a bf16 dot product takes
//
// Columns beyond n and, in pairs, the k beyond an odd end are zero. In what follows src is row-major with row stride ld.

// PackRowsF32 packs src [rows, cols] with its rows as output columns: W [out, in] for y = x·Wᵀ.
// dst is [ceil(rows/16)][cols][16].
func PackRowsF32(dst, src []float32, rows, cols, ld int) {
	need(len(src), matrix(rows, cols, ld, "PackRowsF32"), "PackRowsF32: src")
	need(len(dst), PanelsF32(rows, cols), "PackRowsF32: dst")
	packRowsF32(dst, src, rows, cols, ld)
}

// PackColsF32 packs src [rows, cols] with its columns as output columns: W [out, in] for dx = dy·W, x [T, in] for
// dW = dyᵀ·x. dst is [ceil(cols/16)][rows][16].
func PackColsF32(dst, src []float32, rows, cols, ld int) {
	need(len(src), matrix(rows, cols, ld, "PackColsF32"), "PackColsF32: src")
	need(len(dst), PanelsF32(cols, rows), "PackColsF32: dst")
	packColsF32(dst, src, rows, cols, ld)
}

// PackRowsBF16 is PackRowsF32 rounded to bf16 in pairs: dst is [ceil(rows/16)][ceil(cols/2)][16][2].
func PackRowsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	need(len(src), matrix(rows, cols, ld, "PackRowsBF16"), "PackRowsBF16: src")
	need(len(dst), PanelsBF16(rows, cols), "PackRowsBF16: dst")
	packRowsBF16(dst, src, rows, cols, ld)
}

// PackColsBF16 is PackColsF32 rounded to bf16 in pairs: dst is [ceil(cols/16)][ceil(rows/2)][16][2].
func PackColsBF16(dst []uint16, src []float32, rows, cols, ld int) {
	need(len(src), matrix(rows, cols, ld, "PackColsBF16"), "PackColsBF16: src")
	need(len(dst), PanelsBF16(cols, rows), "PackColsBF16: dst")
	packColsBF16(dst, src, rows, cols, ld)
}

// TransposeF32 sets dst[c*ldDst+r] = src[r*ldSrc+c] for the rows and cols of src.
func TransposeF32(dst, src []float32, rows, cols, ldSrc, ldDst int) {
	need(len(src), matrix(rows, cols, ldSrc, "TransposeF32"), "TransposeF32: src")
	need(len(dst), matrix(cols, rows, ldDst, "TransposeF32"), "TransposeF32: dst")
	transposeF32(dst, src, rows, cols, ldSrc, ldDst)
}

// TransposeBF16 sets dst[c*ldDst+r] = bf16(src[r*ldSrc+c]) for the rows and cols of src. It writes nothing else: where
// GemmBF16 wants a row of odd length padded with zero, the caller sets that zero.
func TransposeBF16(dst []uint16, src []float32, rows, cols, ldSrc, ldDst int) {
	need(len(src), matrix(rows, cols, ldSrc, "TransposeBF16"), "TransposeBF16: src")
	need(len(dst), matrix(cols, rows, ldDst, "TransposeBF16"), "TransposeBF16: dst")
	transposeBF16(dst, src, rows, cols, ldSrc, ldDst)
}

func packRowsF32Generic(dst, src []float32, rows, cols, ld int) {
	for p := 0; p < rows; p += Panel {
		panel := dst[p*cols:][:cols*Panel]
		if rows-p < Panel {
			clear(panel)
		}
		for j := range min(Panel, rows-p) {
			for i, x := range src[(p+j)*ld:][:cols] {
				panel[i*Panel+j] = x
			}
		}
	}
}

func packColsF32Generic(dst, src []float32, rows, cols, ld int) {
	for p := 0; p < cols; p += Panel {
		width := min(Panel, cols-p)
		panel := dst[p*rows:][:rows*Panel]
		for i := range rows {
			n := copy(panel[i*Panel:][:Panel], src[i*ld+p:][:width])
			clear(panel[i*Panel+n : (i+1)*Panel])
		}
	}
}

func packRowsBF16Generic(dst []uint16, src []float32, rows, cols, ld int) {
	pairs := ceil(cols, 2)
	for p := 0; p < rows; p += Panel {
		panel := dst[p*pairs*2:][:pairs*2*Panel]
		if rows-p < Panel || cols%2 != 0 {
			clear(panel)
		}
		for j := range min(Panel, rows-p) {
			for i, x := range src[(p+j)*ld:][:cols] {
				panel[(i/2*Panel+j)*2+i%2] = bf16(x)
			}
		}
	}
}

func packColsBF16Generic(dst []uint16, src []float32, rows, cols, ld int) {
	pairs := ceil(rows, 2)
	for p := 0; p < cols; p += Panel {
		width := min(Panel, cols-p)
		panel := dst[p*pairs*2:][:pairs*2*Panel]
		if width < Panel || rows%2 != 0 {
			clear(panel)
		}
		for i := range rows {
			for j, x := range src[i*ld+p:][:width] {
				panel[(i/2*Panel+j)*2+i%2] = bf16(x)
			}
		}
	}
}

func transposeF32Generic(dst, src []float32, rows, cols, ldSrc, ldDst int) {
	for r := range rows {
		for c, x := range src[r*ldSrc:][:cols] {
			dst[c*ldDst+r] = x
		}
	}
}

func transposeBF16Generic(dst []uint16, src []float32, rows, cols, ldSrc, ldDst int) {
	for r := range rows {
		for c, x := range src[r*ldSrc:][:cols] {
			dst[c*ldDst+r] = bf16(x)
		}
	}
}
