package hub

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Offline no host is asked, whatever is wanted: what is here is taken, the rest is an error that names the host.
func TestOffline(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	data := tinyGGUF(t, 1_000, 1)
	h.add("acme/tiny", "tiny-Q4_K_M.gguf", data)
	h.images["qwen3:0.6b"] = data
	host := h.hub.Listener.Addr().String()
	file := writeModel(t, t.TempDir(), "local.gguf", 100)
	stored := mustPull(t, s, "hf:acme/tiny", h.options())
	named := mustPull(t, s, "qwen3:0.6b", h.options())
	asked := len(h.hubReq)
	for _, c := range []struct {
		ref, want string
		name      string // --name
		entry     string
	}{
		{ref: "qwen3:1.7b", want: host + " is not asked"},
		{ref: "hf:acme/other", want: host + " is not asked"},
		{ref: "hf:acme/tiny:Q8_0", want: host + " is not asked"},
		{ref: "https://example.com/x.gguf", want: "example.com is not asked"},
		{ref: "hf:acme/tiny", entry: stored.Name},
		{ref: h.hub.URL + "/acme/tiny/blob/main/tiny-Q4_K_M.gguf", entry: stored.Name},
		{ref: "qwen3:0.6b", entry: named.Name},
		{ref: "qwen3:0.6b", name: "other", want: "is not asked"},
		{ref: file, entry: "local"},
	} {
		for _, env := range []bool{true, false} {
			o := h.options()
			o.Name, o.Offline = c.name, !env
			t.Setenv("RETORT_OFFLINE", map[bool]string{true: "1", false: ""}[env])
			e, err := s.Pull(t.Context(), c.ref, o)
			if c.want == "" {
				if err != nil || e.Name != c.entry || e.Path == "" {
					t.Errorf("pull %s: %+v, %v; want %s", c.ref, e, err, c.entry)
				}
				continue
			}
			if !errors.Is(err, ErrOffline) || !strings.Contains(err.Error(), c.want) || !strings.Contains(hint(err), "--offline") {
				t.Errorf("pull %s: %v, hint %q; want %s", c.ref, err, hint(err), c.want)
			}
		}
	}
	if len(h.hubReq) != asked {
		t.Errorf("%d requests were made", len(h.hubReq)-asked)
	}
	for value, off := range map[string]bool{"": false, "0": false, "false": false, "1": true, "true": true, "yes": true} {
		t.Setenv("RETORT_OFFLINE", value)
		if got := (PullOptions{}).withDefaults().Offline; got != off {
			t.Errorf("RETORT_OFFLINE=%q is %v", value, got)
		}
	}
	// The client itself refuses too, should anyone forget to ask first.
	c := testClient(t, h.hub.URL)
	c.offline = ErrOffline
	if _, _, err := c.small(t.Context(), c.hub, "*/*", 100); !errors.Is(err, ErrOffline) || len(h.hubReq) != asked {
		t.Errorf("client: %v", err)
	}
}

// A pull says whom it asks before it does: a mistyped file would else be looked for on the web in silence.
func TestSaysWhomItAsks(t *testing.T) {
	h, s := newFakeHub(t), newStore(t)
	host := h.hub.Listener.Addr().String()
	for ref, want := range map[string]string{"nothing": "asking " + host + " for nothing:latest", "hf:acme/none": "asking " + host + " for acme/none"} {
		o, notes := h.options(), []string(nil)
		o.Progress = func(p Progress) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if p.Note != "" && h.asked == 0 {
				notes = append(notes, p.Note)
			}
		}
		h.asked = 0
		if _, err := s.Pull(t.Context(), ref, o); err == nil {
			t.Errorf("pull %s succeeded", ref)
		}
		if !slices.Equal(notes, []string{want}) {
			t.Errorf("pull %s says first %q, want %q", ref, notes, want)
		}
	}
}
