// Package kernel holds the inner loops: slices in, slices out, one thread, no memory of their own.
//
// Each kernel has a plain Go form, named …Generic, which defines its result and is always compiled, and forms in
// assembly that cpu's registry chooses by processor. Sizes are in elements. A slice that is too short is a caller's
// bug and panics. Within one implementation the result of a row depends on that row alone: not on the batch it is in,
// nor on how the caller splits a job over threads.
//
// Start with vec.go (dot products and their like), then gemm.go, whose panels pack.go writes. The files named …_amd64.s
// are written by the generator in _asm.
package kernel

//go:generate sh -c "cd _asm && go run ./float -out .."

// Panel is how many output columns, which are rows of a weight, lie side by side in a packed matrix: the lanes of one
// 512-bit register of float32.
const Panel = 16

// PanelsF32 returns the length of a matrix of n output columns and depth k in panels [ceil(n/16)][k][16]: float32
// for GemmF32, bf16 for GemmF32B16.
func PanelsF32(n, k int) int { return ceil(n, Panel) * k * Panel }

// PanelsBF16 returns the length of a matrix of n output columns and depth k in panels of pairs
// [ceil(n/16)][ceil(k/2)][16][2], for GemmBF16.
func PanelsBF16(n, k int) int { return ceil(n, Panel) * ceil(k, 2) * 2 * Panel }

func ceil(a, b int) int { return (a + b - 1) / b }

// need panics if a slice of length got cannot hold want elements.
func need(got, want int, what string) {
	if got < want {
		panic("kernel: " + what + " is too short")
	}
}

// matrix returns the length of a row-major matrix whose last row ends where its columns do.
func matrix(rows, cols, ld int, what string) int {
	if rows < 0 || cols < 0 || (ld < cols && rows > 1) {
		panic("kernel: " + what + ": negative size, or rows that overlap")
	}
	if rows == 0 || cols == 0 {
		return 0
	}
	return (rows-1)*ld + cols
}
