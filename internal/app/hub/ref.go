package hub

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// refKind is what a MODEL argument turned out to be, by its spelling alone.
type refKind int

const (
	refName refKind = iota // family, family:size; may still be a file or folder of that name
	refPath                // has a path separator or ends in .gguf
	refHub                 // hf:owner/repo[:file]
	refURL                 // http:// or https://
)

// ref is a parsed MODEL argument.
type ref struct {
	kind refKind
	name string   // refName, canonical
	path string   // refPath, and refName as typed
	repo string   // refHub: owner/repo
	file string   // refHub: a file's path in the repository or a quantization such as Q4_K_M, or empty
	url  *url.URL // refURL
}

var repoPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$`)

// maxRef bounds an argument before any work is done on it.
const maxRef = 4096

// parseRef sorts a MODEL argument by its spelling. No file is looked at. Its errors are ArgumentErrors.
func parseRef(arg string) (ref, error) {
	r, err := sortRef(arg)
	if err != nil {
		err = &ArgumentError{err}
	}
	return r, err
}

func sortRef(arg string) (ref, error) {
	switch {
	case arg == "":
		return ref{}, fmt.Errorf("model is empty")
	case len(arg) > maxRef:
		return ref{}, fmt.Errorf("model of %d bytes, at most %d", len(arg), maxRef)
	case strings.ContainsFunc(arg, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return ref{}, fmt.Errorf("model %q holds a control character", arg)
	case strings.HasPrefix(arg, "hf:"):
		return parseHub(arg)
	case strings.Contains(arg, "://"):
		u, err := parseURL(arg)
		return ref{kind: refURL, url: u}, err
	case strings.ContainsAny(arg, `/\`), strings.HasSuffix(arg, ".gguf"), arg == ".", arg == "..":
		return ref{kind: refPath, path: arg}, nil
	}
	return ref{kind: refName, name: canonical(arg), path: arg}, nil
}

// parseHub reads hf:owner/repo[:file].
func parseHub(arg string) (ref, error) {
	repo, file, hasFile := strings.Cut(strings.TrimPrefix(arg, "hf:"), ":")
	if !repoPattern.MatchString(repo) || strings.Contains(repo, "..") {
		return ref{}, fmt.Errorf("model %q: want hf:owner/repo or hf:owner/repo:file", arg)
	}
	if hasFile {
		if err := checkRemotePath(file); err != nil {
			return ref{}, fmt.Errorf("model %q: %w", arg, err)
		}
	}
	return ref{kind: refHub, repo: repo, file: file}, nil
}

// checkRemotePath demands a clean relative path with forward slashes, as a repository lists its files.
func checkRemotePath(file string) error {
	if file == "" || len(file) > 1024 || strings.Contains(file, `\`) || path.IsAbs(file) || path.Clean(file) != file ||
		file == "." || file == ".." || strings.HasPrefix(file, "../") {
		return fmt.Errorf("%q is not a file's path in a repository", file)
	}
	for i := range len(file) {
		if file[i] < 0x20 || file[i] == 0x7f {
			return fmt.Errorf("%q holds a control character", file)
		}
	}
	return nil
}

// parseURL accepts absolute http and https URLs that carry no user name or password: those would end up in manifests
// and logs.
func parseURL(arg string) (*url.URL, error) {
	u, err := url.Parse(arg)
	if err != nil {
		return nil, fmt.Errorf("model URL: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("model URL %s: scheme %q, want https or http", u.Redacted(), u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("model URL %s has no host", u.Redacted())
	case u.User != nil:
		return nil, fmt.Errorf("model URL %s carries a user name: it would be kept in the manifest", u.Redacted())
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// sourceURL is a URL as manifests keep it: without the query, where signatures and tokens live.
func sourceURL(u *url.URL) string {
	c := *u
	c.RawQuery, c.ForceQuery = "", false
	return c.String()
}
