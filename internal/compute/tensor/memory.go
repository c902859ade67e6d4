package tensor

import "retort/internal/compute/kernel"

// What a Run holds after it gave memory out and took it back, in bytes: buffers come in sizes and are kept.

// TensorBytes is what the values of a [rows, cols] tensor take, and as much again its gradient.
func TensorBytes(rows, cols int) int { return 4 * bufferSize(rows*cols) }

// Int8Bytes is what the form of a [rows, cols] tensor takes that quantized weights multiply.
func Int8Bytes(rows, cols int) int { return bufferSize(kernel.Int8Size(rows, cols)) }

// OperandBytes is what a [rows, cols] tensor takes as the left side of a product, beside its own values.
func (precision Precision) OperandBytes(rows, cols int) int {
	if precision == BFloat16 {
		return 2 * bufferSize(rows*evenCols(cols))
	}
	return 0
}

// ValueBytes is what a value takes in a product.
func (precision Precision) ValueBytes() int {
	if precision == BFloat16 {
		return 2
	}
	return 4
}

// copyBytes is what takeOperand takes.
func (precision Precision) copyBytes(rows, cols int) int {
	if precision == BFloat16 {
		return precision.OperandBytes(rows, cols)
	}
	return TensorBytes(rows, cols)
}

// ScratchPanelBytes is what the panels of n columns of k values take for the length of a product.
func (precision Precision) ScratchPanelBytes(n, k int) int {
	if precision == BFloat16 {
		return 2 * bufferSize(kernel.PanelsBF16(n, k))
	}
	return 4 * bufferSize(kernel.PanelsF32(n, k))
}

// AccGradBytes is what Dense.AccGrad of a weight [out, in] takes in passing for so many rows.
func (precision Precision) AccGradBytes(out, in, rows int) int {
	return precision.copyBytes(out, rows) + precision.ScratchPanelBytes(in, rows)
}

// MatMulTBytes is what Dense.MatMulT of a weight [out, in] takes in passing for so many rows.
func (precision Precision) MatMulTBytes(out, rows int) int { return precision.OperandBytes(rows, out) }

// bufferSize is how many elements a buffer for n has.
func bufferSize(n int) int {
	_, size := class(n)
	return size
}
