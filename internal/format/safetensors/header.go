package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"retort/internal/format/mmap"
)

const metadataName = "__metadata__"

// parse reads one file and appends its tensors. Its metadata are kept if they are the first.
func (f *File) parse(data []byte, m *mmap.File) error {
	if len(data) < 8 {
		return fmt.Errorf("not a safetensors file: %d bytes", len(data))
	}
	if string(data[:4]) == "PK\x03\x04" || data[0] == 0x80 && data[1] <= 5 && data[7] != 0 {
		return errPickle // a zip from torch.save, or the protocol mark of a bare pickle
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxHeader {
		return fmt.Errorf("header of %d bytes, want at most %d (is it a safetensors file?)", size, maxHeader)
	}
	if size > uint64(len(data)-8) {
		return fmt.Errorf("header of %d bytes, file has %d", size, len(data))
	}
	header, rest := data[8:8+size], data[8+size:]
	if len(header) == 0 || header[0] != '{' {
		return errors.New("header does not start with '{'")
	}
	if !utf8.Valid(header) {
		return errors.New("header is not UTF-8")
	}
	tensors, metadata, err := parseHeader(header)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := cover(tensors, int64(len(rest))); err != nil {
		return err
	}
	if f.Metadata == nil {
		f.Metadata = metadata
	}
	for i := range tensors {
		t := &tensors[i]
		t.data = rest[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
		t.Offset += 8 + int64(size)
		t.mapping = m
		if _, twice := f.byName[t.Name]; twice {
			return fmt.Errorf("tensor %q: is there twice", t.Name)
		}
		f.byName[t.Name] = len(f.Tensors) + i
	}
	f.Tensors = append(f.Tensors, tensors...)
	return nil
}

// parseHeader reads the JSON. Offsets of the tensors are relative to the data and not yet checked against it.
func parseHeader(header []byte) ([]Tensor, map[string]string, error) {
	s := &scanner{b: header}
	var tensors []Tensor
	var metadata map[string]string
	err := s.object(func(name string) error {
		if name == metadataName {
			if metadata != nil {
				return fmt.Errorf("%s is there twice", metadataName)
			}
			var err error
			metadata, err = s.metadata()
			return err
		}
		t, err := s.tensor()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		t.Name = name
		tensors = append(tensors, t)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return tensors, metadata, s.end()
}

func (s *scanner) metadata() (map[string]string, error) {
	md := make(map[string]string)
	err := s.object(func(key string) error {
		if _, twice := md[key]; twice {
			return fmt.Errorf("%s: %q is there twice", metadataName, key)
		}
		text, err := s.string()
		if err != nil {
			return fmt.Errorf("%s: %q: %w", metadataName, key, err)
		}
		md[key] = text
		return nil
	})
	return md, err
}

// tensor reads one entry and checks that its range has the size that its shape needs.
func (s *scanner) tensor() (Tensor, error) {
	var t Tensor
	var shape, offsets []uint64
	seen := make(map[string]bool, 3)
	err := s.object(func(field string) (err error) {
		if seen[field] {
			return fmt.Errorf("%q is there twice", field)
		}
		seen[field] = true
		switch field {
		case "dtype":
			var name string
			name, err = s.string()
			t.DType = DType(name)
		case "shape":
			shape, err = s.uints(maxRank)
		case "data_offsets":
			offsets, err = s.uints(2)
		default:
			err = errors.New("unknown field")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", field, err)
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if !seen["dtype"] || !seen["shape"] || len(offsets) != 2 {
		return t, errors.New("want dtype, shape and two data_offsets")
	}
	size, err := t.DType.bytes(shape)
	if err != nil {
		return t, err
	}
	begin, end := offsets[0], offsets[1]
	if end < begin || end-begin != size {
		return t, fmt.Errorf("data_offsets [%d, %d], but %s %v needs %d bytes", begin, end, t.DType, shape, size)
	}
	t.Offset, t.Size = int64(begin), int64(size)
	t.Shape = make([]int, len(shape))
	for i, d := range shape {
		t.Shape[i] = int(d)
	}
	return t, nil
}

func (s *scanner) uints(most int) ([]uint64, error) {
	var list []uint64
	err := s.list('[', ']', func() error {
		n, err := s.uint()
		if err != nil {
			return err
		}
		if list = append(list, n); len(list) > most {
			return fmt.Errorf("more than %d numbers", most)
		}
		return nil
	})
	return list, err
}

// bytes is the size of a tensor of the shape. Dims of 0 are allowed; every dim fits an int.
func (d DType) bytes(shape []uint64) (uint64, error) {
	if d.Size() == 0 {
		return 0, fmt.Errorf("dtype %q is not supported", string(d))
	}
	size := uint64(d.Size())
	for _, n := range shape {
		hi, lo := bits.Mul64(size, n)
		if hi != 0 || lo > math.MaxInt || n > math.MaxInt {
			return 0, fmt.Errorf("shape %v: too many elements", shape)
		}
		size = lo
	}
	return size, nil
}

// cover sorts the tensors by their bytes and demands what the reference demands: they follow each other without gap or
// overlap from the first byte of the data to the last.
func cover(tensors []Tensor, size int64) error {
	slices.SortFunc(tensors, func(a, b Tensor) int {
		// Empty tensors share their offset with the next one and come before it.
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	})
	end := int64(0)
	for _, t := range tensors {
		if t.Offset != end {
			return fmt.Errorf("tensor %q: starts at byte %d of the data, want %d: no gaps, no overlaps", t.Name, t.Offset, end)
		}
		if t.Size > size-end {
			return fmt.Errorf("tensor %q: %d bytes at %d, file has %d bytes of data", t.Name, t.Size, t.Offset, size)
		}
		end += t.Size
	}
	if end != size {
		return fmt.Errorf("%d bytes of data, tensors cover %d", size, end)
	}
	return nil
}
