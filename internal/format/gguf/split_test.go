package gguf

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
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
		{"not the first", "is part 2 of 3: open the first", "m", 1, 3, sound},
		{"part missing", "no such file", "m", 0, 3, sound[:2]},
		{"a tensor missing", "parts have 3 tensors, split.tensors.count is 4", "m", 0, 4, sound},
		{"tensor twice", `tensor "a" is in another part too`, "m", 0, 3, []part{{0, 3, "a"}, {1, 3, "b"}, {2, 3, "a"}}},
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
