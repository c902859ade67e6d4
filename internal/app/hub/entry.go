package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// The two formats of an entry.
const (
	FormatGGUF        = "gguf"
	FormatSafetensors = "safetensors"
)

const (
	manifestName = "manifest.json"
	partialDir   = ".partial" // no name begins with a dot
	maxManifest  = 1 << 20    // bytes; a manifest of a thousand shards has 200 KB
)

// Entry is a model in the store. Its JSON is the manifest on disk.
type Entry struct {
	Name   string    `json:"name"`
	Source string    `json:"source"` // a path, a URL without its query, hf:owner/repo:file, or registry/library/family:size
	Format string    `json:"format"` // FormatGGUF or FormatSafetensors
	SHA256 string    `json:"sha256"` // of the file; of several, of the lines "sha256  name" in order, as sha256sum prints them
	Size   int64     `json:"size"`   // bytes of all files
	Date   time.Time `json:"date"`   // when the pull ended, UTC
	Files  []File    `json:"files"`  // the first one opens a split GGUF

	// Path is what Store.Path gives: the GGUF file (the first of a split one) or the folder.
	Path string `json:"-"`
}

// File is one file of an entry.
type File struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Version string `json:"version,omitempty"` // ETag or object id at its source, to see whether it changed there
}

var (
	filePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+@-]{0,240}$`)
	hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// parseManifest reads the manifest of the entry in folder dir and checks every rule that names and hashes obey.
func parseManifest(data []byte, dir string) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return Entry{}, fmt.Errorf("manifest: %w", err)
	}
	if err := checkName(e.Name); err != nil {
		return Entry{}, fmt.Errorf("manifest: %w", err)
	}
	if e.Name != unfolder(dir) {
		return Entry{}, fmt.Errorf("manifest names %q, want %q", e.Name, unfolder(dir))
	}
	if e.Format != FormatGGUF && e.Format != FormatSafetensors {
		return Entry{}, fmt.Errorf("manifest: format %q, want %s or %s", e.Format, FormatGGUF, FormatSafetensors)
	}
	if len(e.Files) == 0 {
		return Entry{}, errors.New("manifest lists no files")
	}
	seen, total := map[string]bool{}, int64(0)
	for _, f := range e.Files {
		low := strings.ToLower(f.Name)
		switch {
		case !filePattern.MatchString(f.Name) || low == manifestName || strings.HasSuffix(low, partialSuffix):
			return Entry{}, fmt.Errorf("manifest: file name %q", f.Name)
		case seen[low]:
			return Entry{}, fmt.Errorf("manifest: file %s twice", f.Name)
		case f.Size < 0 || f.Size > 1<<50:
			return Entry{}, fmt.Errorf("manifest: file %s of %d bytes", f.Name, f.Size)
		case !hashPattern.MatchString(f.SHA256):
			return Entry{}, fmt.Errorf("manifest: file %s: sha256 %q", f.Name, f.SHA256)
		}
		seen[low], total = true, total+f.Size
	}
	if e.Size != total {
		return Entry{}, fmt.Errorf("manifest: size %d, its files have %d", e.Size, total)
	}
	if want := sumOf(e.Files); e.SHA256 != want {
		return Entry{}, fmt.Errorf("manifest: sha256 %q, its files give %s", e.SHA256, want)
	}
	return e, nil
}

// sumOf is the SHA256 of an entry with these files.
func sumOf(files []File) string {
	if len(files) == 1 {
		return files[0].SHA256
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s  %s\n", f.SHA256, f.Name)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// entry reads the entry in folder dir, and checks that its files are there, regular and of the listed size.
func (s *Store) entry(root *os.Root, dir string) (Entry, error) {
	info, err := root.Lstat(dir)
	if err != nil {
		return Entry{}, err
	}
	if !info.IsDir() { // a link to another entry would be a second name for it
		return Entry{}, fmt.Errorf("%s is not a folder", dir)
	}
	data, err := readRegular(root, filepath.Join(dir, manifestName), maxManifest)
	if err != nil {
		return Entry{}, err
	}
	e, err := parseManifest(data, dir)
	if err != nil {
		return Entry{}, err
	}
	for _, f := range e.Files {
		info, err := root.Lstat(filepath.Join(dir, f.Name))
		if err != nil {
			return Entry{}, err
		}
		if !info.Mode().IsRegular() || info.Size() != f.Size {
			return Entry{}, fmt.Errorf("%s: %v of %d bytes, want a file of %d", f.Name, info.Mode().Type(), info.Size(), f.Size)
		}
	}
	e.Path = filepath.Join(s.dir(), dir)
	if e.Format == FormatGGUF {
		e.Path = filepath.Join(e.Path, e.Files[0].Name)
	}
	return e, nil
}

// readRegular reads a regular file of at most limit bytes.
func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("%s: %v of %d bytes, want a file of at most %d", name, info.Mode().Type(), info.Size(), limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// List returns the entries by name. Damaged entries are left out and told in the error, which may stand beside entries.
func (s *Store) List() ([]Entry, error) {
	root, err := s.root()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	folders, err := s.folders(root)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	var damaged []error
	for _, dir := range folders {
		e, err := s.entry(root, dir)
		if _, gone := root.Lstat(dir); errors.Is(gone, fs.ErrNotExist) {
			continue // removed since the listing
		}
		if err != nil {
			damaged = append(damaged, damagedError(dir, err))
			continue
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries, errors.Join(damaged...)
}

// damagedError tells of an entry whose manifest and files do not agree.
func damagedError(dir string, err error) error {
	return hinted("pull it again, or retort rm "+unfolder(dir), "model %s is damaged: %w", unfolder(dir), err)
}

// folders lists what may be entries.
func (s *Store) folders(root *os.Root) ([]string, error) {
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list model store: %w", err)
	}
	var folders []string
	for _, d := range list {
		if checkName(unfolder(d.Name())) == nil && !strings.Contains(d.Name(), ":") {
			folders = append(folders, d.Name())
		}
	}
	return folders, nil
}

// Get returns the entry of a name. The error wraps ErrNotFound where there is none, and its hint gives near names.
func (s *Store) Get(name string) (Entry, error) {
	name = canonical(name)
	if err := checkName(name); err != nil {
		return Entry{}, err
	}
	root, err := s.root()
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, s.notFound(name, nil)
	}
	if err != nil {
		return Entry{}, err
	}
	defer root.Close()
	// Looked up in the listing, since a file system that ignores case would open a twin.
	folders, err := s.folders(root)
	if err != nil {
		return Entry{}, err
	}
	var names []string
	for _, dir := range folders {
		if dir == folder(name) {
			e, err := s.entry(root, dir)
			if err != nil {
				return Entry{}, damagedError(dir, err)
			}
			return e, nil
		}
		names = append(names, unfolder(dir))
	}
	return Entry{}, s.notFound(name, names)
}

// notFound is the error for a name that is not among names.
func (s *Store) notFound(name string, names []string) error {
	hint := "retort pull " + name + " brings it; retort list shows what is here"
	if isPickle(name) || filepath.Ext(name) == ".safetensors" { // no registry has names like that
		hint = "there is no such file, and a model is a GGUF file or a folder with safetensors; retort list shows what is in the store"
	}
	if close := near(name, names); len(close) > 0 {
		hint = "did you mean " + strings.Join(close, ", ") + "?"
	}
	return hinted(hint, "model %s: %w (%s)", name, ErrNotFound, s.dir())
}

// nothingToRemove is notFound for one who wants no model brought.
func (s *Store) nothingToRemove(name string, names []string) error {
	hint := "retort list shows what is in the store"
	if close := near(name, names); len(close) > 0 {
		hint = "did you mean " + strings.Join(close, ", ") + "? " + hint
	}
	return hinted(hint, "model %s: %w (%s)", name, ErrNotFound, s.dir())
}

// Path returns what to open for a name: a GGUF file, or a folder with config.json and safetensors.
func (s *Store) Path(name string) (string, error) {
	e, err := s.Get(name)
	return e.Path, err
}

// Remove deletes a model, damaged or not, and what an unfinished pull of that name left.
func (s *Store) Remove(name string) error {
	name = canonical(name)
	if err := checkName(name); err != nil {
		return err
	}
	root, err := s.root()
	if errors.Is(err, fs.ErrNotExist) {
		return s.nothingToRemove(name, nil)
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(partialDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	unlock, err := lockName(root, name)
	if err != nil {
		return err
	}
	defer unlock()
	folders, err := s.folders(root)
	if err != nil {
		return err
	}
	here, names := false, []string(nil)
	for _, dir := range folders {
		here = here || dir == folder(name)
		names = append(names, unfolder(dir))
	}
	stage, old := stageDir(name), oldDir(name)
	_, stageErr := root.Lstat(stage)
	_, oldErr := root.Lstat(old)
	if !here && stageErr != nil && oldErr != nil {
		return s.nothingToRemove(name, names)
	}
	if here { // out of sight by one rename, so that nobody meets half of it
		if err := errors.Join(root.RemoveAll(old), root.Rename(folder(name), old)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := errors.Join(root.RemoveAll(old), root.RemoveAll(stage)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Verify reads a model's files again and compares their hashes with the manifest. progress may be nil.
func (s *Store) Verify(ctx context.Context, name string, progress func(Progress)) error {
	e, err := s.Get(name)
	if err != nil {
		return err
	}
	root, err := s.root()
	if err != nil {
		return err
	}
	defer root.Close()
	p := Progress{Phase: PhaseVerify, Total: e.Size}
	for _, f := range e.Files {
		p.File = f.Name
		file, err := root.Open(filepath.Join(folder(e.Name), f.Name))
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		h := sha256.New()
		_, err = copyTo(ctx, h, file, func(n int64) {
			p.Done += n
			if progress != nil {
				progress(p)
			}
		})
		file.Close()
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != f.SHA256 {
			return damagedError(folder(e.Name), fmt.Errorf("%s has sha256 %s, want %s", f.Name, got, f.SHA256))
		}
	}
	return nil
}
