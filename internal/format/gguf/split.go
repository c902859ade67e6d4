package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Large models are published in parts, NAME-00001-of-00003.gguf and so on, as llama.cpp's gguf-split makes them. The
// first holds all metadata, each holds some of the tensors, and three keys say which part of what it is.
const (
	splitNo      = "split.no" // from 0
	splitCount   = "split.count"
	splitTensors = "split.tensors.count" // of all parts
	maxParts     = 1 << 12
)

const mostFaults = 20 // lines of an error; the rest is counted

var partPattern = regexp.MustCompile(`^(.*)-([0-9]{5})-of-([0-9]{5})\.gguf$`)

// Parts returns the paths of all parts of the model of which path, by its name, is one: NAME-00001-of-00003.gguf and its
// sisters, in order. ok is false for the name of a whole file. Nothing is opened.
func Parts(path string) (paths []string, ok bool) {
	dir, base := filepath.Split(path)
	m := partPattern.FindStringSubmatch(base)
	if m == nil {
		return nil, false
	}
	no, _ := strconv.Atoi(m[2])
	count, _ := strconv.Atoi(m[3])
	if no < 1 || no > count || count > maxParts {
		return nil, false
	}
	paths = make([]string, count)
	for i := range paths {
		paths[i] = dir + partName(m[1], i, count)
	}
	return paths, true
}

func partName(prefix string, no, count int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, no+1, count)
}

// join opens the other parts of the model of which f, the file at path, is one, and returns the first part with the
// tensors of all. A whole file is returned as it is. The keys of the split are dropped: what the caller sees is the whole
// model. On an error every part but f is closed.
func (f *File) join(path string) (*File, error) {
	no, count, err := f.part()
	if err != nil || count <= 1 {
		return f, err
	}
	paths, ok := Parts(path)
	if !ok || len(paths) != count || paths[no] != path {
		return nil, fmt.Errorf("is part %d of %d, but its name does not end in %s", no+1, count, partName("", no, count))
	}
	set := &partSet{files: make([]*File, count)}
	for i, path := range paths {
		if i == no {
			set.files[i] = f
		} else {
			set.open(path, i)
		}
	}
	if err := set.check(paths); err != nil {
		for i, p := range set.files {
			if p != nil && i != no {
				p.Close()
			}
		}
		return nil, err
	}
	first := set.files[0]
	for _, p := range set.files[1:] {
		first.parts = append(first.parts, p.mapping)
		for _, t := range p.Tensors {
			first.byName[t.Name] = len(first.Tensors)
			first.Tensors = append(first.Tensors, t)
		}
	}
	for _, key := range []string{splitNo, splitCount, splitTensors} {
		first.Delete(key)
	}
	return first, nil
}

// partSet is the parts of one model, nil where one cannot be opened, and what is wrong with them.
type partSet struct {
	files  []*File
	faults []string
}

func (s *partSet) fault(path, format string, args ...any) {
	s.faults = append(s.faults, filepath.Base(path)+": "+fmt.Sprintf(format, args...))
}

// open opens part no, which is at path.
func (s *partSet) open(path string, no int) {
	f, err := openOne(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.fault(path, "is missing")
	case err != nil:
		s.faults = append(s.faults, err.Error())
	}
	s.files[no] = f
}

// check holds the parts to each other and returns one error of everything that is wrong.
func (s *partSet) check(paths []string) error {
	holder := map[string]int{} // of a tensor
	total, arch := 0, ""
	if s.files[0] != nil {
		arch, _ = s.files[0].Architecture()
	}
	for i, f := range s.files {
		if f == nil {
			continue
		}
		no, count, err := f.part()
		switch own, _ := f.StringOr(architectureKey, arch); {
		case err != nil:
			s.fault(paths[i], "%v", err)
		case no != i || count != len(s.files):
			s.fault(paths[i], "says it is part %d of %d, want %d of %d", no+1, count, i+1, len(s.files))
		case arch != "" && own != arch:
			s.fault(paths[i], "%s is %q, the first part's is %q", architectureKey, own, arch)
		}
		for _, t := range f.Tensors {
			if other, twice := holder[t.Name]; twice {
				s.fault(paths[i], "tensor %q is in part %d too", t.Name, other+1)
			}
			holder[t.Name] = i
		}
		total += len(f.Tensors)
	}
	if len(s.faults) == 0 {
		s.checkTotal(paths, total)
	}
	if len(s.faults) == 0 {
		return nil
	}
	lines, more := s.faults, ""
	if n := len(lines) - mostFaults; n > 0 {
		lines, more = lines[:mostFaults], fmt.Sprintf("\n  … and %d more", n)
	}
	return fmt.Errorf("is in %d parts, which do not make one model:\n  %s%s", len(s.files), strings.Join(lines, "\n  "), more)
}

// checkTotal compares the number of tensors with what each part says of it; parts that say nothing are believed.
func (s *partSet) checkTotal(paths []string, total int) {
	for i, f := range s.files {
		want, err := f.IntOr(splitTensors, total)
		switch {
		case err != nil:
			s.fault(paths[i], "%v", err)
		case want != total:
			s.fault(paths[i], "%s is %d, the parts have %d tensors", splitTensors, want, total)
		}
	}
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
