package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"retort/internal/format/safetensors"
)

// hubFile is a file as the Hugging Face hub lists it.
type hubFile struct {
	Path    string
	Size    int64  // -1 unknown
	SHA256  string // of files in large file storage, else empty
	Version string // the git object's id
}

const (
	maxListing  = 8 << 20 // bytes of one answer
	maxPages    = 50
	maxHubFiles = 100_000
)

// planHub plans hf:owner/repo[:file]: a GGUF where there is one, else the safetensors folder.
func (p *pull) planHub(ctx context.Context, r ref) (*plan, error) {
	p.say("asking %s for %s", p.hub.Host, r.repo)
	files, err := p.hubFiles(ctx, r.repo)
	if err != nil {
		return nil, hubError(r.repo, p.hub, err)
	}
	all := editions(files)
	if len(all) == 0 && r.file == "" {
		return p.planHubFolder(ctx, r.repo, files)
	}
	if isPickle(r.file) {
		return nil, pickleError(r.file)
	}
	e, err := choose(r.repo, all, r.file)
	if err != nil {
		return nil, err
	}
	pl := &plan{source: "hf:" + r.repo + ":" + e.label, format: FormatGGUF}
	pl.name, _ = shardsOf(path.Base(e.label))
	for _, f := range e.files {
		pl.parts = append(pl.parts, p.hubPart(r.repo, f))
	}
	return pl, p.askHub(ctx, r.repo, pl)
}

// planHubFolder plans the top folder of a repository.
func (p *pull) planHubFolder(ctx context.Context, repo string, files []hubFile) (*plan, error) {
	byName, names := map[string]hubFile{}, []string(nil)
	for _, f := range files {
		if !strings.Contains(f.Path, "/") {
			byName[f.Path] = f
			names = append(names, f.Path)
		}
	}
	names, err := chooseFolder("hf:"+repo, names)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, safetensors.SingleName) && !slices.Contains(names, safetensors.IndexName) {
		return nil, fmt.Errorf("%s holds neither %s nor %s", repo, safetensors.SingleName, safetensors.IndexName)
	}
	pl := &plan{source: "hf:" + repo, format: FormatSafetensors, name: path.Base(repo)}
	for _, name := range names {
		pl.parts = append(pl.parts, p.hubPart(repo, byName[name]))
	}
	return pl, p.askHub(ctx, repo, pl)
}

func (p *pull) hubPart(repo string, f hubFile) part {
	u := p.hub.JoinPath(append([]string{repo, "resolve", "main"}, escapeSegments(f.Path)...)...)
	return part{name: path.Base(f.Path), url: u, size: f.Size, sha256: f.SHA256, version: f.Version}
}

// escapeSegments prepares a file's path for url.JoinPath, which takes its elements as already escaped.
func escapeSegments(file string) []string {
	segments := strings.Split(file, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return segments
}

// askHub fills in the hashes of weights and the sizes that the listing did not tell.
func (p *pull) askHub(ctx context.Context, repo string, pl *plan) error {
	for i := range pl.parts {
		part := &pl.parts[i]
		weights := strings.HasSuffix(part.name, ".gguf") || strings.HasSuffix(part.name, ".safetensors")
		if part.size >= 0 && (part.sha256 != "" || !weights) {
			continue
		}
		if err := p.ask(ctx, part); err != nil {
			return hubError(repo, p.hub, err)
		}
	}
	return nil
}

// ask sends HEAD for a part and keeps what the answer tells of size, hash and version. A server that does not know HEAD
// tells nothing.
func (p *pull) ask(ctx context.Context, part *part) error {
	err := p.client.retry(ctx, func() (int64, error) {
		r, err := p.client.do(ctx, http.MethodHead, part.url, nil, true)
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		if r.linkedSHA != "" && part.sha256 == "" {
			part.sha256 = r.linkedSHA
		}
		switch {
		case part.size >= 0:
		case r.linkedSize >= 0:
			part.size = r.linkedSize
		case r.StatusCode == http.StatusOK && r.ContentLength >= 0:
			part.size = r.ContentLength
		}
		if part.version == "" {
			part.version = validator(r.Header)
		}
		return 0, nil
	})
	var status *statusError
	if errors.As(err, &status) {
		switch status.code {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotImplemented:
			return nil // addresses signed for GET say one of these; GET will tell the truth
		}
	}
	return err
}

// hubFiles lists a repository, by its tree or, where an endpoint has no tree, by its siblings.
func (p *pull) hubFiles(ctx context.Context, repo string) ([]hubFile, error) {
	u := p.hub.JoinPath("api", "models", repo, "tree", "main")
	u.RawQuery = "recursive=true"
	var files []hubFile
	for page := 0; u != nil; page++ {
		data, header, err := p.client.small(ctx, u, "application/json", maxListing)
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound && page == 0 {
			return p.hubSiblings(ctx, repo)
		}
		if err != nil {
			return nil, err
		}
		more, err := parseTree(data)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", u.Host, u.Path, err)
		}
		if files = append(files, more...); len(files) > maxHubFiles || page >= maxPages {
			return nil, fmt.Errorf("more than %d files or %d pages", maxHubFiles, maxPages)
		}
		if u, err = p.nextPage(u, header.Get("Link")); err != nil {
			return nil, err
		}
	}
	return files, nil
}

var nextLink = regexp.MustCompile(`<([^<>]+)>\s*;\s*rel="next"`)

// nextPage is the next page of a listing, or nil. It must lie where the first one did.
func (p *pull) nextPage(u *url.URL, link string) (*url.URL, error) {
	m := nextLink.FindStringSubmatch(link)
	if m == nil {
		return nil, nil
	}
	next, err := u.Parse(m[1])
	if err != nil || !sameOrigin(next, u) {
		return nil, fmt.Errorf("next page of the listing lies elsewhere: %q", m[1])
	}
	return next, nil
}

// parseTree reads an answer of /api/models/REPO/tree/main. Files with doubtful paths are left out.
func parseTree(data []byte) ([]hubFile, error) {
	var tree []struct {
		Type string `json:"type"`
		Path string `json:"path"`
		Size int64  `json:"size"`
		OID  string `json:"oid"`
		LFS  *struct {
			OID  string `json:"oid"`
			Size int64  `json:"size"`
		} `json:"lfs"`
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("listing: %w", err)
	}
	var files []hubFile
	for _, t := range tree {
		if t.Type != "file" || checkRemotePath(t.Path) != nil {
			continue
		}
		f := hubFile{Path: t.Path, Size: max(t.Size, -1), Version: t.OID}
		if t.LFS != nil {
			f.Size = max(t.LFS.Size, -1)
			if f.SHA256 = strings.TrimPrefix(t.LFS.OID, "sha256:"); !hashPattern.MatchString(f.SHA256) {
				return nil, fmt.Errorf("listing: %s has oid %q, want a sha256", t.Path, t.LFS.OID)
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// hubSiblings lists a repository by /api/models/REPO, which knows names only.
func (p *pull) hubSiblings(ctx context.Context, repo string) ([]hubFile, error) {
	u := p.hub.JoinPath("api", "models", repo)
	data, _, err := p.client.small(ctx, u, "application/json", maxListing)
	if err != nil {
		return nil, err
	}
	files, err := parseSiblings(data)
	if err != nil {
		err = fmt.Errorf("%s%s: %w", u.Host, u.Path, err)
	}
	return files, err
}

// parseSiblings reads an answer of /api/models/REPO.
func parseSiblings(data []byte) ([]hubFile, error) {
	var info struct {
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("listing: %w", err)
	}
	var files []hubFile
	for _, s := range info.Siblings {
		if checkRemotePath(s.Name) == nil {
			files = append(files, hubFile{Path: s.Name, Size: -1})
		}
	}
	return files, nil
}

// hubError explains the hub's refusals.
func hubError(repo string, hub *url.URL, err error) error {
	var status *statusError
	if !errors.As(err, &status) || status.host != hub.Host {
		return err // the storage behind the hub knows nothing of terms and tokens
	}
	switch status.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &Error{fmt.Errorf("%s is private, gated or misspelt: %w", repo, err),
			"set HF_TOKEN to a token that may read it; a gated model first wants its terms accepted at " + hub.JoinPath(repo).String()}
	case http.StatusNotFound:
		return fmt.Errorf("no repository or file %s: %w", repo, err)
	}
	return err
}

// hubPage recognizes the hub's own pages and download links, which people paste.
func (p *pull) hubPage(u *url.URL) (ref, bool) {
	base := strings.TrimSuffix(p.hub.Path, "/") + "/"
	if !sameOrigin(u, p.hub) || !strings.HasPrefix(u.Path, base) {
		return ref{}, false
	}
	parts := strings.SplitN(strings.TrimSuffix(strings.TrimPrefix(u.Path, base), "/"), "/", 5)
	arg := ""
	switch {
	case len(parts) == 2, len(parts) == 4 && parts[2] == "tree" && parts[3] == "main":
		arg = "hf:" + parts[0] + "/" + parts[1]
	case len(parts) == 5 && (parts[2] == "blob" || parts[2] == "resolve") && parts[3] == "main":
		arg = "hf:" + parts[0] + "/" + parts[1] + ":" + parts[4]
	default:
		return ref{}, false
	}
	r, err := parseHub(arg)
	return r, err == nil && !strings.HasSuffix(r.repo, ".gguf")
}
