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
	"strings"
)

const (
	typeModel      = "application/vnd.ollama.image.model"
	acceptManifest = "application/vnd.docker.distribution.manifest.v2+json"
	maxLayers      = 1000
)

var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// planRegistry plans family:size from an Ollama registry: the layer that is the GGUF file. Templates and parameters are
// in the file too, and are read from there.
func (p *pull) planRegistry(ctx context.Context, name string) (*plan, error) {
	if err := checkName(name); err != nil {
		return nil, &ArgumentError{err}
	}
	family, tag, ok := strings.Cut(name, ":")
	if !ok {
		tag = "latest"
	}
	p.say("asking %s for %s:%s", p.registry.Host, family, tag)
	base := p.registry.JoinPath("v2", "library", family)
	data, _, err := p.client.small(ctx, base.JoinPath("manifests", tag), acceptManifest, maxManifest)
	if err != nil {
		var status *statusError
		if errors.As(err, &status) && status.code == http.StatusNotFound {
			return nil, hinted("a file is named with its path, a Hugging Face model as hf:owner/repo",
				"%s has no model %s:%s: %w", p.registry.Host, family, tag, err)
		}
		return nil, err
	}
	digest, size, err := parseImage(data)
	if err != nil {
		return nil, fmt.Errorf("%s:%s at %s: %w", family, tag, p.registry.Host, err)
	}
	return &plan{
		name:   name,
		source: p.registry.Host + "/library/" + family + ":" + tag,
		format: FormatGGUF,
		parts:  []part{{url: base.JoinPath("blobs", digest), size: size, sha256: strings.TrimPrefix(digest, "sha256:")}},
	}, nil
}

// parseImage reads an Ollama manifest and returns the digest and size of the one layer that is a model.
func parseImage(data []byte) (digest string, size int64, err error) {
	var image struct {
		Layers []struct {
			MediaType string `json:"mediaType"`
			Digest    string `json:"digest"`
			Size      int64  `json:"size"`
		} `json:"layers"`
	}
	if err := json.Unmarshal(data, &image); err != nil {
		return "", 0, fmt.Errorf("manifest: %w", err)
	}
	if len(image.Layers) > maxLayers {
		return "", 0, fmt.Errorf("manifest of %d layers, at most %d", len(image.Layers), maxLayers)
	}
	for _, l := range image.Layers {
		if l.MediaType != typeModel {
			continue
		}
		switch {
		case digest != "":
			return "", 0, errors.New("manifest holds two models")
		case !digestPattern.MatchString(l.Digest):
			return "", 0, fmt.Errorf("manifest: digest %q, want sha256: and 64 hexadecimal digits", l.Digest)
		case l.Size <= 0:
			return "", 0, fmt.Errorf("manifest: model of %d bytes", l.Size)
		}
		digest, size = l.Digest, l.Size
	}
	if digest == "" {
		return "", 0, errors.New("manifest holds no GGUF model")
	}
	return digest, size, nil
}

// firstURL is the URL of the first part where u is that of one of several; else u.
func firstURL(u *url.URL) *url.URL {
	if firstOf(u.Path) == u.Path {
		return u
	}
	first := *u
	first.Path, first.RawPath = firstOf(u.Path), ""
	return &first
}

// planURL plans a GGUF file, or all parts of one, at a URL. Each part is asked for before any is fetched.
func (p *pull) planURL(ctx context.Context, u *url.URL) (*plan, error) {
	base := path.Base(u.Path)
	if isPickle(base) {
		return nil, pickleError(base)
	}
	prefix, names := shardsOf(base)
	if prefix == "/" || prefix == "." {
		prefix = "" // settle then asks for a name
	}
	pl := &plan{name: prefix, source: sourceURL(firstURL(u)), format: FormatGGUF}
	var missing []string
	for _, name := range names {
		at := *u
		if len(names) > 1 {
			at.Path, at.RawPath = path.Join(path.Dir(u.Path), name), ""
		}
		part := part{name: name, url: &at, size: -1}
		err := p.ask(ctx, &part)
		if err == nil && len(names) > 1 && part.size < 0 {
			err = p.probe(ctx, &part)
		}
		var status *statusError
		if len(names) > 1 && errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone) {
			missing = append(missing, name)
		} else if err != nil {
			return nil, err
		}
		pl.parts = append(pl.parts, part)
	}
	if len(missing) > 0 {
		return nil, missingParts(u.Host, base, len(names), missing)
	}
	return pl, nil
}

// probe asks for a part's first byte, where HEAD told nothing: what is not there shall be known before the others come.
func (p *pull) probe(ctx context.Context, part *part) error {
	return p.client.retry(ctx, func() (int64, error) {
		r, err := p.client.do(ctx, http.MethodGet, part.url, http.Header{"Range": {"bytes=0-0"}}, true)
		if err != nil {
			return 0, err
		}
		return 0, r.Body.Close()
	})
}
