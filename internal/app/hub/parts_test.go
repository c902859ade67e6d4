package hub

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// writeParts makes the parts of a model in dir and returns their paths.
func writeParts(t *testing.T, dir, prefix string, parts [][]byte) (paths []string) {
	t.Helper()
	for i, data := range parts {
		paths = append(paths, filepath.Join(dir, shardName(prefix, i+1, len(parts))))
		if err := os.WriteFile(paths[i], data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func sizeOf(parts [][]byte) (n int64) {
	for _, data := range parts {
		n += int64(len(data))
	}
	return n
}

// wantParts demands one entry of all parts, that opens as one model.
func wantParts(t *testing.T, s *Store, e Entry, parts [][]byte) {
	t.Helper()
	entries, err := s.List()
	if err != nil || len(entries) != 1 || entries[0].Size != sizeOf(parts) || entries[0].Name != e.Name {
		t.Errorf("List = %+v, %v; want one entry of %d bytes", entries, err, sizeOf(parts))
	}
	if len(e.Files) != len(parts) {
		t.Fatalf("entry of %d files, want %d", len(e.Files), len(parts))
	}
	for i, data := range parts {
		if e.Files[i].SHA256 != shaOf(data) || e.Files[i].Name != shardName(folder(e.Name), i+1, len(parts)) {
			t.Errorf("part %d is %+v", i+1, e.Files[i])
		}
	}
	f, err := gguf.Open(e.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Tensors) != len(parts)+1 {
		t.Errorf("%d tensors, want %d", len(f.Tensors), len(parts)+1)
	}
}

// A model in parts on a hub is one candidate, one entry, one progress, whichever part of it is named.
func TestPullHubParts(t *testing.T) {
	small, big := tinyParts(t, 2_000, 300, 1_000), tinyParts(t, 3_000, 4_000, 500)
	h := newFakeHub(t)
	for i := range small {
		h.add("acme/big", shardName("Q4_K_M/big-Q4_K_M", i+1, 3), small[i])
		h.add("acme/big", shardName("Q8_0/big-Q8_0", i+1, 3), big[i])
	}
	h.add("acme/big", "big-Q2_K.gguf", tinyGGUF(t, 100, 5))
	for ref, want := range map[string][][]byte{
		"hf:acme/big":        small, // the best of the preferred
		"hf:acme/big:q4_k_m": small,
		"hf:acme/big:Q8_0":   big,
		"hf:acme/big:Q8_0/big-Q8_0-00002-of-00003.gguf":                         big,
		"hf:acme/big:big-q8_0-00003-of-00003.gguf":                              big,
		h.hub.URL + "/acme/big/blob/main/Q4_K_M/big-Q4_K_M-00003-of-00003.gguf": small,
	} {
		s, o := newStore(t), h.options()
		last := int64(0)
		o.Progress = func(p Progress) {
			if p.File != "" && (p.Total != sizeOf(want) || p.Done < last) {
				t.Errorf("%s: progress %+v after %d, want one of %d bytes", ref, p, last, sizeOf(want))
			}
			last = p.Done
		}
		e := mustPull(t, s, ref, o)
		wantParts(t, s, e, want)
		if last != sizeOf(want) {
			t.Errorf("%s: progress ends at %d of %d", ref, last, sizeOf(want))
		}
	}
	s := newStore(t)
	e := mustPull(t, s, "hf:acme/big:Q8_0", h.options())
	second := filepath.Join(filepath.Dir(e.Path), e.Files[1].Name)
	for _, ref := range []string{"big-Q8_0", "hf:acme/big", "hf:acme/big:q8_0", "hf:acme/big:Q8_0/big-Q8_0-00002-of-00003.gguf", e.Path, second,
		"big-Q8_0-00002-of-00003.gguf"} {
		if got, err := s.Resolve(ref); err != nil || got != e.Path {
			t.Errorf("Resolve(%s) = %s, %v; want the first part %s", ref, got, err, e.Path)
		}
	}
	requests, _ := h.counts()
	mustPull(t, s, "hf:acme/big:Q8_0", h.options())
	if after, _ := h.counts(); after != requests {
		t.Error("an unchanged model was fetched again")
	}
	if err := s.Remove("big-Q8_0"); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, s)
	if _, err := os.Stat(filepath.Dir(e.Path)); err == nil {
		t.Error("parts are left")
	}
}

// A pull that breaks off in one part goes on there: what came before is not fetched again.
func TestResumeParts(t *testing.T) {
	parts := tinyParts(t, 10_000, 30_000, 10_000)
	h, s := newFakeHub(t), newStore(t)
	for i, data := range parts {
		h.add("acme/big", shardName("big-Q4_K_M", i+1, 3), data)
	}
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		if n == 2 {
			cutAfter(w, r, data, 50_000)
		}
		return false
	}
	o := h.options()
	o.Tries = 1
	if _, err := s.Pull(t.Context(), "hf:acme/big", o); err == nil {
		t.Fatal("cut pull succeeded")
	}
	wantNothing(t, s)
	_, before := h.counts()
	if want := int64(len(parts[0])) + 50_000; before != want {
		t.Errorf("%d bytes before the cut, want %d", before, want)
	}
	e := mustPull(t, s, "hf:acme/big", o)
	wantParts(t, s, e, parts)
	if _, sent := h.counts(); sent != sizeOf(parts) {
		t.Errorf("%d bytes sent for parts of %d", sent, sizeOf(parts))
	}
}

// A part that is missing is named before any other is fetched.
func TestMissingPart(t *testing.T) {
	parts := tinyParts(t, 1_000, 2_000, 300)
	for missing := range 3 {
		h, s, dir := newFakeHub(t), newStore(t), t.TempDir()
		paths := writeParts(t, dir, "big-Q4_K_M", parts)
		for i, data := range parts {
			if i != missing {
				h.add("acme/big", shardName("q/big-Q4_K_M", i+1, 3), data)
			}
		}
		if err := os.Remove(paths[missing]); err != nil {
			t.Fatal(err)
		}
		other := paths[(missing+1)%3]
		name := shardName("big-Q4_K_M", missing+1, 3)
		for _, ref := range []string{"hf:acme/big", "hf:acme/big:Q4_K_M", "hf:acme/big:q/" + filepath.Base(other), other} {
			_, err := s.Pull(t.Context(), ref, h.options())
			if err == nil || !strings.Contains(err.Error(), name+" is missing") {
				t.Errorf("pull %s: %v; want that %s is missing", ref, err, name)
			}
			if requests, _ := h.counts(); requests > 0 || len(leftovers(t, s)) > 0 {
				t.Errorf("pull %s: %d requests, left over %v", ref, requests, leftovers(t, s))
			}
		}
	}
}

// From the URL of one part the others are found beside it, and asked for before any is fetched, also where the server
// knows no HEAD.
func TestPullURLParts(t *testing.T) {
	parts := tinyParts(t, 2_000, 20_000, 300)
	files := map[string][]byte{}
	for i, data := range parts {
		files[shardName("/dir/big", i+1, 3)] = data
	}
	for _, head := range []bool{true, false} {
		missing, whole := "", 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, ok := files[r.URL.Path]
			switch {
			case r.Method == http.MethodHead && !head:
				w.WriteHeader(http.StatusMethodNotAllowed)
			case !ok || path.Base(r.URL.Path) == missing || r.URL.RawQuery != "token=secret":
				http.NotFound(w, r)
			default:
				if r.Method == http.MethodGet && r.Header.Get("Range") == "" {
					whole++
				}
				serveBlob(w, r, data)
			}
		}))
		t.Cleanup(srv.Close)
		s, ref := newStore(t), srv.URL+"/dir/big-00002-of-00003.gguf?token=secret"
		missing = "big-00003-of-00003.gguf"
		if _, err := s.Pull(t.Context(), ref, PullOptions{}); err == nil || !strings.Contains(err.Error(), missing+" is missing") || whole > 0 {
			t.Errorf("missing part: %v, %d files asked for", err, whole)
		}
		missing = ""
		e := mustPull(t, s, ref, PullOptions{})
		wantParts(t, s, e, parts)
		if e.Name != "big" || e.Source != srv.URL+"/dir/big-00001-of-00003.gguf" {
			t.Errorf("entry %+v", e)
		}
		for i := range parts {
			url := srv.URL + shardName("/dir/big", i+1, 3)
			if got, err := s.Resolve(url); err != nil || got != e.Path {
				t.Errorf("Resolve(%s) = %s, %v", url, got, err)
			}
		}
	}
}

// Any part on the disk stands for all, for pull and for what opens a path.
func TestPullLocalParts(t *testing.T) {
	parts := tinyParts(t, 1_000, 2_000, 300)
	paths := writeParts(t, t.TempDir(), "big", parts)
	for _, p := range paths {
		s := newStore(t)
		e := mustPull(t, s, p, PullOptions{Name: "big:3b"})
		wantParts(t, s, e, parts)
		if e.Source != paths[0] {
			t.Errorf("source %s, want the first part", e.Source)
		}
		if got, err := s.Resolve(p); err != nil || got != paths[0] {
			t.Errorf("Resolve(%s) = %s, %v", p, got, err)
		}
		if err := s.Verify(t.Context(), "big:3b", nil); err != nil {
			t.Error(err)
		}
	}
	// A file that only looks like a part is what it was.
	alone := writeModel(t, t.TempDir(), "x-00002-of-00003.gguf", 100)
	if got, err := newStore(t).Resolve(alone); err != nil || got != alone {
		t.Errorf("Resolve(%s) = %s, %v", alone, got, err)
	}
}

// The first part says of how many it is one: names that tell another number are refused before the others come.
func TestPartsOfAnother(t *testing.T) {
	parts := tinyParts(t, 30_000, 300, 300) // the first is longer than one look at its head
	h, s := newFakeHub(t), newStore(t)
	h.add("acme/big", shardName("big", 1, 2), parts[0])
	h.add("acme/big", shardName("big", 2, 2), parts[1])
	_, err := s.Pull(t.Context(), "hf:acme/big", h.options())
	if requests, _ := h.counts(); err == nil || !strings.Contains(err.Error(), "says it is one of 3 parts, its name says of 2") || requests != 1 {
		t.Errorf("remote: %v after %d requests", err, requests)
	}
	paths := writeParts(t, t.TempDir(), "big", parts[:2])
	if _, err := s.Pull(t.Context(), paths[1], PullOptions{}); err == nil || !strings.Contains(err.Error(), "its name says of 2") {
		t.Errorf("local: %v", err)
	}
	wantNothing(t, s)
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	var useless *uselessError
	if !errors.As(err, &useless) {
		t.Errorf("%v is no uselessError", err)
	}
}

func TestFirstOf(t *testing.T) {
	for file, want := range map[string]string{
		"a/x-00002-of-00003.gguf": "a/x-00001-of-00003.gguf", "x-00003-of-00003.gguf": "x-00001-of-00003.gguf",
		"x-00004-of-00003.gguf": "x-00004-of-00003.gguf", "x-00000-of-00003.gguf": "x-00000-of-00003.gguf",
		"q4_k_m": "q4_k_m", "": "", "/": "/", "a/x.gguf": "a/x.gguf", "x-2-of-3.gguf": "x-2-of-3.gguf",
	} {
		if got := firstOf(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
	if got := someOf([]string{"a", "b", "c", "d", "e", "f"}); got != "a, b, c, d and 2 more" {
		t.Error(got)
	}
	prefix, names := shardsOf("x-00002-of-00002.gguf")
	if prefix != "x" || !slices.Equal(names, []string{"x-00001-of-00002.gguf", "x-00002-of-00002.gguf"}) {
		t.Errorf("shardsOf: %s, %v", prefix, names)
	}
}
