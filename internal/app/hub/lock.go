package hub

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName takes the lock of a name, or says at once who holds it. The kernel lets go of it when the process dies. The
// file is removed with the lock held, so a winner checks that the file it locked is still the one on disk.
func lockName(root *os.Root, name string) (unlock func(), err error) {
	path := filepath.Join(partialDir, folder(name)+"~lock")
	for range 10 {
		f, err := root.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		free, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if !free {
			holder := lockHolder(f)
			f.Close()
			return nil, hinted("wait for it to end, or stop it: what it fetched is kept",
				"model %s: %w%s", name, ErrBusy, holder)
		}
		if !sameFile(root, path, f) {
			f.Close() // the holder before us removed it between our open and our lock
			continue
		}
		if err := f.Truncate(0); err == nil {
			fmt.Fprintln(f, os.Getpid()) // for the error of whoever comes second
		}
		return func() {
			root.Remove(path) // fails on Windows while open: the file then stays, unlocked
			f.Close()
		}, nil
	}
	return nil, fmt.Errorf("model %s: %w: its lock changes hands too fast", name, ErrBusy)
}

// sameFile reports whether path still names the open file.
func sameFile(root *os.Root, path string, f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	disk, err := root.Lstat(path)
	return err == nil && os.SameFile(open, disk)
}

// lockHolder is " (process N)" where the lock file names its holder.
func lockHolder(f *os.File) string {
	text, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}
