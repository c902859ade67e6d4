package atomicfile

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func names(t *testing.T, dir string) (kept, temps []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if IsTemp(e.Name()) {
			temps = append(temps, e.Name())
		} else {
			kept = append(kept, e.Name())
		}
	}
	return kept, temps
}

func TestCommitAndAbort(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.gguf")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "one")
	if kept, temps := names(t, dir); len(kept) != 0 || len(temps) != 1 {
		t.Errorf("before Commit: %v and %v", kept, temps)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	if err := f.Commit(); err == nil {
		t.Error("second Commit: no error")
	}
	g, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(g, "two")
	if err := g.Abort(); err != nil {
		t.Error(err)
	}
	if err := g.Commit(); err == nil {
		t.Error("Commit after Abort: no error")
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "one" {
		t.Errorf("content %q, error %v", got, err)
	}
	if kept, temps := names(t, dir); len(kept) != 1 || len(temps) != 0 {
		t.Errorf("after all: %v and %v", kept, temps)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, dir + "/", filepath.Join(dir, "none", "file"), "", ".", os.DevNull} {
		if f, err := Create(path); err == nil {
			f.Abort()
			t.Errorf("Create(%q): no error", path)
		}
	}
	if _, temps := names(t, dir); len(temps) != 0 {
		t.Errorf("left behind: %v", temps)
	}
}

func TestPermissionsStay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v, want 0600", info.Mode(), err)
	}
}

func TestLongNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("長", 80)) // 240 bytes
	if err := WriteFile(path, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

// Many writers of one file: every look finds one whole content.
func TestWritersDoNotMeet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 10_000) }
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				if err := WriteFile(path, content(i)); err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) != 10_000 || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("torn: %d bytes, error %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	if kept, temps := names(t, dir); len(kept) != 1 || len(temps) != 0 {
		t.Errorf("left: %v and %v", kept, temps)
	}
}

// TestKilled kills a process that writes over and over: the file is whole, and what is left aside is recognised.
func TestKilled(t *testing.T) {
	if path := os.Getenv("ATOMICFILE_WRITE"); path != "" {
		for i := 0; ; i++ {
			if err := WriteFile(path, bytes.Repeat([]byte{byte('a' + i%26)}, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for i := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "ATOMICFILE_WRITE="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(30+i*7) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		got, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // killed before its first commit
		}
		if err != nil || len(got) != 1<<20 || bytes.Count(got, got[:1]) != len(got) {
			t.Fatalf("torn: %d bytes, error %v", len(got), err)
		}
	}
	kept, temps := names(t, dir)
	if len(kept) != 1 || kept[0] != "f" {
		t.Errorf("unrecognised leftovers: %v", kept)
	}
	t.Logf("%d unfinished files recognised", len(temps))
}
