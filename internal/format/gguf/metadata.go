package gguf

import (
	"fmt"
	"iter"
	"math"
	"slices"
)

// Metadata is a list of keys and values in the order of the file, each key once. The zero value is empty and ready.
//
// The getters (String, Uint, Int, …) give a value as the Go type that the caller needs and report a *KeyError that
// names the key, what was wanted and what was found. With Or in their name they return def where the key is missing;
// a value of another type is an error still.
type Metadata struct {
	pairs []pair
	index map[string]int
}

type pair struct {
	key   string
	value Value
}

// A KeyError says that a key is missing or holds something else than what was asked for.
type KeyError struct {
	Key, Want string
	Found     string // "" where the key is missing
}

func (e *KeyError) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("gguf: %s: is missing, want %s", e.Key, e.Want)
	}
	return fmt.Sprintf("gguf: %s: is %s, want %s", e.Key, e.Found, e.Want)
}

// Len is the number of keys.
func (md *Metadata) Len() int { return len(md.pairs) }

// All ranges over the keys and values in order.
func (md *Metadata) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, p := range md.pairs {
			if !yield(p.key, p.value) {
				return
			}
		}
	}
}

// Value returns the value of key, if it is there.
func (md *Metadata) Value(key string) (Value, bool) {
	i, ok := md.index[key]
	if !ok {
		return Value{}, false
	}
	return md.pairs[i].value, true
}

// Set gives key a value: in its old place if it is there, else at the end.
func (md *Metadata) Set(key string, v Value) {
	if i, ok := md.index[key]; ok {
		md.pairs[i].value = v
		return
	}
	if md.index == nil {
		md.index = make(map[string]int)
	}
	md.index[key] = len(md.pairs)
	md.pairs = append(md.pairs, pair{key, v})
}

// Delete removes key, if it is there.
func (md *Metadata) Delete(key string) {
	i, ok := md.index[key]
	if !ok {
		return
	}
	delete(md.index, key)
	md.pairs = slices.Delete(md.pairs, i, i+1)
	for j, p := range md.pairs[i:] {
		md.index[p.key] = i + j
	}
}

// String returns a string value.
func (md *Metadata) String(key string) (string, error) { return get(md, key, "string", asString) }

// StringOr is String with a default.
func (md *Metadata) StringOr(key, def string) (string, error) {
	return getOr(md, key, def, "string", asString)
}

// Bool returns a bool value.
func (md *Metadata) Bool(key string) (bool, error) { return get(md, key, "bool", asBool) }

// BoolOr is Bool with a default.
func (md *Metadata) BoolOr(key string, def bool) (bool, error) {
	return getOr(md, key, def, "bool", asBool)
}

// Uint returns an integer of any width that is not negative.
func (md *Metadata) Uint(key string) (uint64, error) { return get(md, key, wantUint, asUint) }

// UintOr is Uint with a default.
func (md *Metadata) UintOr(key string, def uint64) (uint64, error) {
	return getOr(md, key, def, wantUint, asUint)
}

// Int returns an integer of any width that fits an int. A size that comes from a file is still to be bounded.
func (md *Metadata) Int(key string) (int, error) { return get(md, key, "integer", asInt) }

// IntOr is Int with a default.
func (md *Metadata) IntOr(key string, def int) (int, error) {
	return getOr(md, key, def, "integer", asInt)
}

// Float returns a float32 or float64 value.
func (md *Metadata) Float(key string) (float64, error) { return get(md, key, "float", asFloat) }

// FloatOr is Float with a default.
func (md *Metadata) FloatOr(key string, def float64) (float64, error) {
	return getOr(md, key, def, "float", asFloat)
}

// Strings returns an array of strings, which share one copy of their bytes.
func (md *Metadata) Strings(key string) ([]string, error) {
	return get(md, key, "array of string", asStrings)
}

// StringsOr is Strings with a default.
func (md *Metadata) StringsOr(key string, def []string) ([]string, error) {
	return getOr(md, key, def, "array of string", asStrings)
}

// Ints returns an array of integers of any width that fit an int.
func (md *Metadata) Ints(key string) ([]int, error) { return get(md, key, "array of integers", asInts) }

// IntsOr is Ints with a default.
func (md *Metadata) IntsOr(key string, def []int) ([]int, error) {
	return getOr(md, key, def, "array of integers", asInts)
}

// Floats returns an array of floats; float64 is rounded.
func (md *Metadata) Floats(key string) ([]float32, error) {
	return get(md, key, "array of floats", asFloats)
}

// FloatsOr is Floats with a default.
func (md *Metadata) FloatsOr(key string, def []float32) ([]float32, error) {
	return getOr(md, key, def, "array of floats", asFloats)
}

// Bools returns an array of bools.
func (md *Metadata) Bools(key string) ([]bool, error) { return get(md, key, "array of bool", asBools) }

// BoolsOr is Bools with a default.
func (md *Metadata) BoolsOr(key string, def []bool) ([]bool, error) {
	return getOr(md, key, def, "array of bool", asBools)
}

const wantUint = "integer, not negative"

// get looks key up and converts. A conversion says no by ok; err is for bytes that could not be read.
func get[T any](md *Metadata, key, want string, as func(Value) (x T, ok bool, err error)) (T, error) {
	var zero T
	v, there := md.Value(key)
	if !there {
		return zero, &KeyError{Key: key, Want: want}
	}
	x, ok, err := as(v)
	if err != nil {
		return zero, fmt.Errorf("gguf: %s: %w", key, err)
	}
	if !ok {
		return zero, &KeyError{Key: key, Want: want, Found: v.describe()}
	}
	return x, nil
}

func getOr[T any](md *Metadata, key string, def T, want string, as func(Value) (T, bool, error)) (T, error) {
	if _, there := md.Value(key); !there {
		return def, nil
	}
	return get(md, key, want, as)
}

// describe names the type and, for a number, the value: an integer can be refused for its size alone.
func (v Value) describe() string {
	if v.kind == String || v.kind == Array {
		return v.typeName()
	}
	return fmt.Sprintf("%s %v", v.kind, decodeScalar(v.kind, v.raw))
}

func asString(v Value) (string, bool, error) { return string(v.raw), v.kind == String, nil }

func asBool(v Value) (bool, bool, error) {
	return v.kind == Bool && v.raw[0] != 0, v.kind == Bool, nil
}

func asUint(v Value) (uint64, bool, error) {
	if x, ok, _ := asInt(v); ok {
		return uint64(x), x >= 0, nil
	}
	if v.kind != Uint64 && v.kind != Int64 && v.kind != Uint32 {
		return 0, false, nil
	}
	// Does not fit an int: a large unsigned number, or any number of 64 bits where int has 32.
	switch x := decodeScalar(v.kind, v.raw).(type) {
	case uint32:
		return uint64(x), true, nil
	case uint64:
		return x, true, nil
	case int64:
		return uint64(x), x >= 0, nil
	}
	return 0, false, nil
}

func asInt(v Value) (int, bool, error) {
	switch v.kind {
	case Uint8, Int8, Uint16, Int16, Uint32, Int32, Uint64, Int64:
		x, ok := toInt(decodeScalar(v.kind, v.raw))
		return x, ok, nil
	}
	return 0, false, nil
}

func toInt(x any) (int, bool) {
	switch x := x.(type) {
	case uint8:
		return int(x), true
	case int8:
		return int(x), true
	case uint16:
		return int(x), true
	case int16:
		return int(x), true
	case uint32:
		return int(x), uint64(x) <= math.MaxInt
	case int32:
		return int(x), true
	case uint64:
		return int(x), x <= math.MaxInt
	case int64:
		return int(x), int64(int(x)) == x
	}
	return 0, false
}

func asFloat(v Value) (float64, bool, error) {
	switch v.kind {
	case Float32:
		return float64(decodeScalar(v.kind, v.raw).(float32)), true, nil
	case Float64:
		return decodeScalar(v.kind, v.raw).(float64), true, nil
	}
	return 0, false, nil
}

func asStrings(v Value) ([]string, bool, error) {
	if v.kind != Array || v.elem != String {
		return nil, false, nil
	}
	s, err := v.decodeStrings()
	return s, true, err
}

func asBools(v Value) ([]bool, bool, error) {
	if v.kind != Array || v.elem != Bool {
		return nil, false, nil
	}
	s, err := decodeSlice[bool](v)
	return s, true, err
}

func asFloats(v Value) ([]float32, bool, error) {
	if v.kind != Array {
		return nil, false, nil
	}
	switch v.elem {
	case Float32:
		s, err := decodeSlice[float32](v)
		return s, true, err
	case Float64:
		wide, err := decodeSlice[float64](v)
		s := make([]float32, len(wide))
		for i, x := range wide {
			s[i] = float32(x)
		}
		return s, true, err
	}
	return nil, false, nil
}

func asInts(v Value) ([]int, bool, error) {
	size := v.elem.size()
	if v.kind != Array || size == 0 || v.elem == Bool || v.elem == Float32 || v.elem == Float64 {
		return nil, false, nil
	}
	raw, err := v.copied()
	if err != nil {
		return nil, true, err
	}
	s := make([]int, v.n)
	for i := range s {
		x, ok := toInt(decodeScalar(v.elem, raw[i*size:]))
		if !ok {
			return nil, true, fmt.Errorf("element %d does not fit an int", i)
		}
		s[i] = x
	}
	return s, true, nil
}

// add appends a pair of a file; a key that is there already is an error.
func (md *Metadata) add(key string, v Value) error {
	if _, twice := md.index[key]; twice {
		return fmt.Errorf("metadata %q: is there twice", key)
	}
	md.Set(key, v)
	return nil
}
