package gguf

import (
	"encoding/binary"
	"math"
)

// A Scalar is a Go type that a metadata value or the elements of an array can have.
type Scalar interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | float32 | bool | string | uint64 | int64 | float64
}

// ValueOf makes the value of x, of the kind that has x's type: ValueOf(uint32(24)), ValueOf("llama").
func ValueOf[T Scalar](x T) Value {
	return Value{kind: kindOf[T](), raw: appendScalar(nil, x)}
}

// ArrayOf makes an array value.
func ArrayOf[T Scalar](s []T) Value {
	v := Value{kind: Array, elem: kindOf[T](), n: len(s)}
	for _, x := range s {
		if v.elem == String {
			v.raw = binary.LittleEndian.AppendUint64(v.raw, uint64(len(any(x).(string))))
		}
		v.raw = appendScalar(v.raw, x)
	}
	return v
}

func appendArrayHead(b []byte, v Value) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(v.elem))
	return binary.LittleEndian.AppendUint64(b, uint64(v.n))
}

func kindOf[T Scalar]() Kind {
	var x T
	switch any(x).(type) {
	case uint8:
		return Uint8
	case int8:
		return Int8
	case uint16:
		return Uint16
	case int16:
		return Int16
	case uint32:
		return Uint32
	case int32:
		return Int32
	case float32:
		return Float32
	case bool:
		return Bool
	case string:
		return String
	case uint64:
		return Uint64
	case int64:
		return Int64
	}
	return Float64
}

func appendScalar[T Scalar](b []byte, x T) []byte {
	switch x := any(x).(type) {
	case uint8:
		return append(b, x)
	case int8:
		return append(b, byte(x))
	case uint16:
		return binary.LittleEndian.AppendUint16(b, x)
	case int16:
		return binary.LittleEndian.AppendUint16(b, uint16(x))
	case uint32:
		return binary.LittleEndian.AppendUint32(b, x)
	case int32:
		return binary.LittleEndian.AppendUint32(b, uint32(x))
	case float32:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	case bool:
		if x {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return append(b, x...)
	case uint64:
		return binary.LittleEndian.AppendUint64(b, x)
	case int64:
		return binary.LittleEndian.AppendUint64(b, uint64(x))
	case float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	panic("gguf: appendScalar: unreachable")
}
