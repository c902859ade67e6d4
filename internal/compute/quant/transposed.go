package quant

import (
	"retort/internal/compute/kernel"
	"retort/internal/compute/tensor"
)

// tiled is a packed weight that can be decoded piece by piece.
type tiled interface {
	Dims() (out, in int)
	// decodeTile writes W[row:row+rows, col:col+cols] to dst, [rows, cols]; row is a multiple of 16, col of 256, and
	// cols too unless the row ends there. scratch has 16*cols elements.
	decodeTile(dst []float32, row, rows, col, cols int, scratch []float32)
}

const (
	// A worker owns tileCols columns of dx and goes down the rows of W, tileRows at a time: 256 KiB of float32, which
	// with its packed form stays in a second-level cache of 1 MiB.
	tileCols = 256
	tileRows = 256
)

// matMulT adds dy·W to the gradient of x, with products in bf16 or in float32.
//
// Nothing of W is kept as floats: each worker decodes a piece, multiplies all rows of dy by it, and forgets it.
// An element of dx is one chain of additions down the rows of W, whatever the number of rows of dy or of workers.
func matMulT(r *tensor.Run, w tiled, x, y *tensor.Tensor, half bool) {
	out, in := w.Dims()
	j := &transposedJob{w: w, r: r, out: out, in: in, dx: r.Zeroed(x), rows: x.Rows, dy: y.Grad}
	if half {
		// The gradient as a tensor of its own has a bf16 form that the workers share.
		g := tensor.Of(y.Rows, y.Cols, y.Grad)
		j.half, j.stride = r.BF16(g)
		defer g.Changed()
	}
	r.Pool.Run(j, (in+tileCols-1)/tileCols)
}

type transposedJob struct {
	w       tiled
	r       *tensor.Run
	out, in int
	rows    int // of dx and dy
	dx, dy  []float32
	half    []uint16
	stride  int
}

// Part adds to columns [i*tileCols, (i+1)*tileCols) of dx.
func (j *transposedJob) Part(i, worker int) {
	lo := i * tileCols
	cols := min(tileCols, j.in-lo)
	scratch := j.r.Scratch(worker, 2*tileRows*tileCols+kernel.Panel*tileCols)
	tile, panels, columns := scratch[:tileRows*tileCols], scratch[tileRows*tileCols:2*tileRows*tileCols], scratch[2*tileRows*tileCols:]
	for row := 0; row < j.out; row += tileRows {
		rows := min(tileRows, j.out-row)
		j.w.decodeTile(tile, row, rows, lo, cols, columns)
		if j.half != nil {
			b := asHalfPanels(panels)
			kernel.PackColsBF16(b, tile, rows, cols, cols)
			kernel.GemmBF16(j.dx[lo:], j.in, j.half[row:], j.stride, b, j.rows, rows, cols, true)
		} else {
			kernel.PackColsF32(panels, tile, rows, cols, cols)
			kernel.GemmF32(j.dx[lo:], j.in, j.dy[row:], j.out, panels, j.rows, rows, cols, true)
		}
	}
}
