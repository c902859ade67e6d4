//go:build unix

package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// watch records the steps of a commit in their order; the step called failing fails instead.
func watch(t *testing.T, failing string) *[]string {
	t.Helper()
	steps := new([]string)
	errBroken := errors.New("disk is broken")
	sync, move := syncFile, rename
	t.Cleanup(func() { syncFile, rename = sync, move })
	step := func(name string, do func() error) error {
		*steps = append(*steps, name)
		if name == failing {
			return errBroken
		}
		return do()
	}
	syncFile = func(f *os.File) error {
		name := "sync " + filepath.Base(f.Name())
		if IsTemp(filepath.Base(f.Name())) {
			name = "sync file"
		}
		return step(name, func() error { return sync(f) })
	}
	rename = func(from, to string) error {
		return step("rename to "+filepath.Base(to), func() error { return move(from, to) })
	}
	return steps
}

// The content is durable before it gets its name, and the name after. A power cut between any two steps leaves the old
// content or the whole new one.
func TestCommitOrder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	steps := watch(t, "")
	if err := WriteFile(filepath.Join(dir, "f"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync file", "rename to f", "sync folder"}; !slices.Equal(*steps, want) {
		t.Errorf("steps %q, want %q", *steps, want)
	}
}

// Whichever step fails, the error says so. Before the rename the old content stands and nothing is left beside it.
func TestCommitFails(t *testing.T) {
	for failing, want := range map[string]string{"sync file": "old", "rename to f": "old", "sync folder": "new"} {
		dir := filepath.Join(t.TempDir(), "folder")
		path := filepath.Join(dir, "f")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(path, []byte("old"), 0o644)); err != nil {
			t.Fatal(err)
		}
		t.Run(failing, func(t *testing.T) {
			watch(t, failing)
			if err := WriteFile(path, []byte("new")); err == nil {
				t.Error("no error")
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != want {
				t.Errorf("content %q, %v; want %q", got, err, want)
			}
			if kept, temps := names(t, dir); len(kept) != 1 || len(temps) != 0 {
				t.Errorf("left: %v and %v", kept, temps)
			}
		})
	}
}

// A file system that cannot sync folders is no failure: the rename has happened. Any other error is one.
func TestSyncDirFails(t *testing.T) {
	sync := syncFile
	defer func() { syncFile = sync }()
	for _, c := range []struct {
		err  error
		fine bool
	}{{syscall.EINVAL, true}, {syscall.ENOTSUP, true}, {syscall.EIO, false}, {nil, true}} {
		syncFile = func(f *os.File) error { return c.err }
		if err := SyncDir(t.TempDir()); (err == nil) != c.fine {
			t.Errorf("%v gives %v", c.err, err)
		}
	}
	if err := SyncDir(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there: no error")
	}
}
