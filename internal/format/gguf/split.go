package gguf

import (
	"fmt"
	"path/filepath"
	"strings"

	"retort/internal/format/mmap"
)

// Large models are published in parts, NAME-00001-of-00003.gguf and so on, as llama.cpp's gguf-split makes them. The
// first holds all metadata, each holds some of the tensors, and three keys say which part of what it is.
const (
	splitNo      = "split.no" // from 0
	splitCount   = "split.count"
	splitTensors = "split.tensors.count" // of all parts
	maxParts     = 1 << 12
)

// join opens the other parts of a model whose first part is f and takes over their tensors. The keys of the split are
// dropped: what the caller sees is the whole model.
func (f *File) join(path string) error {
	no, count, err := f.part()
	if err != nil || count <= 1 {
		return err
	}
	if no != 0 {
		return fmt.Errorf("is part %d of %d: open the first, %s", no+1, count, partName("…", 0, count))
	}
	prefix, found := strings.CutSuffix(path, partName("", 0, count))
	if !found {
		return fmt.Errorf("is part 1 of %d, but its name does not end in %s", count, partName("", 0, count))
	}
	for i := 1; i < count; i++ {
		if err := f.joinPart(partName(prefix, i, count), i, count); err != nil {
			return err
		}
	}
	want, err := f.IntOr(splitTensors, len(f.Tensors))
	if err != nil {
		return err
	}
	if want != len(f.Tensors) {
		return fmt.Errorf("parts have %d tensors, %s is %d", len(f.Tensors), splitTensors, want)
	}
	for _, key := range []string{splitNo, splitCount, splitTensors} {
		f.Delete(key)
	}
	return nil
}

// part returns which part of how many the file is, from 0; a whole file is 0 of 1.
func (f *File) part() (no, count int, err error) {
	if count, err = f.IntOr(splitCount, 1); err != nil {
		return 0, 0, err
	}
	if no, err = f.IntOr(splitNo, 0); err != nil {
		return 0, 0, err
	}
	if count < 0 || count > maxParts || no < 0 || no >= max(count, 1) {
		return 0, 0, fmt.Errorf("is part %d of %d, want at most %d parts", no+1, count, maxParts)
	}
	return no, count, nil
}

func partName(prefix string, no, count int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, no+1, count)
}

func (f *File) joinPart(path string, no, count int) error {
	p, err := openOne(path)
	if err != nil {
		return err
	}
	f.parts = append(f.parts, p.mapping)
	name := filepath.Base(path)
	n, c, err := p.part()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n != no || c != count {
		return fmt.Errorf("%s: says it is part %d of %d, want %d of %d", name, n+1, c, no+1, count)
	}
	for _, t := range p.Tensors {
		if f.Tensor(t.Name) != nil {
			return fmt.Errorf("%s: tensor %q is in another part too", name, t.Name)
		}
		f.byName[t.Name] = len(f.Tensors)
		f.Tensors = append(f.Tensors, t)
	}
	return nil
}

// openOne maps and reads one file, part or whole.
func openOne(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := read(path, m.Bytes(), m)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}
