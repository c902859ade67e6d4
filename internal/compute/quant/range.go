package quant

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// RangeError says of a weight that a type cannot hold it: it is no finite number, or beyond the largest that the type or
// the scale of its block reaches.
type RangeError struct {
	Type  Type
	Index int // of the weight, in the order of the values given
	Value float32
}

func (e *RangeError) Error() string {
	if Finite([]float32{e.Value}) == 0 {
		return fmt.Sprintf("weight %d is %v, want a finite number", e.Index, e.Value)
	}
	return fmt.Sprintf("weight %d is %v, which %v cannot hold", e.Index, e.Value, e.Type)
}

// Behind returns err with the index of its RangeError, if it has one, counted from so many weights before the values
// that were given. Text that wraps an error has the index that it had: wrap last.
func Behind(err error, weights int) error {
	var e *RangeError
	if errors.As(err, &e) {
		e.Index += weights
	}
	return err
}

// beyond is above what any block's scales reach, and the searches for scales stay finite below it.
const beyond = 0x1p32

// The exponents of which every bit is set are those of Inf and NaN.
const (
	notFinite32   = 0x7f800000
	notFinite16   = 0x7c00
	notFiniteBF16 = 0x7f80
)

// Finite returns the index of the first number of x that is Inf or NaN, or -1.
func Finite(x []float32) int {
	for i, v := range x {
		if math.Float32bits(v)&notFinite32 == notFinite32 {
			return i
		}
	}
	return -1
}

// checkValues says which weight cannot be stored as f before anything is.
func (f *format) checkValues(src []float32) error {
	if i := Finite(src); i >= 0 {
		return &RangeError{f.t, i, src[i]}
	}
	if f.block == 1 {
		return nil
	}
	for i, v := range src {
		if abs(v) >= beyond {
			return &RangeError{f.t, i, v}
		}
	}
	return nil
}

// checkStored says which of the weights src, all finite, became Inf in dst: itself, or with the scale of its block, of
// which the largest is told.
func (f *format) checkStored(dst []byte, src []float32) error {
	infinite := uint16(notFinite16)
	if f.t == BF16 {
		infinite = notFiniteBF16
	}
	for i := 0; i < len(src); i, dst = i+f.block, dst[f.bytes:] {
		for _, at := range f.halves {
			if binary.LittleEndian.Uint16(dst[at:])&infinite != infinite {
				continue
			}
			block, most := src[i:i+f.block], 0
			for k, v := range block {
				if abs(v) > abs(block[most]) {
					most = k
				}
			}
			return &RangeError{f.t, i + most, block[most]}
		}
	}
	return nil
}
