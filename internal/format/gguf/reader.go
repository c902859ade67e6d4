package gguf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"retort/internal/format/mmap"
)

// read parses a whole file. Errors do not name the file; the callers do.
func read(name string, data []byte, m *mmap.File) (*File, error) {
	f := &File{name: name, mapping: m}
	var err error
	if fault := guard(m, func() { err = f.parse(data, 0) }); fault != nil {
		return nil, fault
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// ErrMore is wrapped by the error of ParseHead where the head is longer than the bytes that are here.
var ErrMore = errors.New("the head is longer than that")

// ParseHead reads the head of a file of size bytes of which only the first are here: its metadata and its tensors, whose
// data is nil where it does not lie in head. Of a model in parts it sees one part. The name is for errors; head is kept.
func ParseHead(name string, head []byte, size int64) (*File, error) {
	f := &File{name: name}
	more := size - int64(len(head))
	if more < 0 || size != int64(int(size)) {
		return nil, fmt.Errorf("gguf: %s: a head of %d bytes of %d", name, len(head), size)
	}
	if err := f.parse(head, int(more)); err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", name, err)
	}
	return f, nil
}

// parse reads a file of which data is here and more bytes behind it are not.
func (f *File) parse(data []byte, more int) error {
	c := &cursor{data: data, more: more}
	tensors, pairs, err := f.readHead(c)
	if err != nil {
		return err
	}
	if err := f.readPairs(c, pairs); err != nil {
		return err
	}
	if f.Alignment, err = f.alignment(); err != nil {
		return err
	}
	if err := f.readTensors(c, tensors); err != nil {
		return err
	}
	return f.place(data, more, c.off)
}

// readHead reads the fixed part and returns the two counts, each small enough that its entries can be there.
func (f *File) readHead(c *cursor) (tensors, pairs int, err error) {
	const (
		minPair   = 8 + 1 + 4 + 1         // a key of one byte, a kind, a byte of value
		minTensor = 8 + 1 + 4 + 8 + 4 + 8 // a name of one byte and one dim
	)
	magic, err := c.take(4)
	if errors.Is(err, ErrMore) {
		return 0, 0, err
	}
	if err != nil {
		return 0, 0, errors.New("not a GGUF file: too short")
	}
	if string(magic) != "GGUF" {
		return 0, 0, fmt.Errorf("not a GGUF file: starts with %q", magic)
	}
	version, err := c.uint32()
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	switch {
	case version == 2 || version == 3:
	case version == 1:
		return 0, 0, errors.New("GGUF version 1 is not supported: convert the model again (versions 2 and 3 are read)")
	case version != 0 && version&0xffff == 0:
		return 0, 0, errors.New("big-endian GGUF is not supported")
	default:
		return 0, 0, fmt.Errorf("GGUF version %d is not supported, want 2 or 3", version)
	}
	f.Version = int(version)
	if tensors, err = c.count(maxTensors, minTensor); err != nil {
		return 0, 0, fmt.Errorf("tensor count: %w", err)
	}
	if pairs, err = c.count(maxPairs, minPair); err != nil {
		return 0, 0, fmt.Errorf("metadata count: %w", err)
	}
	return tensors, pairs, nil
}

func (f *File) readPairs(c *cursor, n int) error {
	f.Metadata = Metadata{pairs: make([]pair, 0, n), index: make(map[string]int, n)}
	for i := range n {
		key, err := c.name(maxKey)
		if err != nil {
			return fmt.Errorf("metadata key %d: %w", i, err)
		}
		v, err := c.value(f.mapping)
		if err != nil {
			return fmt.Errorf("metadata %q: %w", key, err)
		}
		if err := f.Metadata.add(key, v); err != nil {
			return err
		}
	}
	return nil
}

// alignment is the file's own, or 32.
func (md *Metadata) alignment() (int, error) {
	v, ok := md.Value(alignmentKey)
	if !ok {
		return defaultAlign, nil
	}
	if v.kind != Uint32 {
		return 0, fmt.Errorf("%s: is %s, want %s", alignmentKey, v.typeName(), Uint32)
	}
	a := int64(binary.LittleEndian.Uint32(v.raw))
	if a < minAlignment || a > maxAlignment || a&(a-1) != 0 {
		return 0, fmt.Errorf("%s: %d, want a power of two from %d to %d", alignmentKey, a, minAlignment, maxAlignment)
	}
	return int(a), nil
}

// readTensors reads the table. Offsets stay relative to the data until place.
func (f *File) readTensors(c *cursor, n int) error {
	f.Tensors = make([]Tensor, n)
	f.byName = make(map[string]int, n)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		name, err := c.name(maxName)
		if err != nil {
			return fmt.Errorf("tensor %d: name: %w", i, err)
		}
		if _, twice := f.byName[name]; twice {
			return fmt.Errorf("tensor %q: is there twice", name)
		}
		f.byName[name] = i
		t.Name = name
		if err := c.tensor(t); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if t.Offset%int64(f.Alignment) != 0 {
			return fmt.Errorf("tensor %q: offset %d is not a multiple of %d", name, t.Offset, f.Alignment)
		}
	}
	return nil
}

// place turns the tensors' offsets into ranges of the file and refuses those that leave it or meet.
func (f *File) place(data []byte, more, header int) error {
	if len(f.Tensors) == 0 {
		return nil // a vocabulary: files without tensors often lack the padding too
	}
	start := int64(header+f.Alignment-1) &^ int64(f.Alignment-1)
	size := int64(len(data) + more)
	order := make([]*Tensor, len(f.Tensors))
	for i := range f.Tensors {
		t := &f.Tensors[i]
		// Both are at most 2⁶³-1 and start is not past size+alignment, so neither difference wraps.
		if start > size || t.Offset > size-start || t.Size > size-start-t.Offset {
			return fmt.Errorf("tensor %q: bytes %d+%d+%d, file has %d", t.Name, start, t.Offset, t.Size, size)
		}
		t.Offset += start
		if t.Offset+t.Size <= int64(len(data)) {
			t.data = data[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
		}
		t.mapping = f.mapping
		order[i] = t
	}
	slices.SortFunc(order, func(a, b *Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	for i, t := range order[1:] {
		if prev := order[i]; prev.Offset+prev.Size > t.Offset {
			return fmt.Errorf("tensors %q and %q overlap at byte %d", prev.Name, t.Name, t.Offset)
		}
	}
	return nil
}

// A cursor walks over a file's header. Every step asks first whether the bytes are there.
type cursor struct {
	data []byte
	off  int
	more int // bytes of the file behind data, which are not here
}

var errShort = errors.New("file ends here")

func (c *cursor) take(n uint64) ([]byte, error) {
	if left := len(c.data) - c.off; n > uint64(left) {
		if n <= uint64(left+c.more) {
			return nil, ErrMore
		}
		return nil, fmt.Errorf("%w: want %d bytes at %d, file has %d", errShort, n, c.off, len(c.data)+c.more)
	}
	b := c.data[c.off : c.off+int(n) : c.off+int(n)]
	c.off += int(n)
	return b, nil
}

func (c *cursor) uint32() (uint32, error) {
	b, err := c.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) uint64() (uint64, error) {
	b, err := c.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads how many entries of at least size bytes follow; they must be able to.
func (c *cursor) count(limit, size int) (int, error) {
	n, err := c.uint64()
	if err != nil {
		return 0, err
	}
	if n > uint64(limit) {
		return 0, fmt.Errorf("%d, want at most %d", n, limit)
	}
	if left := len(c.data) - c.off; n > uint64(left/size) {
		if n <= uint64((left+c.more)/size) {
			return 0, ErrMore // before memory is taken for them
		}
		return 0, fmt.Errorf("%d need %d bytes or more, file has %d left", n, n*uint64(size), left+c.more)
	}
	return int(n), nil
}

// bytes reads a string's bytes without copying them.
func (c *cursor) bytes(limit int) ([]byte, error) {
	n, err := c.uint64()
	if err != nil {
		return nil, err
	}
	if n > uint64(limit) {
		return nil, fmt.Errorf("string of %d bytes, want at most %d", n, limit)
	}
	return c.take(n)
}

// name reads a key or tensor name: text that can be printed and compared.
func (c *cursor) name(limit int) (string, error) {
	b, err := c.bytes(limit)
	if err != nil {
		return "", err
	}
	s := string(b)
	if err := checkName(s, limit); err != nil {
		return "", err
	}
	return s, nil
}

func checkName(s string, limit int) error {
	if s == "" || len(s) > limit {
		return fmt.Errorf("name of %d bytes, want 1 to %d", len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("name %q is not UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("name %q has a control character", s)
		}
	}
	return nil
}

// tensor reads the rest of one table entry.
func (c *cursor) tensor(t *Tensor) error {
	n, err := c.uint32()
	if err != nil {
		return err
	}
	if n == 0 || n > maxDims {
		return fmt.Errorf("%d dimensions, want 1 to %d", n, maxDims)
	}
	var dims [maxDims]uint64
	for i := range dims[:n] {
		if dims[i], err = c.uint64(); err != nil {
			return err
		}
	}
	number, err := c.uint32()
	if err != nil {
		return err
	}
	t.Type = Type(number)
	size, err := t.Type.size(dims[:n])
	if err != nil {
		return err
	}
	length := len(c.data) + c.more
	if size > uint64(length) { // before the dims become ints
		return fmt.Errorf("%d bytes, file has %d", size, length)
	}
	t.Size = int64(size)
	t.Dims = make([]int, n)
	for i := range t.Dims {
		t.Dims[i] = int(dims[i])
	}
	off, err := c.uint64()
	if err != nil {
		return err
	}
	if off > uint64(length) {
		return fmt.Errorf("offset %d, file has %d bytes", off, length)
	}
	t.Offset = int64(off)
	return nil
}

// value reads a kind and a value of that kind. Scalars and strings are copied, so that reading them later needs no
// guard; arrays stay where they are.
func (c *cursor) value(m *mmap.File) (Value, error) {
	number, err := c.uint32()
	if err != nil {
		return Value{}, err
	}
	switch v := (Value{kind: Kind(number)}); v.kind {
	case String:
		b, err := c.bytes(maxString)
		v.raw = slices.Clone(b)
		return v, err
	case Array:
		v.source = m
		return v, c.array(&v, 1)
	default:
		size := v.kind.size()
		if size == 0 {
			return v, fmt.Errorf("unknown value type %d", number)
		}
		b, err := c.take(uint64(size))
		if err != nil {
			return v, err
		}
		v.raw = slices.Clone(b)
		return v, checkBools(v.kind, b)
	}
}

// array reads an array's element kind, count and elements into v, whose raw is left in the file. depth counts from 1.
func (c *cursor) array(v *Value, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("arrays nested deeper than %d", maxNesting)
	}
	number, err := c.uint32()
	if err != nil {
		return err
	}
	v.kind, v.elem = Array, Kind(number)
	least := v.elem.leastSize()
	if least == 0 {
		return fmt.Errorf("unknown array element type %d", number)
	}
	if v.n, err = c.count(maxElements, least); err != nil {
		return fmt.Errorf("array of %s: %w", v.elem, err)
	}
	start := c.off
	switch v.elem {
	case String:
		for i := range v.n {
			if _, err := c.bytes(maxString); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
	case Array:
		for i := range v.n {
			var inner Value
			if err := c.array(&inner, depth+1); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
	default:
		b, err := c.take(uint64(v.n) * uint64(least)) // both small: count saw to it
		if err != nil {
			return err
		}
		if err := checkBools(v.elem, b); err != nil {
			return err
		}
	}
	v.raw = c.data[start:c.off:c.off]
	return nil
}

// checkBools refuses bytes that are neither 0 nor 1 where bools are stored.
func checkBools(k Kind, b []byte) error {
	if k != Bool {
		return nil
	}
	for i, x := range b {
		if x > 1 {
			return fmt.Errorf("bool %d is %d, want 0 or 1", i, x)
		}
	}
	return nil
}
