// Package hub is the model store: it brings models from a file, a URL, the Hugging Face hub or an Ollama registry, checks
// them, and says where they lie.
//
// It refuses to know what is inside a model, beyond asking the format packages whether a file opens and package model
// whether it can be run: by the first bytes of a file, before the rest is fetched. Every access to the
// store goes through os.Root, so no name, manifest or link can lead out of it. Open pull.go first; a store looks so:
//
//	HOME/models/NAME/manifest.json     the entry: source, date, files with size and SHA-256 (NAME has @ for the colon)
//	HOME/models/NAME/NAME.gguf         or the shards of a split GGUF, or config.json with its safetensors
//	HOME/models/.partial/NAME/         a pull that is not finished: FILE.partial with FILE.partial.json beside it
//	HOME/models/.partial/NAME~lock     held by the process that pulls or removes NAME
//	HOME/models/.partial/NAME~old/     an entry on its way out; no name holds a ~
//
// An entry appears by one rename, after every hash was checked.
package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Error is an error with a word on what to do about it.
type Error struct {
	Err  error
	hint string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint is what the user can do, as a sentence without a full stop.
func (e *Error) Hint() string { return e.hint }

// hinted adds a hint to an error.
func hinted(hint string, format string, args ...any) error {
	return &Error{fmt.Errorf(format, args...), hint}
}

// ArgumentError is an error of the one who typed: whatever the store and the network hold, it would be one.
type ArgumentError struct{ Err error }

func (e *ArgumentError) Error() string { return e.Err.Error() }
func (e *ArgumentError) Unwrap() error { return e.Err }

// ErrNotFound is wrapped by errors about a model that the store does not hold.
var ErrNotFound = errors.New("not in the store")

// ErrBusy is wrapped when another process is pulling or removing the same model.
var ErrBusy = errors.New("in use by another process")

// ErrOffline is wrapped where a host would have to be asked and the user forbade it.
var ErrOffline = errors.New("offline")

// Store is a folder of models. It holds nothing open between calls, and several processes may use one folder.
type Store struct {
	home string
	free func(dir string) (int64, error) // bytes free for us on the disk of dir
}

// DefaultHome is $RETORT_HOME, else the folder retort in the XDG data folder.
func DefaultHome() (string, error) {
	if home := os.Getenv("RETORT_HOME"); home != "" {
		return filepath.Abs(home)
	}
	// The XDG specification: a relative path is to be ignored.
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "retort"), nil
	}
	if local := os.Getenv("LOCALAPPDATA"); runtime.GOOS == "windows" && local != "" {
		return filepath.Join(local, "retort"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", &Error{fmt.Errorf("hub: no home folder: %w", err), "set RETORT_HOME to the folder that shall hold the models"}
	}
	return filepath.Join(user, ".local", "share", "retort"), nil
}

// Open returns the store in the folder home. A missing folder is an empty store: the first pull makes it.
func Open(home string) (*Store, error) {
	abs, err := filepath.Abs(home)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("hub: %s is not a folder", abs)
	}
	return &Store{home: abs, free: freeBytes}, nil
}

// Home is the folder of the store.
func (s *Store) Home() string { return s.home }

// dir is the folder that holds the entries.
func (s *Store) dir() string { return filepath.Join(s.home, "models") }

// root opens the folder of entries. The error wraps fs.ErrNotExist where nothing was ever pulled.
func (s *Store) root() (*os.Root, error) {
	root, err := os.OpenRoot(s.dir())
	if err != nil {
		return nil, fmt.Errorf("open model store: %w", err)
	}
	return root, nil
}

// makeRoot opens the folder of entries and makes it where it is missing.
func (s *Store) makeRoot() (*os.Root, error) {
	if err := os.MkdirAll(s.dir(), 0o755); err != nil {
		return nil, fmt.Errorf("make model store: %w", err)
	}
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	if err := root.Mkdir(partialDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		root.Close()
		return nil, fmt.Errorf("make model store: %w", err)
	}
	return root, nil
}

// bytesText writes a number of bytes as people read it, in powers of 1000 as disks and hubs count.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, unit := float64(n)/1000, 0
	for v >= 999.95 && unit < 4 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[unit])
}
