package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Who mistypes a file's name sees which host is about to be asked for it, before it answers.
func TestPullSaysWhomItAsks(t *testing.T) {
	var progress, out bytes.Buffer
	before := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before = progress.String()
		http.NotFound(w, r)
	}))
	defer srv.Close()
	t.Setenv("RETORT_HOME", t.TempDir())
	t.Setenv("RETORT_REGISTRY", srv.URL)
	err := (&pullOptions{}).run(t.Context(), "nosuch:1b", &out, &progress)
	host := srv.Listener.Addr().String()
	if want := "asking " + host + " for nosuch:1b\n"; before != want {
		t.Errorf("said %q before the host answered, want %q", before, want)
	}
	if err == nil || !strings.Contains(err.Error(), host+" has no model nosuch:1b") || out.Len() > 0 {
		t.Errorf("%v, output %q", err, out.String())
	}
	before = ""
	if err := (&pullOptions{offline: true}).run(t.Context(), "nosuch:1b", &out, &progress); err == nil || before != "" {
		t.Errorf("offline: %v, the host was asked: %v", err, before != "")
	}
}
