package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Resolve returns what to open for a MODEL argument: a GGUF file or a folder. Files and folders come before names in the
// store. Nothing is fetched: hf: and URLs are found where they were pulled before, and else the hint says how.
func (s *Store) Resolve(model string) (string, error) {
	r, err := parseRef(model)
	if err != nil {
		return "", err
	}
	switch r.kind {
	case refPath:
		return s.resolvePath(r.path)
	case refHub, refURL:
		return s.resolveSource(model, r)
	}
	kind, pathErr := modelKind(r.path)
	if kind != "" {
		return r.path, nil
	}
	found, err := s.Path(r.name)
	if err != nil && errors.Is(err, ErrNotFound) && !errors.Is(pathErr, fs.ErrNotExist) {
		return "", pathErr // something of that name is here and is no model
	}
	return found, err
}

// resolvePath accepts a model on disk, or NAME.gguf for NAME in the store.
func (s *Store) resolvePath(file string) (string, error) {
	kind, err := modelKind(file)
	if kind == FormatGGUF {
		return firstPart(file), nil
	}
	if kind != "" {
		return file, nil
	}
	prefix, _ := shardsOf(file)
	if name := canonical(prefix); errors.Is(err, fs.ErrNotExist) && checkName(name) == nil {
		if found, storeErr := s.Path(name); storeErr == nil {
			return found, nil
		}
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = fmt.Errorf("model %s: %w", file, pathErr.Err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = absent(file, err)
	}
	return "", err
}

// firstPart is the path of the first part where file is one of several and the first is there; else file.
func firstPart(file string) string {
	_, names := shardsOf(filepath.Base(file))
	if names[0] == filepath.Base(file) {
		return file
	}
	first := filepath.Join(filepath.Dir(file), names[0])
	if kind, _ := modelKind(first); kind != FormatGGUF {
		return file
	}
	return first
}

// resolveSource finds the entry that was pulled from a source.
func (s *Store) resolveSource(model string, r ref) (string, error) {
	entries, err := s.List()
	if len(entries) == 0 && err != nil {
		return "", err
	}
	var all []edition
	paths := map[string]string{}
	for _, e := range entries {
		if r.kind == refURL {
			if e.Source == sourceURL(firstURL(r.url)) {
				return e.Path, nil
			}
			continue
		}
		src, err := parseRef(e.Source)
		if err != nil || src.kind != refHub || !strings.EqualFold(src.repo, r.repo) {
			continue
		}
		if src.file == "" && r.file == "" {
			return e.Path, nil
		}
		all = append(all, edition{label: src.file, files: []hubFile{{Path: src.file, Size: e.Size}}})
		paths[src.file] = e.Path
	}
	if len(all) > 0 {
		if len(all) == 1 && r.file == "" {
			return paths[all[0].label], nil
		}
		e, err := choose(r.repo, all, r.file)
		if err == nil {
			return paths[e.label], nil
		}
		if r.file == "" {
			return "", err
		}
	}
	return "", hinted("retort pull "+quoteShell(model), "model %s: %w (%s)", model, ErrNotFound, s.dir())
}

// quoteShell quotes an argument that a shell would take apart.
func quoteShell(arg string) string {
	if strings.ContainsAny(arg, " \t'\"\\$&;|<>()*?[]#~`!{}") {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}
