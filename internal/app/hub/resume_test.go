package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A pull that is stopped at any byte goes on from there: the second run asks for the rest alone.
func TestResumeAfterCancel(t *testing.T) {
	data := tinyGGUF(t, 40_000, 1)
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 12 {
		at := 1 + rng.Int64N(int64(len(data)-1))
		t.Run(fmt.Sprint(i, "@", at), func(t *testing.T) {
			h, s := newFakeHub(t), newStore(t)
			h.add("acme/tiny", "tiny-Q4_K_M.gguf", data)
			h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
				if n == 1 {
					c := w.(*countingWriter)
					c.hold, c.holds = r.Context().Done(), at // the client has it all when it cancels, and no more
				}
				return false
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := h.options()
			o.Progress = func(p Progress) {
				if p.Phase == PhaseDownload && p.Done >= at {
					cancel()
				}
			}
			_, err := s.Pull(ctx, "hf:acme/tiny", o)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled pull: %v", err)
			}
			wantNothing(t, s)
			kept := int64(0)
			if info, err := os.Stat(filepath.Join(s.dir(), partialDir, "tiny-Q4_K_M", "tiny-Q4_K_M.gguf.partial")); err == nil {
				kept = info.Size()
			}
			if kept > 0 && !strings.Contains(hint(err), "kept") {
				t.Errorf("hint %q of %v does not say that %d bytes are kept", hint(err), err, kept)
			}
			requests, _ := h.counts()
			o.Progress = nil
			e := mustPull(t, s, "hf:acme/tiny", o)
			wantContent(t, s, e, data)
			requests2, _ := h.counts()
			got, want := int64(0), int64(len(data))-kept
			for _, n := range h.sent[requests:] { // the first handler may still be writing to nobody
				got += n
			}
			if got != want {
				t.Errorf("second run was sent %d bytes, want %d (%d were kept)", got, want, kept)
			}
			if kept > 0 && kept < int64(len(data)) {
				r := h.fetch[len(h.fetch)-1]
				if requests2-requests != 1 || r.Header.Get("Range") != fmt.Sprintf("bytes=%d-", kept) || r.Header.Get("If-Range") == "" {
					t.Errorf("%d requests, the last with Range %q, If-Range %q", requests2-requests, r.Header.Get("Range"), r.Header.Get("If-Range"))
				}
			}
			if left := leftovers(t, s); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// Connections that break are taken up within one run, and no byte is sent twice.
func TestBrokenConnections(t *testing.T) {
	data := tinyGGUF(t, 40_000, 2)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		if n < 5 {
			cutAfter(w, r, data, 30_001)
		}
		return false
	}
	var notes []string
	o := h.options()
	o.Progress = func(p Progress) {
		if p.Note != "" {
			notes = append(notes, p.Note)
		}
	}
	e := mustPull(t, s, "tiny:1b", o)
	wantContent(t, s, e, data)
	if _, sent := h.counts(); sent != int64(len(data)) {
		t.Errorf("%d bytes sent for a file of %d", sent, len(data))
	}
	if len(notes) != 5 || !strings.Contains(notes[1], "trying again") {
		t.Errorf("notes %q, want whom we ask and four waits", notes)
	}
}

func TestTriesAreBounded(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = tinyGGUF(t, 10_000, 3)
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		cutAfter(w, r, data, 100)
		return true
	}
	o := h.options()
	o.Tries = 3
	_, err := s.Pull(t.Context(), "tiny:1b", o)
	if requests, _ := h.counts(); err == nil || requests != 3 || !strings.Contains(err.Error(), "3 tries") {
		t.Fatalf("%d requests, error %v; want three tries", requests, err)
	}
	if !strings.Contains(hint(err), "from 300 bytes of") {
		t.Errorf("error %q with hint %q does not say what is kept", err, hint(err))
	}
	h.serve = nil
	wantContent(t, s, mustPull(t, s, "tiny:1b", o), h.images["tiny:1b"])
}

func TestStalledBody(t *testing.T) {
	data := tinyGGUF(t, 20_000, 4)
	stall := func(w http.ResponseWriter, r *http.Request, n int64) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Header().Set("ETag", `"tag-`+shaOf(data)[:8]+`"`)
		w.Write(data[:n])
		http.NewResponseController(w.(*countingWriter).ResponseWriter).Flush()
		<-r.Context().Done()
	}
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	o := h.options()
	o.StallTimeout, o.Tries = time.Second, 2 // what a busy machine takes for the second request
	h.serve = func(w http.ResponseWriter, r *http.Request, _ []byte, n int) bool {
		if n == 1 {
			stall(w, r, 20_000)
			return true
		}
		return false
	}
	wantContent(t, s, mustPull(t, s, "tiny:1b", o), data)
	if _, sent := h.counts(); sent != int64(len(data)) {
		t.Errorf("%d bytes sent for a file of %d", sent, len(data))
	}

	h, s = newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	o.HubEndpoint, o.Registry = h.hub.URL, h.hub.URL
	h.serve = func(w http.ResponseWriter, r *http.Request, _ []byte, n int) bool {
		<-r.Context().Done() // not even a header
		return true
	}
	o.StallTimeout = 20 * time.Millisecond
	if _, err := s.Pull(t.Context(), "tiny:1b", o); !errors.Is(err, errStalled) {
		t.Errorf("silent server: %v", err)
	}
}

// A resumed pull knows from its first run how long the file is, where the server tells it only with the bytes.
func TestResumedTotal(t *testing.T) {
	data := tinyGGUF(t, 20_000, 13)
	cut := true
	url := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusForbidden)
		case cut:
			w.Header().Set("ETag", `"tag-`+shaOf(data)[:8]+`"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			w.Write(data[:30_000])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			serveBlob(w, r, data)
		}
	})
	s := newStore(t)
	if _, err := s.Pull(t.Context(), url, PullOptions{Tries: 1}); err == nil {
		t.Fatal("cut pull succeeded")
	}
	cut = false
	totals := map[int64]bool{}
	mustPull(t, s, url, PullOptions{Progress: func(p Progress) {
		if p.Phase != PhaseResolve {
			totals[p.Total] = true
		}
	}})
	if len(totals) != 1 || !totals[int64(len(data))] {
		t.Errorf("totals told are %v, want %d alone", totals, len(data))
	}
}

func TestServerWithoutRanges(t *testing.T) {
	data := tinyGGUF(t, 20_000, 5)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		if n == 1 {
			cutAfter(w, r, data, 50_000)
		}
		r.Header.Del("Range")
		return false
	}
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	if requests, sent := h.counts(); requests != 2 || sent != int64(len(data))+50_000 {
		t.Errorf("%d requests, %d bytes", requests, sent)
	}
}

// A file that changes at a URL between two runs is fetched anew, never mixed.
func TestChangedBetweenRuns(t *testing.T) {
	first, second := tinyGGUF(t, 20_000, 6), tinyGGUF(t, 20_000, 7)
	if len(first) != len(second) {
		t.Fatal("the two editions should have one size")
	}
	for _, head := range []bool{true, false} {
		data, cut := first, true
		url := serveFile(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead && !head {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			if cut && r.Method == http.MethodGet {
				w.Header().Set("ETag", `"tag-`+shaOf(data)[:8]+`"`)
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				w.Write(data[:30_000])
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			serveBlob(w, r, data)
		})
		s := newStore(t)
		o := PullOptions{Tries: 1}
		if _, err := s.Pull(t.Context(), url, o); err == nil {
			t.Fatal("cut pull succeeded")
		}
		data, cut = second, false
		e := mustPull(t, s, url, o)
		wantContent(t, s, e, second)
	}
}

func TestWrongBytes(t *testing.T) {
	data := tinyGGUF(t, 20_000, 8)
	bad := bytes.Clone(data)
	bad[len(bad)/2] ^= 1
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, _ []byte, n int) bool {
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bad))
		return true
	}
	_, err := s.Pull(t.Context(), "tiny:1b", h.options())
	if err == nil || !strings.Contains(err.Error(), shaOf(bad)) || !strings.Contains(err.Error(), shaOf(data)) {
		t.Fatalf("wrong hash: %v", err)
	}
	wantNothing(t, s)
	if list, _ := os.ReadDir(filepath.Join(s.dir(), partialDir)); len(list) > 0 {
		t.Errorf("wrong bytes leave %v", list)
	}
	h.serve = nil
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
}

// A damaged partial file is found out by the hash and does not stay in the way.
func TestDamagedPartial(t *testing.T) {
	data := tinyGGUF(t, 20_000, 9)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		cutAfter(w, r, data, 40_000)
		return true
	}
	o := h.options()
	o.Tries = 1
	if _, err := s.Pull(t.Context(), "tiny:1b", o); err == nil {
		t.Fatal("cut pull succeeded")
	}
	partial := filepath.Join(s.dir(), partialDir, "tiny@1b", "tiny@1b.gguf.partial")
	if err := os.WriteFile(partial, make([]byte, 40_000), 0o644); err != nil {
		t.Fatal(err)
	}
	h.serve = nil
	if _, err := s.Pull(t.Context(), "tiny:1b", o); err == nil || !strings.Contains(err.Error(), "discarded") {
		t.Fatalf("damaged partial: %v", err)
	}
	wantContent(t, s, mustPull(t, s, "tiny:1b", o), data)

	// One that is longer than the file is not read on from.
	if err := s.Remove("tiny:1b"); err != nil {
		t.Fatal(err)
	}
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		cutAfter(w, r, data, 40_000)
		return true
	}
	if _, err := s.Pull(t.Context(), "tiny:1b", o); err == nil {
		t.Fatal("cut pull succeeded")
	}
	if err := os.WriteFile(partial, make([]byte, len(data)+1), 0o644); err != nil {
		t.Fatal(err)
	}
	h.serve = nil
	wantContent(t, s, mustPull(t, s, "tiny:1b", o), data)
}

// A process that is killed leaves no lock and no half entry, and nothing is fetched twice.
func TestKill(t *testing.T) {
	data := tinyGGUF(t, 60_000, 11)
	h, s := newFakeHub(t), newStore(t)
	h.mu.Lock() // the request comes from another process: nothing else orders it after this
	h.images["tiny:1b"] = data
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		w.(*countingWriter).pause = 2 * time.Millisecond // of the whole file, 120 ms
		return false
	}
	h.mu.Unlock()
	partial := filepath.Join(s.dir(), partialDir, "tiny@1b", "tiny@1b.gguf.partial")
	size := func() int64 {
		info, err := os.Stat(partial)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for round := range 3 {
		before := size()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "HUB_TEST_PULL=tiny:1b", "HUB_TEST_HOME="+s.Home(), "RETORT_REGISTRY="+h.hub.URL)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); size() < before+20_000 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if size() < before+20_000 {
			t.Fatalf("round %d: partial file has %d bytes after %d", round, size(), before)
		}
		wantNothing(t, s)
	}
	kept := size()
	requests, _ := h.counts()
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := h.sent[requests:]; kept < int64(len(data)) && (len(got) != 1 || got[0] != int64(len(data))-kept) {
		t.Errorf("last run was sent %v bytes, want %d", got, int64(len(data))-kept)
	}
}

// A process that dies inside the last step leaves a stage that the next pull only has to move.
func TestDeathInCommit(t *testing.T) {
	data := tinyGGUF(t, 10_000, 10)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	mustPull(t, s, "tiny:1b", h.options())
	dir := s.dir()
	stage := filepath.Join(dir, partialDir, "tiny@1b")
	if err := os.Rename(filepath.Join(dir, "tiny@1b"), stage); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"size":%d,"sha256":%q}`, len(data), shaOf(data))
	if err := os.WriteFile(filepath.Join(stage, "tiny@1b.gguf.partial.json"), []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	_, before := h.counts()
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	if _, after := h.counts(); after != before {
		t.Errorf("%d bytes fetched again", after-before)
	}
}

// A process that dies between moving the old edition out and the new one in leaves the old one to go back to.
func TestDeathInReplace(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	data := tinyGGUF(t, 10_000, 12)
	h.images["tiny:1b"] = data
	mustPull(t, s, "tiny:1b", h.options())
	if err := os.Rename(filepath.Join(s.dir(), "tiny@1b"), filepath.Join(s.dir(), partialDir, "tiny@1b~old")); err != nil {
		t.Fatal(err)
	}
	before, _ := h.counts()
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	if after, _ := h.counts(); after != before {
		t.Error("fetched again")
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
