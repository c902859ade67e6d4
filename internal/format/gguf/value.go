package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"retort/internal/format/mmap"
)

// A Kind is the type of a metadata value, by GGUF's number.
type Kind uint32

const (
	Uint8 Kind = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

var kinds = [...]struct {
	name string
	size int // of a value in bytes; 0: not fixed
}{
	Uint8: {"uint8", 1}, Int8: {"int8", 1}, Uint16: {"uint16", 2}, Int16: {"int16", 2}, Uint32: {"uint32", 4},
	Int32: {"int32", 4}, Float32: {"float32", 4}, Bool: {"bool", 1}, String: {"string", 0}, Array: {"array", 0},
	Uint64: {"uint64", 8}, Int64: {"int64", 8}, Float64: {"float64", 8},
}

func (k Kind) String() string {
	if int64(k) >= int64(len(kinds)) {
		return fmt.Sprintf("kind(%d)", uint32(k))
	}
	return kinds[k].name
}

// size is a value's size in bytes, 0 where it is not fixed or the kind is unknown.
func (k Kind) size() int {
	if int64(k) >= int64(len(kinds)) {
		return 0
	}
	return kinds[k].size
}

// leastSize is the least number of bytes that an array spends on an element, 0 for unknown kinds.
func (k Kind) leastSize() int {
	switch k {
	case String:
		return 8
	case Array:
		return 4 + 8
	}
	return k.size()
}

// A Value is one metadata value, kept as its bytes in the file. Arrays are decoded when they are asked for: opening a
// vocabulary of 150 thousand entries only walks over it.
type Value struct {
	kind Kind
	elem Kind   // of an array
	n    int    // elements of an array
	raw  []byte // as stored, without a string's length and an array's kind and count
	// source is the mapping that raw lies in, nil for memory.
	source *mmap.File
}

// Kind is the value's type.
func (v Value) Kind() Kind { return v.kind }

// Elem is the type of an array's elements; of another value it has no meaning.
func (v Value) Elem() Kind { return v.elem }

// Len is the number of an array's elements, else 0.
func (v Value) Len() int { return v.n }

func (v Value) typeName() string {
	if v.kind == Array {
		return fmt.Sprintf("array of %s", v.elem)
	}
	return v.kind.String()
}

// Any is the value as the Go type of its kind, an array as a slice of it, an array of arrays as []Value.
func (v Value) Any() (any, error) {
	switch v.kind {
	case String:
		return string(v.raw), nil
	case Array:
		return v.decodeArray()
	}
	return decodeScalar(v.kind, v.raw), nil
}

// decodeScalar decodes b, whose length is the kind's size.
func decodeScalar(k Kind, b []byte) any {
	switch k {
	case Uint8:
		return b[0]
	case Int8:
		return int8(b[0])
	case Bool:
		return b[0] != 0
	case Uint16:
		return binary.LittleEndian.Uint16(b)
	case Int16:
		return int16(binary.LittleEndian.Uint16(b))
	case Uint32:
		return binary.LittleEndian.Uint32(b)
	case Int32:
		return int32(binary.LittleEndian.Uint32(b))
	case Float32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	case Uint64:
		return binary.LittleEndian.Uint64(b)
	case Int64:
		return int64(binary.LittleEndian.Uint64(b))
	case Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	panic("gguf: decodeScalar: " + k.String())
}

func (v Value) decodeArray() (any, error) {
	switch v.elem {
	case Uint8:
		return decodeSlice[uint8](v)
	case Int8:
		return decodeSlice[int8](v)
	case Bool:
		return decodeSlice[bool](v)
	case Uint16:
		return decodeSlice[uint16](v)
	case Int16:
		return decodeSlice[int16](v)
	case Uint32:
		return decodeSlice[uint32](v)
	case Int32:
		return decodeSlice[int32](v)
	case Float32:
		return decodeSlice[float32](v)
	case Uint64:
		return decodeSlice[uint64](v)
	case Int64:
		return decodeSlice[int64](v)
	case Float64:
		return decodeSlice[float64](v)
	case String:
		return v.decodeStrings()
	case Array:
		return v.decodeArrays()
	}
	panic("gguf: decodeArray: " + v.elem.String())
}

func decodeSlice[T any](v Value) (s []T, err error) {
	s = make([]T, v.n)
	fault := guard(v.source, func() { _, err = binary.Decode(v.raw, binary.LittleEndian, s) })
	return s, errors.Join(fault, err)
}

// copied is the array's bytes in memory: what follows lengths found in them must not be changed by another process
// between the look and the use.
func (v Value) copied() (raw []byte, err error) {
	err = guard(v.source, func() { raw = slices.Clone(v.raw) })
	return raw, err
}

// decodeStrings makes one copy of all bytes and lets the strings share it.
func (v Value) decodeStrings() ([]string, error) {
	raw, err := v.copied()
	if err != nil {
		return nil, err
	}
	c := &cursor{data: raw}
	s := make([]string, v.n)
	for i := range s {
		b, err := c.bytes(maxString)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		s[i] = unsafe.String(unsafe.SliceData(b), len(b)) // nobody writes to raw any more
	}
	return s, nil
}

func (v Value) decodeArrays() ([]Value, error) {
	raw, err := v.copied()
	if err != nil {
		return nil, err
	}
	c := &cursor{data: raw}
	s := make([]Value, v.n)
	for i := range s {
		if err := c.array(&s[i], 2); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return s, nil
}
