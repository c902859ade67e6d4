// Package atomicfile writes files aside and renames them: under the final name stands the old content or the whole new
// one, whenever the process or the machine dies.
//
// A file grows as .NAME.RANDOM.retort-tmp in the folder of its final name, since a rename is only atomic within one file
// system. The names are random and made exclusively, so two processes that write the same file do not meet: the last to
// commit wins. What a killed process leaves behind is known by IsTemp, is never read, and may be deleted.
package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const suffix = ".retort-tmp"

// The steps whose order makes a commit durable, as variables so that a test can watch them and let them fail.
var (
	syncFile = (*os.File).Sync
	rename   = os.Rename
)

// IsTemp reports whether a file of this name (without folder) is an unfinished write of this package.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, suffix)
}

// A File is being written aside. It ends with Commit or with Abort, the latter usually deferred.
type File struct {
	*os.File
	path string // the final name
	done bool
}

// Create starts a file that Commit will place at path, in a folder that exists. A regular file of that name is replaced
// and passes on its permissions; a symbolic link is replaced itself, not what it points to. Anything else under that
// name (a folder, a device) is refused now and not after hours of writing.
func Create(path string) (*File, error) {
	old, err := os.Stat(path)
	switch {
	case err == nil && !old.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file (%s), will not be replaced", path, old.Mode().Type())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f, err := createAside(path)
	if err != nil {
		return nil, err
	}
	if old != nil {
		if err := f.Chmod(old.Mode().Perm()); err != nil {
			f.Abort()
			return nil, err
		}
	}
	return f, nil
}

func createAside(path string) (*File, error) {
	dir, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return nil, fmt.Errorf("%q does not name a file", path)
	}
	var random [8]byte
	rand.Read(random[:]) // never fails
	name := dir + "." + shorten(base) + "." + hex.EncodeToString(random[:]) + suffix
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// shorten keeps the temporary name within the 255 bytes of file systems, and whole characters.
func shorten(base string) string {
	const most = 200
	if len(base) <= most {
		return base
	}
	return strings.ToValidUTF8(base[:most], "")
}

// Path is the final name; Name, of the embedded os.File, is the temporary one.
func (f *File) Path() string { return f.path }

// Commit makes the content durable, then gives the file its final name, then makes the name durable. If it fails before
// the rename the temporary file is removed and the final name is as it was.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("%s: was committed or aborted already", f.path)
	}
	if err := syncFile(f.File); err != nil {
		f.Abort()
		return err
	}
	f.done = true
	err := f.Close()
	if err == nil {
		err = rename(f.Name(), f.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// Abort removes the temporary file. After Commit it does nothing, so it can be deferred.
func (f *File) Abort() error {
	if f.done {
		return nil
	}
	f.done = true
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// WriteFile puts data at path.
func WriteFile(path string, data []byte) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
