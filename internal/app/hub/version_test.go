package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// version is a file as it stands at a server, with what the server says of it.
type version struct {
	data           []byte
	etag, modified string
}

// careless is a server that hands out one file under any path. It knows ranges and passes over If-Range, as some storage
// does: whoever goes on must see himself that the rest is of another version.
type careless struct {
	mu     sync.Mutex
	now    version
	cut    int  // bytes before the connection breaks, 0 for never
	silent bool // HEAD is not known
	bare   bool // a rest is sent without its version
	ranges []string
}

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	v, cut := c.now, c.cut
	if r.Method == http.MethodGet {
		c.ranges = append(c.ranges, r.Header.Get("Range"))
	}
	c.mu.Unlock()
	if r.Method == http.MethodHead && c.silent {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	from, code := 0, http.StatusOK
	if n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); n == 1 {
		code = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(v.data)-1, len(v.data)))
	}
	if code == http.StatusOK || !c.bare {
		for key, value := range map[string]string{"ETag": v.etag, "Last-Modified": v.modified} {
			if value != "" {
				w.Header().Set(key, value)
			}
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(v.data)-from))
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return
	}
	if cut > 0 {
		w.Write(v.data[from : from+cut])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(v.data[from:])
}

// What an earlier try or run left is gone on with only where the file is surely the same; each sign that it is another
// is enough alone, though the server sends what it is asked for.
func TestNeverMixed(t *testing.T) {
	first, second, longer := tinyGGUF(t, 20_000, 1), tinyGGUF(t, 20_000, 2), tinyGGUF(t, 30_000, 3)
	if len(first) != len(second) {
		t.Fatal("the two editions should have one size")
	}
	const monday, tuesday = "Mon, 23 Nov 2026 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00 GMT"
	for name, c := range map[string]struct {
		before, after version
		silent, bare  bool
		path          string // of the second run, if another
		goesOn        bool   // it is the same file
	}{
		"same, by tag":       {before: version{first, `"a"`, ""}, after: version{first, `"a"`, ""}, goesOn: true},
		"same, by date":      {before: version{first, "", monday}, after: version{first, "", monday}, goesOn: true},
		"same, tag and date": {before: version{first, `"a"`, monday}, after: version{first, `"a"`, tuesday}, goesOn: true},
		"tag, told by HEAD":  {before: version{first, `"a"`, ""}, after: version{second, `"b"`, ""}, bare: true},
		"date, told by HEAD": {before: version{first, "", monday}, after: version{second, "", tuesday}, bare: true},
		"tag, told by GET":   {before: version{first, `"a"`, ""}, after: version{second, `"b"`, ""}, silent: true},
		"date, told by GET":  {before: version{first, "", monday}, after: version{second, "", tuesday}, silent: true},
		"size, told by HEAD": {before: version{first, `"a"`, ""}, after: version{longer, `"a"`, ""}, bare: true},
		"size, told by GET":  {before: version{first, `"a"`, ""}, after: version{longer, `"a"`, ""}, silent: true, bare: true},
		"nothing ties them":  {before: version{first, "", ""}, after: version{second, "", ""}},
		"weak tag ties not":  {before: version{first, `W/"a"`, ""}, after: version{second, `W/"a"`, ""}},
		"another address":    {before: version{first, `"a"`, ""}, after: version{second, `"a"`, ""}, path: "/else/tiny.gguf", bare: true},
	} {
		t.Run(name, func(t *testing.T) {
			c1 := &careless{now: c.before, cut: 30_000, silent: c.silent, bare: c.bare}
			srv := httptest.NewServer(c1)
			defer srv.Close()
			s, path := newStore(t), "/dir/tiny.gguf"
			if _, err := s.Pull(t.Context(), srv.URL+path, PullOptions{Tries: 1}); err == nil {
				t.Fatal("cut pull succeeded")
			}
			if c.path != "" {
				path = c.path
			}
			c1.now, c1.cut, c1.ranges = c.after, 0, nil
			e := mustPull(t, s, srv.URL+path, PullOptions{Tries: 1})
			wantContent(t, s, e, c.after.data)
			if last := c1.ranges[len(c1.ranges)-1]; (last == "bytes=30000-") != c.goesOn {
				t.Errorf("asked for %q, goes on: %v", c1.ranges, c.goesOn)
			}
		})
		t.Run(name+", within a run", func(t *testing.T) {
			c1 := &careless{now: c.before, cut: 30_000, silent: c.silent}
			srv := httptest.NewServer(c1)
			defer srv.Close()
			if c.bare || c.path != "" {
				return // only the answer could tell
			}
			change := func(p Progress) {
				if p.Note != "" {
					c1.mu.Lock()
					c1.now, c1.cut = c.after, 0
					c1.mu.Unlock()
				}
			}
			s := newStore(t)
			e := mustPull(t, s, srv.URL+"/dir/tiny.gguf", PullOptions{Tries: 3, Backoff: 1, Progress: change})
			wantContent(t, s, e, c.after.data)
		})
	}
}

// The hash that a registry or hub names decides, though size and address are the same.
func TestNeverMixedByHash(t *testing.T) {
	for _, tree := range []bool{true, false} {
		testNeverMixedByHash(t, tree)
	}
}

// testNeverMixedByHash tries it with a hub that lists hashes and versions, or with one that tells the hash alone.
func testNeverMixedByHash(t *testing.T, tree bool) {
	t.Helper()
	first, second := tinyGGUF(t, 20_000, 1), tinyGGUF(t, 20_000, 2)
	h, s := newFakeHub(t), newStore(t)
	h.add("acme/tiny", "tiny-Q4_K_M.gguf", first)
	h.ask = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if !tree && strings.Contains(r.URL.Path, "/tree/") {
			http.NotFound(w, r)
			return true
		}
		return false
	}
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		w.Header().Set("ETag", `"constant"`)
		if n == 1 {
			cutAfter(w, r, data, 30_000)
		}
		return false
	}
	o := h.options()
	o.Tries = 1
	if _, err := s.Pull(t.Context(), "hf:acme/tiny", o); err == nil {
		t.Fatal("cut pull succeeded")
	}
	h.add("acme/tiny", "tiny-Q4_K_M.gguf", second)
	wantContent(t, s, mustPull(t, s, "hf:acme/tiny", o), second)
	if r := h.fetch[len(h.fetch)-1]; r.Header.Get("Range") != "" || len(h.fetch) != 2 {
		t.Errorf("%d requests, the last with Range %q", len(h.fetch), r.Header.Get("Range"))
	}
}

// A file that changes between the listing and the fetch is refused by the hash that is offered then.
func TestChangedSinceListing(t *testing.T) {
	first, second := tinyGGUF(t, 20_000, 1), tinyGGUF(t, 20_000, 2)
	h, s := newFakeHub(t), newStore(t)
	h.add("acme/tiny", "tiny-Q4_K_M.gguf", first)
	h.ask = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 2 {
			h.add("acme/tiny", "tiny-Q4_K_M.gguf", second)
		}
		return false
	}
	_, err := s.Pull(t.Context(), "hf:acme/tiny", h.options())
	if err == nil || !strings.Contains(err.Error(), "offers sha256 "+shaOf(second)+", want "+shaOf(first)) {
		t.Errorf("changed since it was listed: %v", err)
	}
	wantNothing(t, s)
	wantContent(t, s, mustPull(t, s, "hf:acme/tiny", h.options()), second)
}

// A body that goes on beyond what was announced is cut there, named, and not asked for again.
func TestLongerThanAnnounced(t *testing.T) {
	data := tinyGGUF(t, 20_000, 1)
	gets := 0
	url := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"a"`)
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			return
		}
		gets++
		w.(http.Flusher).Flush() // the body itself tells no length
		w.Write(data)
		w.Write(make([]byte, 100_000))
	})
	s, most := newStore(t), int64(0)
	_, err := s.Pull(t.Context(), url, PullOptions{Tries: 3, Backoff: 1, Progress: func(p Progress) { most = max(most, p.Done) }})
	want := fmt.Sprintf("tiny.gguf is longer than the %d bytes that were announced", len(data))
	if err == nil || !strings.Contains(err.Error(), want) || gets != 1 {
		t.Errorf("%v after %d requests, want %q after one", err, gets, want)
	}
	if most > int64(len(data)) {
		t.Errorf("%d bytes were taken of a file of %d", most, len(data))
	}
	wantNothing(t, s)
}

// When the new edition cannot be moved to its place, the old one is put back, at once and whole.
func TestRollBack(t *testing.T) {
	first, second := tinyGGUF(t, 1_000, 1), tinyGGUF(t, 2_000, 2)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = first
	mustPull(t, s, "tiny:1b", h.options())
	h.images["tiny:1b"] = second
	broken := errors.New("disk is broken")
	move := rename
	defer func() { rename = move }()
	rename = func(root *os.Root, from, to string) error {
		if from == stageDir("tiny:1b") {
			return broken
		}
		return move(root, from, to)
	}
	if _, err := s.Pull(t.Context(), "tiny:1b", h.options()); !errors.Is(err, broken) {
		t.Fatalf("pull: %v", err)
	}
	e, err := s.Get("tiny:1b")
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, e, first)
	if _, err := os.Stat(filepath.Join(s.dir(), oldDir("tiny:1b"))); err == nil {
		t.Error("the old edition is still aside")
	}
	// What came over is not fetched again.
	rename = move
	before, _ := h.counts()
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), second)
	if after, _ := h.counts(); after != before {
		t.Error("fetched again")
	}
}
