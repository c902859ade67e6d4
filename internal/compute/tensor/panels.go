package tensor

import (
	"unsafe"

	"retort/internal/compute/kernel"
)

// Precision is the arithmetic in which a Dense multiplies. Sums are float32 in both.
//
// This file is the one that asks which: a product is Gemm of an Operand and Panels, and what either takes of memory is
// told here too.
type Precision uint8

const (
	Float32  Precision = iota // products of float32: exact tests, files with F32 weights
	BFloat16                  // products of bf16, as training on CPUs and GPUs does; the master weight stays float32
)

// Panels are the right side of a product, [k, n], packed for the kernels in one precision.
type Panels struct {
	k    int
	full []float32 // one of the two is set
	half []uint16
}

// Grow makes room for n columns of k values in the memory that p has, if that is enough. Their content is not set.
func (p *Panels) Grow(precision Precision, n, k int) {
	p.k = k
	if precision == BFloat16 {
		p.half = resized(p.half, kernel.PanelsBF16(n, k))
	} else {
		p.full = resized(p.full, kernel.PanelsF32(n, k))
	}
}

// ScratchPanels returns panels for kernel.Panel columns of k values in scratch memory of PanelScratch(k) floats.
func ScratchPanels(precision Precision, scratch []float32, k int) Panels {
	p := Panels{k: k}
	if precision == BFloat16 {
		p.half = unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(scratch))), 2*len(scratch))
	} else {
		p.full = scratch
	}
	return p
}

// PanelScratch is enough in either precision.
func PanelScratch(k int) int { return kernel.PanelsF32(1, evenCols(k)) }

// PanelBytes is the size of the panels of n columns of k values.
func (precision Precision) PanelBytes(n, k int) int {
	if precision == BFloat16 {
		return 2 * kernel.PanelsBF16(n, k)
	}
	return 4 * kernel.PanelsF32(n, k)
}

// From returns the panels from column lo on, a multiple of kernel.Panel.
func (p Panels) From(lo int) Panels {
	if p.half != nil {
		p.half = p.half[kernel.PanelsBF16(lo, p.k):]
	} else {
		p.full = p.full[kernel.PanelsF32(lo, p.k):]
	}
	return p
}

// PackRows packs n rows of src, of row stride ld, as the columns of p.
func (p Panels) PackRows(src []float32, n, ld int) {
	if p.half != nil {
		kernel.PackRowsBF16(p.half, src, n, p.k, ld)
	} else {
		kernel.PackRowsF32(p.full, src, n, p.k, ld)
	}
}

// PackCols packs n columns of src, [k, n] of row stride ld.
func (p Panels) PackCols(src []float32, n, ld int) {
	if p.half != nil {
		kernel.PackColsBF16(p.half, src, p.k, n, ld)
	} else {
		kernel.PackColsF32(p.full, src, p.k, n, ld)
	}
}

// Operand is the left side of a product, rows of cols values one after the other, in one precision.
type Operand struct {
	cols, stride int       // an odd row of bf16 has a zero behind it, so that the stride is even
	full         []float32 // one of the two is set
	half         []uint16
}

// Operand returns x as the left side of a product; in bf16 it is converted once until it changes.
func (r *Run) Operand(x *Tensor, precision Precision) Operand {
	if precision == BFloat16 {
		half, stride := r.BF16(x)
		return Operand{cols: x.Cols, stride: stride, half: half}
	}
	return Operand{cols: x.Cols, stride: x.Cols, full: x.Data}
}

// Grow makes room for [rows, cols] in the memory that a has, if that is enough. Its content is not set.
func (a *Operand) Grow(precision Precision, rows, cols int) {
	a.cols, a.stride = cols, cols
	if precision == BFloat16 {
		a.stride = evenCols(cols)
		a.half = resized(a.half, rows*a.stride)
	} else {
		a.full = resized(a.full, rows*cols)
	}
}

// From returns the rows from lo on.
func (a Operand) From(lo int) Operand {
	if a.half != nil {
		a.half = a.half[lo*a.stride:]
	} else {
		a.full = a.full[lo*a.stride:]
	}
	return a
}

// SetRows sets the first n rows to those of src, which has no gaps.
func (a Operand) SetRows(src []float32, n int) {
	if a.half == nil {
		copy(a.full[:n*a.cols], src)
		return
	}
	for t := range n {
		row := a.half[t*a.stride : (t+1)*a.stride]
		row[len(row)-1] = 0 // the odd end, where there is one
		kernel.ToBF16(row[:a.cols], src[t*a.cols:(t+1)*a.cols])
	}
}

// SetTurned sets columns [lo, lo+rows) of the first cols rows to the transpose of src, [rows, cols] of row stride ld.
func (a Operand) SetTurned(lo int, src []float32, rows, cols, ld int) {
	if a.half == nil {
		kernel.TransposeF32(a.full[lo:], src, rows, cols, ld, a.stride)
		return
	}
	kernel.TransposeBF16(a.half[lo:], src, rows, cols, ld, a.stride)
	if lo+rows == a.cols && a.stride != a.cols { // the odd end
		for c := range cols {
			a.half[(c+1)*a.stride-1] = 0
		}
	}
}

// Gemm sets c = a·b, or adds it, for the first m rows of a and n columns of b, and c of row stride ldc.
func Gemm(c []float32, ldc int, a Operand, b Panels, m, n int, acc bool) {
	if b.half != nil {
		kernel.GemmBF16(c, ldc, a.half, a.stride, b.half, m, b.k, n, acc)
	} else {
		kernel.GemmF32(c, ldc, a.full, a.stride, b.full, m, b.k, n, acc)
	}
}

// takePanels, takeOperand and takeGrad hand out memory of r, which give and giveOperand take back.
func (r *Run) takePanels(precision Precision, n, k int) Panels {
	if precision == BFloat16 {
		return Panels{k: k, half: r.halves.take(kernel.PanelsBF16(n, k))}
	}
	return Panels{k: k, full: r.floats.take(kernel.PanelsF32(n, k))}
}

func (r *Run) takeOperand(precision Precision, rows, cols int) Operand {
	if precision == BFloat16 {
		stride := evenCols(cols)
		return Operand{cols: cols, stride: stride, half: r.halves.take(rows * stride)}
	}
	return Operand{cols: cols, stride: cols, full: r.floats.take(rows * cols)}
}

func (r *Run) givePanels(p Panels) {
	r.halves.give(p.half)
	r.floats.give(p.full)
}

func (r *Run) giveOperand(a Operand) {
	r.halves.give(a.half)
	r.floats.give(a.full)
}

// takeGrad returns the gradient of y as the left side of a product: in float32 it is y's own memory. giveGrad takes back what
// it is in bf16.
func (r *Run) takeGrad(y *Tensor, precision Precision) Operand {
	if precision == BFloat16 {
		return Operand{cols: y.Cols, stride: evenCols(y.Cols), half: r.gradBF16(y)}
	}
	return Operand{cols: y.Cols, stride: y.Cols, full: y.Grad}
}

func (r *Run) giveGrad(a Operand) { r.halves.give(a.half) }

// resized returns a slice of n elements, s if it is long enough. Its content is not set.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
