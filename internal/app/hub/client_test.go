package hub

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRedirectTarget(t *testing.T) {
	for _, c := range []struct{ from, location, want string }{
		{"https://a.example/x", "/y?z=1#frag", "https://a.example/y?z=1"},
		{"https://a.example/x", "//b.example/y", "https://b.example/y"},
		{"http://a.example/x", "https://b.example/", "https://b.example/"},
		{"https://a.example/x", "http://a.example/x", ""},
		{"https://a.example/x", "file:///etc/passwd", ""},
		{"https://a.example/x", "ftp://a.example/x", ""},
		{"https://a.example/x", "https://user@b.example/", ""},
		{"https://a.example/x", "https:///y", ""},
		{"https://a.example/x", "javascript:alert(1)", ""},
		{"https://a.example/x", "http://[::1", ""},
		{"https://a.example/x", "", ""},
	} {
		from, _ := url.Parse(c.from)
		got, err := redirectTarget(from, c.location)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%s to %q: %v, %v; want %q", c.from, c.location, got, err, c.want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://huggingface.co/x", "https://HuggingFace.co:443/y", true},
		{"http://a:80", "http://a", true},
		{"https://huggingface.co", "http://huggingface.co", false},
		{"https://huggingface.co", "https://huggingface.co:8443", false},
		{"https://huggingface.co", "https://huggingface.co.evil.example", false},
		{"https://huggingface.co", "https://cdn.huggingface.co", false},
		{"https://huggingface.co", "https://huggingface.co.", false},
	} {
		a, _ := url.Parse(c.a)
		b, _ := url.Parse(c.b)
		if got := sameOrigin(a, b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// testClient is a client with short waits that trusts hub.
func testClient(t *testing.T, hub string) *client {
	u, err := url.Parse(hub)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{
		http: &http.Client{Transport: newTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		hub:  u, token: "hf_secret", stall: 5 * time.Second, tries: 2, backoff: time.Millisecond, note: func(string) {},
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// The token stays with the hub's origin. Once a redirect left it, the token does not come back, and what a foreign host
// says of the file's hash is not heard.
func TestCredentialsAcrossRedirects(t *testing.T) {
	var seen []string
	var hub, other *httptest.Server
	hub = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, "hub"+r.URL.Path+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/start":
			http.Redirect(w, r, "/same", http.StatusFound)
		case "/same":
			http.Redirect(w, r, other.URL+"/there", http.StatusTemporaryRedirect)
		}
	}))
	defer hub.Close()
	other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, "other"+r.URL.Path+" "+r.Header.Get("Authorization"))
		w.Header().Set("X-Linked-Etag", `"`+strings.Repeat("0", 64)+`"`)
		http.Redirect(w, r, hub.URL+"/back", http.StatusFound)
	}))
	defer other.Close()
	c := testClient(t, hub.URL)
	u, _ := url.Parse(hub.URL + "/start")
	r, err := c.do(t.Context(), http.MethodGet, u, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	want := []string{"hub/start Bearer hf_secret", "hub/same Bearer hf_secret", "other/there ", "hub/back "}
	if !slices.Equal(seen, want) {
		t.Errorf("hops %q, want %q", seen, want)
	}
	if r.linkedSHA != "" {
		t.Errorf("took the hash %s from another host", r.linkedSHA)
	}
}

func TestRedirectLoop(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, "/again", http.StatusFound)
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	if _, err := testClient(t, srv.URL).do(t.Context(), http.MethodGet, u, nil, false); err == nil || n != maxRedirects {
		t.Errorf("%d hops, %v", n, err)
	}
}

func TestListings(t *testing.T) {
	pages := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages++
		switch {
		case strings.Contains(r.URL.Path, "away"):
			w.Header().Set("Link", `<http://evil.example/api>; rel="next"`)
		case r.URL.Query().Get("cursor") == "":
			w.Header().Set("Link", `<`+"http://"+r.Host+r.URL.Path+`?cursor=2>; rel="next"`)
			w.Write([]byte(`[{"type":"file","path":"a.gguf","size":1}]`))
			return
		case strings.Contains(r.URL.Path, "long"):
			w.Write(make([]byte, maxListing+1))
			return
		}
		w.Write([]byte(`[{"type":"file","path":"b.gguf","size":2},{"type":"directory","path":"d"},{"type":"file","path":"../c.gguf","size":2}]`))
	}))
	defer srv.Close()
	c := testClient(t, srv.URL)
	p := &pull{client: c, hub: c.hub}
	files, err := p.hubFiles(t.Context(), "acme/two")
	if err != nil || len(files) != 2 || files[0].Path != "a.gguf" || files[1].Path != "b.gguf" || pages != 2 {
		t.Errorf("%v in %d pages, %v", files, pages, err)
	}
	if _, err := p.hubFiles(t.Context(), "acme/away"); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("next page on another host: %v", err)
	}
	if _, err := p.hubFiles(t.Context(), "acme/long"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("endless listing: %v", err)
	}
}

func TestHubPage(t *testing.T) {
	hub, _ := url.Parse("https://huggingface.co")
	p := &pull{hub: hub}
	for arg, want := range map[string]string{
		"https://huggingface.co/acme/tiny":                                "acme/tiny ",
		"https://huggingface.co/acme/tiny/":                               "acme/tiny ",
		"https://huggingface.co/acme/tiny/tree/main":                      "acme/tiny ",
		"https://huggingface.co/acme/tiny/blob/main/a/x.gguf":             "acme/tiny a/x.gguf",
		"https://huggingface.co/acme/tiny/resolve/main/x.gguf?download=1": "acme/tiny x.gguf",
		"https://huggingface.co/acme/tiny/resolve/v1/x.gguf":              "",
		"https://huggingface.co/acme/x.gguf":                              "",
		"https://example.com/acme/tiny":                                   "",
	} {
		u, err := parseURL(arg)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := p.hubPage(u)
		if got := r.repo + " " + r.file; ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q %v, want %q", arg, got, ok, want)
		}
	}
}

// A certificate that does not hold is an answer, not a weak connection.
func TestUntrustedCertificate(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	waits := 0
	c := testClient(t, srv.URL)
	c.note = func(string) { waits++ }
	u, _ := url.Parse(srv.URL)
	if _, _, err := c.small(t.Context(), u, "*/*", 100); err == nil || waits > 0 || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown authority: %v after %d waits", err, waits)
	}
}

// A server that is not there is asked again, since it may be starting.
func TestRefusedConnection(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	waits := 0
	c := testClient(t, srv.URL)
	c.note = func(string) { waits++ }
	u, _ := url.Parse(srv.URL)
	if _, _, err := c.small(t.Context(), u, "*/*", 100); err == nil || waits != c.tries-1 {
		t.Errorf("nobody there: %v after %d waits", err, waits)
	}
}
