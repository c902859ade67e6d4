package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// rename is a variable so that a test can let the last step of a commit fail.
var rename = (*os.Root).Rename

// stageDir is where a pull gathers its files. It becomes the entry by one rename.
func stageDir(name string) string { return filepath.Join(partialDir, folder(name)) }

// oldDir is where an entry waits while it is replaced or removed.
func oldDir(name string) string { return filepath.Join(partialDir, folder(name)+"~old") }

// restore puts back the entry that a process was about to replace when it died, or clears away what it had replaced.
func restore(root *os.Root, name string) error {
	if _, err := root.Lstat(folder(name)); errors.Is(err, fs.ErrNotExist) {
		if err := root.Rename(oldDir(name), folder(name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return root.RemoveAll(oldDir(name))
}

// openStage makes the folder of the unfinished pull and clears it of what belongs to none of its parts. A part that lost
// its suffix in an earlier commit gets it back.
func (p *pull) openStage(stage string, pl *plan) error {
	if info, err := p.root.Lstat(stage); err == nil && !info.IsDir() {
		if err := p.root.Remove(stage); err != nil {
			return err
		}
	}
	if err := p.root.Mkdir(stage, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s: %w", stage, err)
	}
	keep := map[string]bool{}
	for _, part := range pl.parts {
		keep[part.name+partialSuffix], keep[part.name+stateSuffix] = true, true
		from, to := filepath.Join(stage, part.name), filepath.Join(stage, part.name+partialSuffix)
		if _, err := p.root.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			if err := p.root.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	list, err := fs.ReadDir(p.root.FS(), filepath.ToSlash(stage))
	if err != nil {
		return err
	}
	for _, d := range list {
		if !keep[d.Name()] || !d.Type().IsRegular() {
			if err := p.root.RemoveAll(filepath.Join(stage, d.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// missing is how many bytes of known sizes the stage lacks.
func (p *pull) missing(stage string, pl *plan) int64 {
	var n int64
	for _, part := range pl.parts {
		if part.size < 0 {
			continue
		}
		n += part.size
		if info, err := p.root.Lstat(filepath.Join(stage, part.name+partialSuffix)); err == nil {
			n -= min(info.Size(), part.size)
		}
	}
	return n
}

// checkFree refuses to begin what cannot end. A disk that does not tell is no reason to stop.
func (p *pull) checkFree(need int64) error {
	free, err := p.store.free(p.store.dir())
	if err != nil || need <= free {
		return nil
	}
	return hinted("free some space, or set RETORT_HOME to a folder on a larger disk",
		"disk too full: needs %s more in %s, %s free", bytesText(need), p.store.dir(), bytesText(free))
}

// commit gives the stage's files their names, checks that the model opens, writes the manifest and moves the folder to
// its place.
func (p *pull) commit(pl *plan, files []File) (Entry, error) {
	e := Entry{Name: pl.name, Source: pl.source, Format: pl.format, SHA256: sumOf(files),
		Date: time.Now().UTC().Truncate(time.Second), Files: files}
	stage, dir, old := stageDir(pl.name), folder(pl.name), oldDir(pl.name)
	for _, f := range files {
		e.Size += f.Size
		from := filepath.Join(stage, f.Name+partialSuffix)
		if err := p.root.Rename(from, filepath.Join(stage, f.Name)); err != nil {
			return Entry{}, err
		}
	}
	check := filepath.Join(p.store.dir(), stage)
	if e.Format == FormatGGUF {
		check = filepath.Join(check, files[0].Name)
	}
	if err := Check(check); err != nil {
		return Entry{}, p.unusable(stage, pl, err)
	}
	if err := writeManifest(p.root, filepath.Join(stage, manifestName), e); err != nil {
		return Entry{}, err
	}
	if _, err := p.root.Lstat(dir); err == nil {
		if err := rename(p.root, dir, old); err != nil {
			return Entry{}, err
		}
	}
	if err := rename(p.root, stage, dir); err != nil {
		rename(p.root, old, dir) // nothing to put back where there was no older one
		return Entry{}, err
	}
	for _, f := range files { // only now: with them a commit that fails can be tried again without the network
		p.root.Remove(filepath.Join(dir, f.Name+stateSuffix))
	}
	p.root.RemoveAll(old) // what stays in the way of this is cleared by the next pull of the name
	return p.store.entry(p.root, dir)
}

// unusable tells that the files came over well and do not open. They are kept only where their hashes say that another
// download would bring the same.
func (p *pull) unusable(stage string, pl *plan, err error) error {
	for _, part := range pl.parts {
		if part.local != "" || part.sha256 == "" {
			return errors.Join(fmt.Errorf("not a usable model: %w", err), p.root.RemoveAll(stage))
		}
	}
	return hinted("a later version of retort may read it; retort rm "+pl.name+" drops it",
		"not a usable model, though all hashes are right (kept aside): %w", err)
}

// adopt writes down that an entry has another source now.
func (p *pull) adopt(pl *plan, e *Entry) error {
	if e.Source == pl.source {
		return nil
	}
	e.Source = pl.source
	for i := range e.Files {
		e.Files[i].Version = pl.parts[i].version
	}
	aside := filepath.Join(partialDir, folder(e.Name)+"~manifest")
	if err := writeManifest(p.root, aside, *e); err != nil {
		return err
	}
	return p.root.Rename(aside, filepath.Join(folder(e.Name), manifestName))
}

// writeManifest writes a manifest so that it survives a power cut once this returns.
func writeManifest(root *os.Root, name string, e Entry) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
