package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serveFile starts a server that answers every request with handle, and returns the URL of a model on it.
func serveFile(t *testing.T, handle http.HandlerFunc) string {
	srv := httptest.NewServer(handle)
	t.Cleanup(srv.Close)
	return srv.URL + "/dir/tiny.gguf?token=secret"
}

// hint is the hint in an error, or empty.
func hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint()
	}
	return ""
}

func TestPullHub(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	data := tinyGGUF(t, 5_000, 1)
	h.add("acme/Tiny-GGUF", "Tiny-Q8_0.gguf", tinyGGUF(t, 9_000, 2))
	h.add("acme/Tiny-GGUF", "Tiny-Q4_K_M.gguf", data)
	h.add("acme/Tiny-GGUF", "mmproj-Tiny-Q4_K_M.gguf", tinyGGUF(t, 100, 3))
	h.add("acme/Tiny-GGUF", "README.md", []byte("# Tiny"))
	var last Progress
	o := h.options()
	o.Progress = func(p Progress) { last = p }
	e := mustPull(t, s, "hf:acme/Tiny-GGUF", o)
	wantContent(t, s, e, data)
	if e.Name != "Tiny-Q4_K_M" || e.Source != "hf:acme/Tiny-GGUF:Tiny-Q4_K_M.gguf" || e.Format != FormatGGUF {
		t.Errorf("entry %+v", e)
	}
	if last.Done != int64(len(data)) || last.Total != last.Done || last.Phase != PhaseDownload {
		t.Errorf("last progress %+v", last)
	}
	for _, ref := range []string{"hf:acme/Tiny-GGUF", "hf:acme/tiny-gguf:q4_k_m", "hf:acme/Tiny-GGUF:Tiny-Q4_K_M.gguf",
		"Tiny-Q4_K_M", "Tiny-Q4_K_M.gguf", e.Path} {
		if got, err := s.Resolve(ref); err != nil || got != e.Path {
			t.Errorf("Resolve(%s) = %s, %v", ref, got, err)
		}
	}
	if _, err := s.Resolve("hf:acme/Tiny-GGUF:Q8_0"); !errors.Is(err, ErrNotFound) || hint(err) != "retort pull hf:acme/Tiny-GGUF:Q8_0" {
		t.Errorf("Resolve of another file: %v, hint %q", err, hint(err))
	}
	for _, r := range h.hubReq {
		if r.Header.Get("Authorization") != "Bearer hf_secret" {
			t.Errorf("hub request %s without the token", r.URL)
		}
	}
	for _, r := range h.fetch {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the storage was sent the token")
		}
	}
	raw, _ := os.ReadFile(filepath.Join(filepath.Dir(e.Path), manifestName))
	if strings.Contains(string(raw), "secret") {
		t.Errorf("the manifest keeps a secret: %s", raw)
	}

	// A second pull sees that nothing changed; a new upload is fetched.
	before, _ := h.counts()
	mustPull(t, s, "hf:acme/Tiny-GGUF", o)
	if after, _ := h.counts(); after != before {
		t.Errorf("an unchanged model was fetched again")
	}
	data = tinyGGUF(t, 6_000, 4)
	h.add("acme/Tiny-GGUF", "Tiny-Q4_K_M.gguf", data)
	wantContent(t, s, mustPull(t, s, h.hub.URL+"/acme/Tiny-GGUF/blob/main/Tiny-Q4_K_M.gguf", o), data)
}

// Endpoints that have no tree list names alone; sizes and hashes then come from HEAD.
func TestPullHubSiblings(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	data := tinyGGUF(t, 5_000, 1)
	h.add("acme/tiny", "sub dir/tiny#1-f16.gguf", data)
	h.ask = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if strings.Contains(r.URL.Path, "/tree/") {
			http.NotFound(w, r)
			return true
		}
		return false
	}
	o := h.options()
	o.Name = "tiny:f16"
	e := mustPull(t, s, "hf:acme/tiny", o)
	wantContent(t, s, e, data)
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		t.Error("fetched again")
		return false
	}
	mustPull(t, s, "hf:acme/tiny:f16", o)
}

func TestPullHubFolder(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	files := map[string][]byte{
		"config.json":                      []byte(llamaConfig),
		"tokenizer.json":                   []byte(`{}`),
		"model-00001-of-00002.safetensors": safetensorsFile(3_000, 1),
		"model-00002-of-00002.safetensors": safetensorsFile(2_000, 2),
		"model.safetensors.index.json":     indexOf("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
	}
	for name, data := range files {
		h.add("acme/tiny", name, data)
	}
	h.add("acme/tiny", "consolidated.safetensors", safetensorsFile(5_000, 3))
	h.add("acme/tiny", "pytorch_model.bin", []byte("pickle"))
	h.add("acme/tiny", "onnx/model.safetensors", safetensorsFile(10, 3))
	e := mustPull(t, s, "hf:acme/tiny", h.options())
	if e.Name != "tiny" || e.Format != FormatSafetensors || len(e.Files) != len(files) {
		t.Fatalf("entry %+v", e)
	}
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(e.Path, name))
		if err != nil || string(got) != string(data) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Check(e.Path); err != nil {
		t.Error(err)
	}
	if got, err := s.Resolve("hf:acme/tiny"); err != nil || got != e.Path {
		t.Errorf("Resolve = %s, %v", got, err)
	}
	before := len(h.hubReq)
	mustPull(t, s, "hf:acme/tiny", h.options())
	if len(h.hubReq) != before+1 {
		t.Errorf("an unchanged folder cost %d requests", len(h.hubReq)-before)
	}
}

func TestPullShards(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	shards := tinyParts(t, 2_000, 3_000, 100)
	for i, data := range shards {
		h.add("acme/big", shardName("Q4_K_M/big-Q4_K_M", i+1, 3), data)
	}
	e := mustPull(t, s, "hf:acme/big", h.options())
	if len(e.Files) != 3 || filepath.Base(e.Path) != "big-Q4_K_M-00001-of-00003.gguf" {
		t.Fatalf("entry %+v", e)
	}
	for i, f := range e.Files {
		if f.SHA256 != shaOf(shards[i]) {
			t.Errorf("shard %s has the wrong content", f.Name)
		}
	}
	delete(h.repos["acme/big"], shardName("Q4_K_M/big-Q4_K_M", 2, 3))
	if _, err := newStore(t).Pull(t.Context(), "hf:acme/big:Q4_K_M", h.options()); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("missing shard: %v", err)
	}
}

func TestPullRegistry(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	h.images["qwen3:0.6b"], h.images["qwen3:latest"] = tinyGGUF(t, 4_000, 1), tinyGGUF(t, 5_000, 2)
	e := mustPull(t, s, "qwen3:0.6b", h.options())
	wantContent(t, s, e, h.images["qwen3:0.6b"])
	latest := mustPull(t, s, "qwen3:latest", h.options())
	wantContent(t, s, latest, h.images["qwen3:latest"])
	if e.Name != "qwen3:0.6b" || latest.Name != "qwen3" {
		t.Errorf("names %s and %s", e.Name, latest.Name)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 2 || entries[0].Name != "qwen3" {
		t.Errorf("List = %v, %v", entries, err)
	}
	_, err = s.Pull(t.Context(), "qwen4:1b", h.options())
	if err == nil || !strings.Contains(err.Error(), "no model qwen4:1b") || hint(err) == "" {
		t.Errorf("unknown model: %v", err)
	}
	// The registry may be told the token of the hub only if it is the hub's origin: here it is not.
	o := h.options()
	o.HubEndpoint = "http://127.0.0.1:1"
	h.hubReq = nil
	mustPull(t, newStore(t), "qwen3", o)
	for _, r := range h.hubReq {
		if r.Header.Get("Authorization") != "" {
			t.Error("the registry was sent the hub's token")
		}
	}
}

func TestPullURL(t *testing.T) {
	data := tinyGGUF(t, 30_000, 1)
	for name, handle := range map[string]http.HandlerFunc{
		"plain": func(w http.ResponseWriter, r *http.Request) { serveBlob(w, r, data) },
		"no HEAD, no length": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.(http.Flusher).Flush() // from here on the body is chunked
			w.Write(data)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			url := serveFile(t, handle)
			e := mustPull(t, s, url, PullOptions{})
			wantContent(t, s, e, data)
			if e.Name != "tiny" || strings.Contains(e.Source, "secret") {
				t.Errorf("entry %+v", e)
			}
			if got, err := s.Resolve(url); err != nil || got != e.Path {
				t.Errorf("Resolve = %s, %v", got, err)
			}
		})
	}
	url := serveFile(t, func(w http.ResponseWriter, r *http.Request) { serveBlob(w, r, data) })
	_, err := newStore(t).Pull(t.Context(), url, PullOptions{SHA256: strings.Repeat("0", 64)})
	if err == nil || !strings.Contains(err.Error(), shaOf(data)) {
		t.Errorf("wrong --sha256: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	data := tinyGGUF(t, 3_000, 1)
	h := newFakeHub(t)
	h.add("acme/tiny", "tiny-Q4_K_M.gguf", data)
	h.add("acme/pickle", "pytorch_model.bin", []byte("x"))
	h.add("acme/pickle", "config.json", []byte("{}"))
	h.add("acme/many", "a-Q2_K.gguf", data)
	h.add("acme/many", "a-Q3_K_M.gguf", data)
	status := func(code int) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, r *http.Request, n int) bool { w.WriteHeader(code); return true }
	}
	page := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html>", strings.Repeat(" ", 100))
	})
	junk := serveFile(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "GGUF", strings.Repeat(" ", 100)) })
	gz := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(data)
	})
	for _, c := range []struct {
		ref, want, hint string
		ask             func(http.ResponseWriter, *http.Request, int) bool
		tries           int
		typed           bool // an ArgumentError
		clean           bool // nothing is left
	}{
		{ref: "hf:acme/tiny", ask: status(401), want: "gated", hint: "HF_TOKEN", tries: 1},
		{ref: "hf:acme/tiny", ask: status(403), want: "gated", hint: "HF_TOKEN", tries: 1},
		{ref: "hf:acme/tiny", ask: func(w http.ResponseWriter, r *http.Request, n int) bool {
			if n > 1 { // a gated model lists its files
				w.WriteHeader(401)
			}
			return n > 1
		}, want: "gated", hint: "HF_TOKEN", tries: 2},
		{ref: "hf:acme/none", want: "no repository"},
		{ref: "hf:acme/tiny", ask: status(500), want: "gave up after 3 tries", tries: 3},
		{ref: "hf:acme/tiny", ask: status(418), want: "418", tries: 1},
		{ref: "hf:acme/tiny:Q9_9", want: "no GGUF file Q9_9", hint: "hf:acme/tiny:tiny-Q4_K_M.gguf"},
		{ref: "hf:acme/many", want: "2 GGUF models", hint: "hf:acme/many:a-Q3_K_M.gguf"},
		{ref: "hf:acme/pickle", want: "is a pickle", hint: "safetensors"},
		{ref: page, want: "not a GGUF file", hint: "page", clean: true},
		{ref: "nothing:1b", want: h.hub.Listener.Addr().String() + "/v2/library/nothing/manifests/1b: HTTP 404", hint: "hf:"},
		{ref: "hf:acme/tiny", ask: func(w http.ResponseWriter, r *http.Request, n int) bool { fmt.Fprint(w, "<html>"); return true },
			want: h.hub.Listener.Addr().String() + "/api/models/acme/tiny/tree/main: listing: "},
		{ref: junk, want: "not a usable model", clean: true},
		{ref: gz, want: "encoding"},
		{ref: "file:///etc/passwd", want: "scheme", typed: true},
		{ref: "https://user:pw@example.com/x.gguf", want: "user name", typed: true},
		{ref: "./nothing.gguf", want: "no such file"},
		{ref: "hf:acme/../x", want: "want hf:", typed: true},
		{ref: "hf:a", want: "want hf:", typed: true},
		{ref: "a..b", want: "dot", typed: true},
	} {
		s := newStore(t)
		h.ask, h.asked = c.ask, 0
		o := h.options()
		o.Tries = 3
		_, err := s.Pull(t.Context(), c.ref, o)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(hint(err), c.hint) {
			t.Errorf("pull %s: %v (hint %q); want %q, hint %q", c.ref, err, hint(err), c.want, c.hint)
		}
		if c.tries > 0 && h.asked != c.tries {
			t.Errorf("pull %s asked %d times, want %d", c.ref, h.asked, c.tries)
		}
		var argument *ArgumentError
		if errors.As(err, &argument) != c.typed {
			t.Errorf("pull %s: %v is an argument error: %v, want %v", c.ref, err, !c.typed, c.typed)
		}
		wantNothing(t, s)
		if list, _ := os.ReadDir(filepath.Join(s.dir(), partialDir)); c.clean && len(list) > 0 {
			t.Errorf("pull %s leaves %v", c.ref, list)
		}
		if strings.Contains(fmt.Sprint(err), "secret") && !strings.Contains(c.ref, "secret") {
			t.Errorf("error tells a secret: %v", err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = tinyGGUF(t, 1_000, 1)
	h.ask = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return n == 1
	}
	begin := time.Now()
	mustPull(t, s, "tiny:1b", h.options())
	if d := time.Since(begin); d < time.Second {
		t.Errorf("came back after %v, asked to wait a second", d)
	}
	h.ask = func(w http.ResponseWriter, r *http.Request, n int) bool {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if _, err := newStore(t).Pull(t.Context(), "tiny:1b", h.options()); err == nil || !strings.Contains(err.Error(), "24h") {
		t.Errorf("a day's wait: %v", err)
	}
}

func TestBadAnswers(t *testing.T) {
	data := tinyGGUF(t, 30_000, 1)
	for name, serve := range map[string]func(w http.ResponseWriter, r *http.Request){
		"longer": func(w http.ResponseWriter, r *http.Request) {
			w.(*countingWriter).ResponseWriter.(http.Flusher).Flush()
			w.Write(data)
			w.Write([]byte("more"))
		},
		"another length": func(w http.ResponseWriter, r *http.Request) { w.Write(data[:100]) },
		"unasked range": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data)
		},
		"no content": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		h, s := newFakeHub(t), newStore(t)
		h.images["tiny:1b"] = data
		h.serve = func(w http.ResponseWriter, r *http.Request, _ []byte, n int) bool { serve(w, r); return true }
		o := h.options()
		o.Tries = 2
		if e, err := s.Pull(t.Context(), "tiny:1b", o); err == nil {
			t.Errorf("%s: accepted as %+v", name, e)
		}
		wantNothing(t, s)
	}
	// A rest that begins elsewhere is refused, and the whole is asked for.
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		switch n {
		case 1:
			cutAfter(w, r, data, 50_000)
		case 2:
			r.Header.Set("Range", "bytes=40000-")
		}
		return false
	}
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
}
