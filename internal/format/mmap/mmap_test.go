package mmap

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestOpenGivesTheFile(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		want := pattern(n)
		m, err := Open(write(t, want))
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !bytes.Equal(m.Bytes(), want) || m.Len() != n {
			t.Errorf("%d bytes: Bytes differs from the file", n)
		}
		got, err := io.ReadAll(io.NewSectionReader(m, 0, 1<<40))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: ReadAt differs from the file, error %v", n, err)
		}
		if err := m.Check(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Errorf("%d bytes: close twice: %v", n, err)
		}
		if err := m.Check(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Check after Close: %v", err)
		}
	}
}

// The twin for platforms without mapping must give the same bytes.
func TestReadFile(t *testing.T) {
	want := pattern(5000)
	f, err := os.Open(write(t, want))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, unmap, err := readFile(f, len(want))
	if err != nil || unmap != nil || !bytes.Equal(data, want) {
		t.Fatalf("readFile: %d bytes, error %v", len(data), err)
	}
}

func TestReadAtBounds(t *testing.T) {
	m, err := Open(write(t, pattern(100)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, c := range []struct {
		n    int
		off  int64
		want int // bytes
		eof  bool
	}{{100, 0, 100, false}, {0, 100, 0, true}, {1, 99, 1, false}, {1, 100, 0, true}, {101, 0, 100, true}, {8, 1<<63 - 4, 0, true}} {
		dst := make([]byte, c.n)
		n, err := m.ReadAt(dst, c.off)
		if n != c.want || (err == io.EOF) != c.eof || err != nil && !c.eof {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.off, n, err)
		}
		if n > 0 && !bytes.Equal(dst[:n], pattern(100)[c.off:][:n]) {
			t.Errorf("%d bytes at %d: wrong bytes", c.n, c.off)
		}
	}
	if _, err := m.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("before the file: %v", err)
	}
}

func TestTruncatedFileIsAnError(t *testing.T) {
	path := write(t, pattern(1<<20))
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.unmap == nil {
		t.Skip("read into memory: truncation cannot touch it")
	}
	if err := os.Truncate(path, 10_000); err != nil {
		t.Fatal(err)
	}
	if err := m.Check(); !errors.Is(err, ErrTruncated) {
		t.Errorf("Check: %v", err)
	}
	dst := make([]byte, 4096)
	if n, err := m.ReadAt(dst, 1<<19); n != 0 || !errors.Is(err, ErrTruncated) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	var sum byte
	if err := m.Guard(func() { sum = m.Bytes()[1<<20-1] }); !errors.Is(err, ErrTruncated) {
		t.Errorf("Guard: %d, %v", sum, err)
	}
	if _, err := m.ReadAt(dst, 0); err != nil || !bytes.Equal(dst, pattern(4096)) {
		t.Errorf("the part that is left: %v", err)
	}
}

func TestGuardLetsOtherPanicsPass(t *testing.T) {
	m, err := Open(write(t, pattern(10)))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, f := range []func(){
		func() { panic("mine") },
		func() { var p *int; *p = 1 },
		func() { _ = m.Bytes()[len(os.Args)+100] },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("panic was swallowed")
				}
			}()
			_ = m.Guard(f)
		}()
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was mapped")
	}
}
