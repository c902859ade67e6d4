package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The phases of a pull, in their order.
const (
	PhaseResolve  = "resolve"  // asking what the model consists of
	PhaseCopy     = "copy"     // from the local disk
	PhaseDownload = "download" // from the network
	PhaseVerify   = "verify"   // reading again what an earlier run left
)

// Progress is where a pull stands. Done and Total are bytes over all files; Total is -1 while unknown.
type Progress struct {
	Phase       string
	File        string
	Done, Total int64
	Note        string // a remark for the user, such as a wait; the numbers stand beside it
}

// PullOptions are the wishes for one pull. The zero value takes everything from the environment.
type PullOptions struct {
	Name     string         // in the store, instead of one made from the source
	SHA256   string         // that the single file must have, 64 hexadecimal digits
	Replace  bool           // a model of that name from another source
	Offline  bool           // ask no host; also on where $RETORT_OFFLINE is set to anything but 0 or false
	Progress func(Progress) // called often, from one goroutine

	HubEndpoint string // else $HF_ENDPOINT, else https://huggingface.co
	HubToken    string // else $HF_TOKEN; sent to the endpoint's origin and nowhere else
	Registry    string // else $RETORT_REGISTRY, else https://registry.ollama.ai

	StallTimeout time.Duration // the longest silence of a server, 30 s
	Tries        int           // in a row without gain, 6
	Backoff      time.Duration // before the second try, 1 s; doubles
}

// withDefaults fills what was left out.
func (o PullOptions) withDefaults() PullOptions {
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	o.HubEndpoint = first(o.HubEndpoint, os.Getenv("HF_ENDPOINT"), "https://huggingface.co")
	o.HubToken = first(o.HubToken, os.Getenv("HF_TOKEN"))
	o.Registry = first(o.Registry, os.Getenv("RETORT_REGISTRY"), "https://registry.ollama.ai")
	if env := os.Getenv("RETORT_OFFLINE"); env != "" {
		off, err := strconv.ParseBool(env)
		o.Offline = o.Offline || off || err != nil // who sets it to "yes" means it
	}
	if o.StallTimeout <= 0 {
		o.StallTimeout = 30 * time.Second
	}
	if o.Tries <= 0 {
		o.Tries = 6
	}
	if o.Backoff <= 0 {
		o.Backoff = time.Second
	}
	return o
}

// part is one file to bring, and what is known of it beforehand.
type part struct {
	name    string   // in the entry
	local   string   // the file to copy, or empty
	url     *url.URL // what to download otherwise
	size    int64    // -1 unknown
	sha256  string   // or empty
	version string   // names its state at the source, or empty
	of      int      // of the first file of a GGUF model: in how many parts that is
}

// plan is what a source offers for one model.
type plan struct {
	name   string // that the source suggests
	source string
	format string
	parts  []part
}

// pull is one run of Pull.
type pull struct {
	PullOptions
	store    *Store
	root     *os.Root
	client   *client
	hub      *url.URL
	registry *url.URL
	at       Progress
	before   int64 // bytes of the parts that are complete
}

// Pull brings a model into the store and returns its entry. ref is a GGUF file, a folder with config.json and safetensors,
// an http(s) URL of a GGUF file, hf:owner/repo[:file] or family:size.
//
// A pull that breaks off keeps what it has, and the same call goes on from there. The entry appears when every hash was
// checked and the model opens. A model that is there and unchanged is returned as it is.
func (s *Store) Pull(ctx context.Context, arg string, opts PullOptions) (Entry, error) {
	p := &pull{PullOptions: opts.withDefaults(), store: s, at: Progress{Phase: PhaseResolve, Total: -1}}
	e, err := p.run(ctx, arg)
	if p.client != nil {
		p.client.http.CloseIdleConnections()
	}
	if err != nil {
		return Entry{}, fmt.Errorf("pull %s: %w", arg, err)
	}
	return e, nil
}

func (p *pull) run(ctx context.Context, arg string) (Entry, error) {
	if err := p.connect(); err != nil {
		return Entry{}, err
	}
	if err := p.checkWishes(); err != nil {
		return Entry{}, &ArgumentError{err}
	}
	r, err := parseRef(arg)
	if err != nil {
		return Entry{}, err
	}
	p.report()
	if e, done, err := p.kept(arg, r); done || err != nil {
		return e, err
	}
	pl, err := p.plan(ctx, r)
	if err != nil {
		return Entry{}, err
	}
	if err := p.settle(pl); err != nil {
		return Entry{}, err
	}
	if p.root, err = p.store.makeRoot(); err != nil {
		return Entry{}, err
	}
	defer p.root.Close()
	unlock, err := lockName(p.root, pl.name)
	if err != nil {
		return Entry{}, err
	}
	defer unlock()
	if err := restore(p.root, pl.name); err != nil {
		return Entry{}, err
	}
	if e, done, err := p.present(ctx, pl); done || err != nil {
		return e, err
	}
	files, err := p.fetch(ctx, pl)
	if err != nil {
		p.root.Remove(stageDir(pl.name)) // unless something in it is kept
	}
	if from, perr := parseRef(pl.source); err != nil && perr == nil && from.kind == refHub {
		err = hubError(from.repo, p.hub, err) // gated models list their files to everyone and refuse here
	}
	if err != nil {
		return Entry{}, err
	}
	return p.commit(pl, files)
}

// kept finds, where no host may be asked, the entry that an earlier pull of the same made. done is false where the source
// is on this disk, or any host may be asked.
func (p *pull) kept(arg string, r ref) (e Entry, done bool, err error) {
	local, _ := modelKind(r.path)
	if !p.Offline || r.kind == refPath || r.kind == refName && local != "" {
		return Entry{}, false, nil
	}
	host, path := p.registry.Host, ""
	if r.kind == refURL {
		host = r.url.Host
		if page, ok := p.hubPage(r.url); ok {
			r = page
		}
	}
	if r.kind == refName {
		path, err = p.store.Path(r.name)
	} else {
		path, err = p.store.resolveSource(arg, r)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Entry{}, false, err
	}
	entries, _ := p.store.List() // a damaged neighbour is not this model's matter
	for _, e := range entries {
		if err == nil && e.Path == path && (p.Name == "" || p.Name == e.Name) && (p.SHA256 == "" || p.SHA256 == e.SHA256) {
			return e, true, nil
		}
	}
	if r.kind == refHub {
		host = p.hub.Host
	}
	return Entry{}, false, hinted("pull it without --offline and RETORT_OFFLINE, or name a file on this disk; retort list shows what is in the store",
		"%w: it is not in the store, and %s is not asked", ErrOffline, host)
}

// checkWishes refuses options that no source can fulfil.
func (p *pull) checkWishes() error {
	if p.SHA256 = strings.ToLower(p.SHA256); p.SHA256 != "" && !hashPattern.MatchString(p.SHA256) {
		return fmt.Errorf("sha256 %q: want 64 hexadecimal digits", p.SHA256)
	}
	if p.Name == "" {
		return nil
	}
	p.Name = canonical(p.Name)
	return checkName(p.Name)
}

// connect sets up the client; no request is made.
func (p *pull) connect() error {
	var err error
	// The slash makes every path below absolute, as errors show it.
	if p.hub, err = parseURL(strings.TrimRight(p.HubEndpoint, "/") + "/"); err != nil {
		return fmt.Errorf("hub endpoint: %w", err)
	}
	if p.registry, err = parseURL(strings.TrimRight(p.Registry, "/") + "/"); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	p.client = &client{
		http: &http.Client{
			Transport:     newTransport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		hub: p.hub, token: p.HubToken, stall: p.StallTimeout, tries: p.Tries, backoff: p.Backoff,
		note: func(text string) { p.say("%s", text) },
	}
	if p.Offline {
		p.client.offline = ErrOffline
	}
	return nil
}

// say makes a remark to the user.
func (p *pull) say(format string, args ...any) {
	p.at.Note = fmt.Sprintf(format, args...)
	p.report()
	p.at.Note = ""
}

func (p *pull) report() {
	if p.Progress != nil {
		p.Progress(p.at)
	}
}

// plan asks the source.
func (p *pull) plan(ctx context.Context, r ref) (*plan, error) {
	switch r.kind {
	case refPath:
		return planLocal(r.path)
	case refHub:
		return p.planHub(ctx, r)
	case refURL:
		if r, ok := p.hubPage(r.url); ok {
			return p.planHub(ctx, r)
		}
		return p.planURL(ctx, r.url)
	}
	if kind, _ := modelKind(r.path); kind != "" {
		return planLocal(r.path)
	}
	return p.planRegistry(ctx, r.name)
}

// settle decides the name in the store and, from it, the names of GGUF files: a shard's name must keep its number.
func (p *pull) settle(pl *plan) error {
	if p.Name != "" {
		pl.name = p.Name
	}
	pl.name = canonical(pl.name)
	if err := checkName(pl.name); err != nil {
		return &Error{err, "give it another name with --name"}
	}
	if p.SHA256 != "" {
		switch {
		case len(pl.parts) != 1:
			return fmt.Errorf("one sha256 for a model of %d files", len(pl.parts))
		case pl.parts[0].sha256 != "" && pl.parts[0].sha256 != p.SHA256:
			return fmt.Errorf("source offers sha256 %s, want %s", pl.parts[0].sha256, p.SHA256)
		}
		pl.parts[0].sha256 = p.SHA256
	}
	if pl.format == FormatGGUF {
		pl.parts[0].of = len(pl.parts)
		for i := range pl.parts {
			pl.parts[i].name = folder(pl.name) + ".gguf"
			if len(pl.parts) > 1 {
				pl.parts[i].name = shardName(folder(pl.name), i+1, len(pl.parts))
			}
		}
	}
	return nil
}

// present looks for the model in the store. It is done where the same content is there, which from now on is known by
// the source that was asked last; other content from another source is an error unless it shall be replaced.
func (p *pull) present(ctx context.Context, pl *plan) (e Entry, done bool, err error) {
	folders, err := p.store.folders(p.root)
	if err != nil {
		return Entry{}, false, err
	}
	for _, dir := range folders {
		if dir != folder(pl.name) {
			if strings.EqualFold(dir, folder(pl.name)) {
				return Entry{}, false, hinted("give it another name with --name",
					"name %s differs from %s only in case", pl.name, unfolder(dir))
			}
			continue
		}
		e, err := p.store.entry(p.root, dir)
		if err != nil {
			continue // damaged: this pull mends it
		}
		if Check(e.Path) != nil {
			continue // listed by an earlier version, which asked less of it
		}
		if err := p.hashLocal(ctx, pl, e); err != nil {
			return Entry{}, false, err
		}
		if pl.matches(e) {
			return e, true, p.adopt(pl, &e)
		}
		if e.Source != pl.source && !p.Replace {
			return Entry{}, false, hinted("give it another name with --name, or retort rm "+pl.name+" first",
				"name %s is taken by a model from %s", pl.name, e.Source)
		}
	}
	return Entry{}, false, nil
}

// hashLocal reads local files where that alone can tell whether they are those of an entry from another source.
func (p *pull) hashLocal(ctx context.Context, pl *plan, e Entry) error {
	if e.Source == pl.source || len(e.Files) != len(pl.parts) {
		return nil
	}
	for i, part := range pl.parts {
		if part.local == "" || part.size != e.Files[i].Size {
			return nil
		}
	}
	for i := range pl.parts {
		f, err := os.Open(pl.parts[i].local)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = copyTo(ctx, h, f, func(int64) {})
		f.Close()
		if err != nil {
			return err
		}
		pl.parts[i].sha256 = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

// matches reports whether the entry surely holds what the plan would bring.
func (pl *plan) matches(e Entry) bool {
	if e.Format != pl.format || len(e.Files) != len(pl.parts) {
		return false
	}
	for i, part := range pl.parts {
		f := e.Files[i]
		bySHA := part.sha256 != "" && part.sha256 == f.SHA256
		byVersion := part.sha256 == "" && part.version != "" && part.version == f.Version && e.Source == pl.source
		if f.Name != part.name || !bySHA && !byVersion || part.size >= 0 && part.size != f.Size {
			return false
		}
	}
	return true
}

// fetch brings every part into the stage and returns them with their hashes.
func (p *pull) fetch(ctx context.Context, pl *plan) ([]File, error) {
	stage := stageDir(pl.name)
	if err := p.openStage(stage, pl); err != nil {
		return nil, err
	}
	p.at.Total = 0
	for _, part := range pl.parts {
		if part.size < 0 {
			p.at.Total = -1
			break
		}
		p.at.Total += part.size
	}
	if pl.parts[0].local == "" {
		if err := p.checkFree(p.missing(stage, pl)); err != nil {
			return nil, err
		}
	}
	files := make([]File, len(pl.parts))
	bring := func(weights bool) error {
		for i := range pl.parts {
			part := &pl.parts[i]
			if isWeights(part.name) != weights {
				continue
			}
			p.at.File, p.at.Done = part.name, p.before
			f, err := p.fetchPart(ctx, stage, part)
			if err != nil {
				return err
			}
			p.before += f.Size
			files[i] = f
		}
		return nil
	}
	if err := bring(false); err != nil {
		return nil, err
	}
	if pl.format == FormatSafetensors {
		if err := p.checkStage(stage, pl); err != nil {
			return nil, err
		}
	}
	return files, bring(true)
}

// isWeights reports whether a file holds weights, which come after the small files that tell what they are good for.
func isWeights(name string) bool {
	return strings.HasSuffix(name, ".gguf") || strings.HasSuffix(name, ".safetensors")
}

// checkStage judges a folder by its small files before its weights are fetched.
func (p *pull) checkStage(stage string, pl *plan) error {
	var names []string
	for _, part := range pl.parts {
		names = append(names, part.name)
	}
	read := func(name string) ([]byte, error) {
		return readRegular(p.root, filepath.Join(stage, name+partialSuffix), maxJSON)
	}
	if err := checkPlanned(pl.source, names, read); err != nil {
		return errors.Join(fmt.Errorf("not a usable model: %w", err), p.root.RemoveAll(stage))
	}
	return nil
}

func (p *pull) fetchPart(ctx context.Context, stage string, part *part) (File, error) {
	if part.local != "" {
		return p.copyPart(ctx, stage, part)
	}
	d := &download{pull: p, part: part, path: filepath.Join(stage, part.name+partialSuffix)}
	return d.run(ctx)
}
