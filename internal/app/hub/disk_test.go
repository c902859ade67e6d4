//go:build linux || darwin || freebsd

package hub

import (
	"errors"
	"net/http"
	"os/signal"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that fills up leaves what was written, says how much that is, and the pull goes on once there is room. The limit
// on the size of files stands in for the disk: writing fails in the middle of the file in the same way.
func TestDiskFull(t *testing.T) {
	data := tinyGGUF(t, 400_000, 1)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	small := old
	small.Cur = 1_000_001 // more than the log that go test keeps of a run
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	_, err := s.Pull(t.Context(), "tiny:1b", h.options())
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EFBIG) || !strings.Contains(hint(err), "1.0 MB of 1.6 MB") {
		t.Fatalf("full disk: %v, hint %q", err, hint(err))
	}
	requests, _ := h.counts()
	if requests != 1 {
		t.Errorf("asked %d times, though no server can help", requests)
	}
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	if h.sent[1] != int64(len(data))-1_000_001 {
		t.Errorf("second run was sent %d bytes, want %d", h.sent[1], len(data)-1_000_001)
	}
}

func TestFreeSpace(t *testing.T) {
	data := tinyGGUF(t, 400_000, 1)
	h, s := newFakeHub(t), newStore(t)
	h.images["tiny:1b"] = data
	s.free = func(string) (int64, error) { return int64(len(data)) - 1, nil }
	_, err := s.Pull(t.Context(), "tiny:1b", h.options())
	if requests, _ := h.counts(); err == nil || requests > 0 || !strings.Contains(err.Error(), "needs 1.6 MB more") || !strings.Contains(err.Error(), "1.6 MB free") {
		t.Errorf("no room: %v after %d requests", err, requests)
	}
	s.free = func(string) (int64, error) { return int64(len(data)), nil }
	wantContent(t, s, mustPull(t, s, "tiny:1b", h.options()), data)
	// What an earlier run left needs no room again.
	if err := s.Remove("tiny:1b"); err != nil {
		t.Fatal(err)
	}
	h.serve = func(w http.ResponseWriter, r *http.Request, data []byte, n int) bool {
		if n == 2 {
			cutAfter(w, r, data, 900_000)
		}
		return false
	}
	o := h.options()
	o.Tries = 1
	if _, err := s.Pull(t.Context(), "tiny:1b", o); err == nil {
		t.Fatal("cut pull succeeded")
	}
	s.free = func(string) (int64, error) { return int64(len(data)) - 900_000, nil }
	wantContent(t, s, mustPull(t, s, "tiny:1b", o), data)
	if free, err := freeBytes(s.dir()); err != nil || free <= 0 {
		t.Errorf("free bytes of a real disk: %d, %v", free, err)
	}
}
