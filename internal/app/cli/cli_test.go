package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPrintError(t *testing.T) {
	cancelled := fmt.Errorf("teach: %w", context.Canceled)
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("no"), "retort: error: no\n"},
		{withHint(errors.New("no"), "do %d", 2), "retort: error: no\nretort: hint: do 2\n"},
		{cancelled, "retort: interrupted\n"},
		{withHint(cancelled, "the same command goes on"), "retort: interrupted\nretort: hint: the same command goes on\n"},
		{withHint(errors.New("a\x1b]0;evil\x07b\nc\x00"), "x\x1b[2J"), "retort: error: ab\nc\nretort: hint: x\n"},
	} {
		var b strings.Builder
		printError(&b, c.err)
		if b.String() != c.want {
			t.Errorf("%q is printed as %q, want %q", c.err, b.String(), c.want)
		}
	}
}

// A pull that is interrupted says what is kept, and that the same command goes on from there.
func TestInterruptedPull(t *testing.T) {
	home := t.TempDir()
	t.Setenv("RETORT_HOME", home)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	half := "GGUF" + strings.Repeat("x", 40_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(2*len(half)))
		io.WriteString(w, half)
		http.NewResponseController(w).Flush()
		for r.Method == http.MethodGet && r.Context().Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(home, "models", ".partial", "m", "m.gguf.partial")); len(found) == 1 {
				if info, err := os.Stat(found[0]); err == nil && info.Size() == int64(len(half)) {
					cancel()
				}
			}
			time.Sleep(time.Millisecond)
		}
	}))
	defer server.Close()
	err := (&pullOptions{}).run(ctx, server.URL+"/m.gguf", io.Discard, io.Discard)
	if got := status(err); got != exitInterrupted {
		t.Fatalf("status %d of %v, want %d", got, err, exitInterrupted)
	}
	var b strings.Builder
	printError(&b, err)
	if want := "retort: interrupted\nretort: hint: the same command goes on from 40.0 kB of 80.0 kB of m.gguf, which are kept\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}
