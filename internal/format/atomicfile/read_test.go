package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if _, err := ReadFile(path, 10); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: error %v", err)
	}
	if err := os.WriteFile(path, []byte("0123456789"), 0o666); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadFile(path, 10); err != nil || string(b) != "0123456789" {
		t.Errorf("a file of the bound: %q, %v", b, err)
	}
	if b, err := ReadFile(path, 9); b != nil || err == nil || err.Error() != path+": has 10 bytes, want at most 9" {
		t.Errorf("a file beyond the bound: %q, %v", b, err)
	}
	if b, err := ReadFile(filepath.Dir(path), 10); err == nil {
		t.Errorf("a folder: %q", b)
	}
}

// TestReadFilePipe: what tells no size is read up to the bound and no further.
func TestReadFilePipe(t *testing.T) {
	const zeros = "/dev/zero"
	if _, err := os.Stat(zeros); err != nil {
		t.Skip("no ", zeros)
	}
	if _, err := ReadFile(zeros, 9); err == nil || err.Error() != zeros+": has more than 9 bytes, the most that is read" {
		t.Errorf("error %v", err)
	}
}
