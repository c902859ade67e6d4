package gguf

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writePart writes a file of one tensor of four bytes x, with the keys of a split.
func writePart(t *testing.T, path string, no, count, tensors int, name string, x byte) {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if no == 0 {
		w.Set("general.architecture", ValueOf("llama"))
	}
	w.Set(splitNo, ValueOf(uint16(no)))
	w.Set(splitCount, ValueOf(uint16(count)))
	w.Set(splitTensors, ValueOf(int32(tensors)))
	w.Add(name, I8, []int{4}, func(dst io.Writer) error {
		_, err := dst.Write([]byte{x, x, x, x})
		return err
	})
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestModelInParts(t *testing.T) {
	type part struct {
		no, count int
		tensor    string
	}
	sound := []part{{0, 3, "a"}, {1, 3, "b"}, {2, 3, "c"}}
	for _, c := range []struct {
		name, want string
		base       string
		open       int
		tensors    int
		parts      []part
	}{
		{"sound", "", "m", 0, 3, sound},
		{"by the second", "", "m", 1, 3, sound},
		{"by the last", "", "m", 2, 3, sound},
		{"part missing", "m-00003-of-00003.gguf: is missing", "m", 0, 3, sound[:2]},
		{"part missing, by the second", "m-00003-of-00003.gguf: is missing", "m", 1, 3, sound[:2]},
		{"two parts missing", "m-00002-of-00003.gguf: is missing\n  m-00003-of-00003.gguf: is missing", "m", 0, 3, sound[:1]},
		{"a tensor missing", "split.tensors.count is 4, the parts have 3 tensors", "m", 0, 4, sound},
		{"a tensor too many", "split.tensors.count is 2, the parts have 3 tensors", "m", 0, 2, sound},
		{"tensor twice", `m-00003-of-00003.gguf: tensor "a" is in part 1 too`, "m", 0, 3, []part{{0, 3, "a"}, {1, 3, "b"}, {2, 3, "a"}}},
		{"the first again", "m-00002-of-00003.gguf: says it is part 1 of 3, want 2 of 3", "m", 0, 3, []part{{0, 3, "a"}, {0, 3, "b"}, {2, 3, "c"}}},
		{"all that is wrong", "m-00002-of-00003.gguf: says it is part 2 of 4, want 2 of 3\n  m-00003-of-00003.gguf: tensor \"a\" is in part 1 too", "m", 0, 3, []part{{0, 3, "a"}, {1, 4, "b"}, {2, 3, "a"}}},
		{"part of another", "says it is part 2 of 4, want 2 of 3", "m", 0, 3, []part{{0, 3, "a"}, {1, 4, "b"}, {2, 3, "c"}}},
		{"no of count", "is part 4 of 3", "m", 0, 3, []part{{3, 3, "a"}}},
		{"count huge", "want at most 4096 parts", "m", 0, 3, []part{{0, 60000, "a"}}},
	} {
		dir := t.TempDir()
		for i, p := range c.parts {
			writePart(t, filepath.Join(dir, partName(c.base, i, 3)), p.no, p.count, c.tensors, p.tensor, byte(i))
		}
		f, err := Open(filepath.Join(dir, partName(c.base, c.open, 3)))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "nil") {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i, name := range []string{"a", "b", "c"} {
			if x := f.Tensor(name); x == nil || x.Data()[3] != byte(i) || x != &f.Tensors[i] {
				t.Errorf("%s: tensor %s: %+v", c.name, name, x)
			}
		}
		if _, there := f.Value(splitCount); there || f.Len() != 1 {
			t.Errorf("%s: keys of the split are left: %d keys", c.name, f.Len())
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}

	path := filepath.Join(t.TempDir(), "renamed.gguf")
	writePart(t, path, 0, 2, 2, "a", 0)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "does not end in -00001-of-00002.gguf") {
		t.Errorf("renamed part: %v", err)
	}
	if got, want := partName("x", 1, 163), fmt.Sprintf("x-%s-of-%s.gguf", "00002", "00163"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParts(t *testing.T) {
	for _, c := range []struct {
		path string
		want []string
	}{
		{"d/m-00002-of-00003.gguf", []string{"d/m-00001-of-00003.gguf", "d/m-00002-of-00003.gguf", "d/m-00003-of-00003.gguf"}},
		{"m-00001-of-00001.gguf", []string{"m-00001-of-00001.gguf"}},
		{"a-00001-of-00002-00002-of-00002.gguf", []string{"a-00001-of-00002-00001-of-00002.gguf", "a-00001-of-00002-00002-of-00002.gguf"}},
		{"m.gguf", nil},
		{"m-00001-of-00003.gguf/x.gguf", nil},
		{"m-00000-of-00003.gguf", nil},
		{"m-00004-of-00003.gguf", nil},
		{"m-1-of-3.gguf", nil},
		{"m-00001-of-00003.safetensors", nil},
		{"m-00001-of-04097.gguf", nil},
		{"m-00001-of-99999.gguf", nil},
	} {
		got, ok := Parts(c.path)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q", c.path, got, ok, c.want)
		}
	}
	if got, ok := Parts("m-04096-of-04096.gguf"); !ok || len(got) != maxParts {
		t.Errorf("the most parts: %d", len(got))
	}
}

// Whatever part a model is opened by, it is the same model: the first part's metadata and name, the parts' tensors in order
// with their own offsets and sizes; and Close gives back every mapping.
func TestPartsAreOneModel(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a", "b", "c"} {
		writePart(t, filepath.Join(dir, partName("m", i, 3)), i, 3, 3, name, byte(i))
	}
	for i := range 3 {
		f, err := Open(filepath.Join(dir, partName("m", i, 3)))
		if err != nil {
			t.Fatal(err)
		}
		if arch, err := f.Architecture(); err != nil || arch != "llama" || f.Name() != filepath.Join(dir, partName("m", 0, 3)) {
			t.Errorf("by part %d: %q of architecture %q (%v)", i+1, f.Name(), arch, err)
		}
		var bytes int64
		for j, x := range f.Tensors {
			if x.Name != string(rune('a'+j)) {
				t.Errorf("by part %d: tensor %d is %s", i+1, j, x.Name)
			}
			bytes += x.Size
		}
		if bytes != 12 {
			t.Errorf("by part %d: %d bytes of tensors, want 12", i+1, bytes)
		}
		maps := append(slices.Clone(f.parts), f.mapping)
		if err := f.Close(); err != nil || len(maps) != 3 {
			t.Errorf("by part %d: %d mappings, close: %v", i+1, len(maps), err)
		}
		for _, m := range maps {
			if m.Check() == nil {
				t.Errorf("by part %d: %s is still open after Close", i+1, m.Path())
			}
		}
	}
}

// A part that says what it is of, or how many tensors there are, has to say the same as the others.
func TestPartOfAnotherModel(t *testing.T) {
	dir := t.TempDir()
	write := func(i, tensors int, name string, set func(*Writer)) {
		w, err := Create(filepath.Join(dir, partName("m", i, 2)))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		w.Set(splitNo, ValueOf(uint16(i)))
		w.Set(splitCount, ValueOf(uint16(2)))
		w.Set(splitTensors, ValueOf(int32(tensors)))
		w.Set(architectureKey, ValueOf("llama"))
		if set != nil {
			set(w)
		}
		w.Add(name, I8, []int{4}, func(dst io.Writer) error { _, err := dst.Write(make([]byte, 4)); return err })
		if err := w.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 2, "a", nil)
	open := func() error {
		f, err := Open(filepath.Join(dir, partName("m", 0, 2)))
		if err == nil {
			f.Close()
		}
		return err
	}
	for _, c := range []struct {
		want    string
		tensors int
		set     func(*Writer)
	}{
		{"", 2, nil},
		{`00002-of-00002.gguf: general.architecture is "qwen2", the first part's is "llama"`, 2, func(w *Writer) { w.Set(architectureKey, ValueOf("qwen2")) }},
		{"00002-of-00002.gguf: split.tensors.count is 3, the parts have 2 tensors", 3, nil},
		{"00002-of-00002.gguf: gguf: split.tensors.count: is string", 2, func(w *Writer) { w.Set(splitTensors, ValueOf("two")) }},
		{"00002-of-00002.gguf: gguf: split.no: is string", 2, func(w *Writer) { w.Set(splitNo, ValueOf("one")) }},
		{"says it is part 1 of 1, want 2 of 2", 2, func(w *Writer) { w.Delete(splitNo); w.Delete(splitCount) }},
	} {
		write(1, c.tensors, "b", c.set)
		if err := open(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	second := filepath.Join(dir, partName("m", 1, 2))
	if err := os.WriteFile(second, []byte("GGUF"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "00002-of-00002.gguf: version: file ends here") {
		t.Errorf("broken part: %v", err)
	}
	os.Remove(second)
	if err := os.Symlink(partName("m", 0, 2), second); err != nil {
		t.Skip(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "says it is part 1 of 2, want 2 of 2") {
		t.Errorf("a part that leads back to the first: %v", err)
	}
}

// A set that is refused leaves no part mapped.
func TestRefusedPartsAreClosed(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		writePart(t, filepath.Join(dir, partName("m", i, 3)), i, 3, 4, string(rune('a'+i)), 0)
	}
	for i := range 3 {
		if _, err := Open(filepath.Join(dir, partName("m", i, 3))); err == nil {
			t.Fatal("a tensor is missing and nobody says so")
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	if n := strings.Count(string(maps), dir); n != 0 {
		t.Errorf("%d parts are still mapped", n)
	}
}

// A head that claims thousands of parts costs a look for each and an error of bounded length.
func TestManyPartsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), partName("m", 0, maxParts))
	writePart(t, path, 0, maxParts, maxParts, "a", 0)
	_, err := Open(path)
	if err == nil || strings.Count(err.Error(), "\n") != mostFaults+1 || !strings.Contains(err.Error(), "and 4075 more") {
		t.Errorf("%v", err)
	}
}
