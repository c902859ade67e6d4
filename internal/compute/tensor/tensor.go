// Package tensor holds the two things every model is made of: Tensor, an activation of T rows, and Weight, an
// [out, in] matrix that a model multiplies by; and Run, the workers and scratch memory that computing needs.
//
// It knows no files, no models and no gradients' rules. Open this file first, then weight.go and run.go.
package tensor

import "retort/internal/compute/kernel"

// Tensor is a [Rows, Cols] matrix of float32, row-major without gaps: an activation, one row a token.
//
// Its memory belongs to the Run that made it and lives until that Run releases it. Whoever changes Data after
// a product has read it calls Changed, because the tensor keeps the bf16 and int8 forms of itself that
// products ask for, so that projections which share an input convert it once.
type Tensor struct {
	Rows, Cols int
	Data       []float32
	// Grad is the gradient of the loss with respect to Data, of the same shape, or nil where no step of a
	// backward pass has reached it yet.
	Grad []float32

	run   *Run        // whose memory the converted forms are, or nil before the first
	bf16  []uint16    // [Rows, even(Cols)], or nil
	int8  kernel.Int8 // Data is nil where there is none
	state tensorState
}

type tensorState uint8

const (
	stateOutside tensorState = iota // made by Of: no Run owns its memory
	stateLive
	stateFree
)

// Row returns row t of the data.
func (x *Tensor) Row(t int) []float32 { return x.Data[t*x.Cols : (t+1)*x.Cols] }

// Changed forgets the converted forms of x: its Data was written.
func (x *Tensor) Changed() {
	if x.bf16 != nil {
		x.run.halves.give(x.bf16)
		x.bf16 = nil
	}
	if x.int8.Data != nil {
		x.run.bytes.give(x.int8.Data)
		x.int8.Data = nil
	}
}

// Of wraps data as a [rows, cols] tensor that no Run owns: inputs from outside, tests.
func Of(rows, cols int, data []float32) *Tensor {
	if len(data) != rows*cols {
		panic("tensor: Of: data does not fill rows*cols")
	}
	return &Tensor{Rows: rows, Cols: cols, Data: data}
}
