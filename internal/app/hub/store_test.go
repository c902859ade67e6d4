package hub

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"qwen3", "qwen3:0.6b", "Qwen2.5-Coder_0.5B-q4_k_m", "a", "0:0", "deepseek-r1:1.5b-qwen-distill-q4_K_M"} {
		if err := checkName(name); err != nil {
			t.Error(err)
		}
		if got := unfolder(folder(name)); got != name {
			t.Errorf("%s becomes %s", name, got)
		}
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", `a\b`, "/a", "a\x00", "a:", ":a", "a:b:c", "a:/b", "a:..", "..a", "a..b", ".partial",
		"a b", "a\n", "ä", "ｑwen", "qwеn" /* Cyrillic е */, "a@b", "a.", "a.:b", "-a", "~", "a%2e", strings.Repeat("a", maxName+1)} {
		if err := checkName(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
		s := newStore(t)
		if _, err := s.Path(name); err == nil {
			t.Errorf("Path(%q) is accepted", name)
		}
		if err := s.Remove(name); err == nil {
			t.Errorf("Remove(%q) is accepted", name)
		}
	}
}

func TestNear(t *testing.T) {
	names := []string{"qwen2.5-coder:0.5b", "qwen3:0.6b", "qwen3:1.7b", "smollm2-135m", "stories"}
	for _, c := range []struct {
		typed string
		want  []string
	}{
		{"qwen3:0.6", []string{"qwen3:0.6b", "qwen3:1.7b"}},
		{"qwen3", []string{"qwen3:0.6b", "qwen3:1.7b"}},
		{"SmolLM2-135M", []string{"smollm2-135m"}},
		{"storeis", []string{"stories"}},
		{"llama", nil},
	} {
		if got := near(c.typed, names); !slices.Equal(got, c.want) {
			t.Errorf("near %s: %v, want %v", c.typed, got, c.want)
		}
	}
	if d := editDistance("kitten", "sitting"); d != 3 {
		t.Errorf("kitten to sitting: %d, want 3", d)
	}
}

func TestDefaultHome(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	for _, c := range []struct{ retort, xdg, want string }{
		{"/models", "/data", "/models"},
		{"", "/data", "/data/retort"},
		{"", "relative", "/home/ann/.local/share/retort"},
		{"", "", "/home/ann/.local/share/retort"},
	} {
		t.Setenv("RETORT_HOME", c.retort)
		t.Setenv("XDG_DATA_HOME", c.xdg)
		if got, err := DefaultHome(); err != nil || filepath.ToSlash(got) != c.want {
			t.Errorf("RETORT_HOME=%q XDG_DATA_HOME=%q: %s, %v; want %s", c.retort, c.xdg, got, err, c.want)
		}
	}
}

// An empty store answers without making a folder: Resolve of a plain file must work where the home is read-only.
func TestEmptyStore(t *testing.T) {
	s := newStore(t)
	wantNothing(t, s)
	if _, err := s.Path("qwen3"); !errors.Is(err, ErrNotFound) || hint(err) == "" {
		t.Errorf("Path: %v", err)
	}
	if err := s.Remove("qwen3"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Remove: %v", err)
	}
	if _, err := s.Resolve("https://example.com/x.gguf"); !errors.Is(err, ErrNotFound) || hint(err) != "retort pull https://example.com/x.gguf" {
		t.Errorf("Resolve: %v", err)
	}
	file := writeModel(t, t.TempDir(), "x.gguf", 100)
	if got, err := s.Resolve(file); err != nil || got != file {
		t.Errorf("Resolve(%s) = %s, %v", file, got, err)
	}
	if _, err := os.Stat(s.Home()); err == nil {
		t.Error("the home was made")
	}
}

// writeModel makes a GGUF file in dir and returns its path.
func writeModel(t *testing.T, dir, name string, n int) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, tinyGGUF(t, n, uint64(n)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDamage(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"good", "cut", "gone", "link", "flip", "text"} {
		mustPull(t, s, writeModel(t, t.TempDir(), name+".gguf", 1_000), PullOptions{})
	}
	dir := s.dir()
	outside := writeModel(t, t.TempDir(), "outside.gguf", 1_000)
	file := func(name string) string { return filepath.Join(dir, name, name+".gguf") }
	flipped, _ := os.ReadFile(file("flip"))
	flipped[len(flipped)-1] ^= 1
	for _, err := range []error{
		os.Truncate(file("cut"), 100),
		os.Remove(file("gone")),
		os.Remove(file("link")),
		os.Symlink(outside, file("link")),
		os.WriteFile(file("flip"), flipped, 0o644),
		os.WriteFile(filepath.Join(dir, "text", manifestName), []byte("{"), 0o644),
		os.Symlink(filepath.Join(dir, "good"), filepath.Join(dir, "twin")),
		os.Symlink(t.TempDir(), filepath.Join(dir, "out")),
		os.WriteFile(filepath.Join(dir, "file"), nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	entries, err := s.List()
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	if !slices.Equal(names, []string{"flip", "good"}) {
		t.Errorf("List = %v", names)
	}
	for _, name := range []string{"cut", "gone", "link", "text", "twin", "out", "file"} {
		if err == nil || !strings.Contains(err.Error(), "model "+name+" is damaged") {
			t.Errorf("List does not tell of %s", name)
		}
		if p, err := s.Path(name); err == nil {
			t.Errorf("Path(%s) = %s", name, p)
		}
	}
	if err := s.Verify(t.Context(), "good", nil); err != nil {
		t.Error(err)
	}
	if err := s.Verify(t.Context(), "flip", nil); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("Verify of a flipped bit: %v", err)
	}
	// A damaged model is mended by pulling it again, and can be removed; what a link points to stays.
	src := filepath.Join(t.TempDir(), "cut.gguf")
	if err := os.Link(outside, src); err != nil {
		t.Fatal(err)
	}
	mustPull(t, s, src, PullOptions{})
	for _, name := range []string{"text", "link", "twin", "out", "gone"} {
		if err := s.Remove(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	if err := s.Verify(t.Context(), "good", nil); err != nil {
		t.Error(err)
	}
}

// A manifest whose hash is not that of its files was changed by hand or half written.
func TestManifestHash(t *testing.T) {
	zero, one := strings.Repeat("0", 64), strings.Repeat("1", 64)
	for sum, ok := range map[string]bool{zero: true, one: false} {
		data := `{"name":"a","source":"x","format":"gguf","sha256":"` + sum + `","size":3,"files":[{"name":"a.gguf","size":3,"sha256":"` + zero + `"}]}`
		if _, err := parseManifest([]byte(data), "a"); (err == nil) != ok {
			t.Errorf("sha256 %s: %v", sum, err)
		}
	}
}

// Of all who want one name at the same time, one at a time has it, also while the lock's file comes and goes.
func TestLockIsExclusive(t *testing.T) {
	root, err := newStore(t).makeRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 400 {
				unlock, err := lockName(root, "tiny")
				if errors.Is(err, ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				runtime.Gosched()
				inside.Add(-1)
				unlock()
			}
		})
	}
	wg.Wait()
}

func TestRemove(t *testing.T) {
	s := newStore(t)
	e := mustPull(t, s, writeModel(t, t.TempDir(), "Tiny.gguf", 100), PullOptions{Name: "tiny:1b"})
	if err := s.Remove("tiny:2b"); !errors.Is(err, ErrNotFound) || !strings.Contains(hint(err), "tiny:1b") {
		t.Errorf("Remove of another: %v, hint %q", err, hint(err))
	}
	if err := s.Remove("tiny:1b"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.Path); err == nil {
		t.Error("the file is still there")
	}
	wantNothing(t, s)
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestLock(t *testing.T) {
	s := newStore(t)
	root, err := s.makeRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	unlock, err := lockName(root, "tiny")
	if err != nil {
		t.Fatal(err)
	}
	src := writeModel(t, t.TempDir(), "tiny.gguf", 100)
	_, err = s.Pull(t.Context(), src, PullOptions{})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "process") || hint(err) == "" {
		t.Errorf("second pull: %v", err)
	}
	if err := s.Remove("tiny"); !errors.Is(err, ErrBusy) {
		t.Errorf("Remove during a pull: %v", err)
	}
	mustPull(t, s, src, PullOptions{Name: "other"}) // another name is free
	unlock()
	mustPull(t, s, src, PullOptions{})
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// No name meets what the store itself puts beside the stages.
func TestNamesBesideEachOther(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	names := []string{"a", "a.old", "a.lock", "a.partial", "a.manifest", "manifest.json"}
	for round := range 2 {
		for i, name := range names {
			e := mustPull(t, s, writeModel(t, dir, "src.gguf", 10+10*round+i), PullOptions{Name: name})
			if e.Name != name {
				t.Errorf("%s is stored as %s", name, e.Name)
			}
		}
	}
	if entries, err := s.List(); err != nil || len(entries) != len(names) {
		t.Errorf("List = %v, %v", entries, err)
	}
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	t.Chdir(dir)
	writeModel(t, dir, "here", 100) // no ending, but a GGUF file
	if err := os.Mkdir("nothing", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"m/config.json": "{}", "m/model.safetensors": string(safetensorsFile(4, 1)),
		"bare/model.safetensors": string(safetensorsFile(4, 1)), "old/model.bin": "x", "old/config.json": "{}", "notes": "text"} {
		os.MkdirAll(filepath.Dir(name), 0o755)
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stored := mustPull(t, s, writeModel(t, t.TempDir(), "notes.gguf", 200), PullOptions{})
	for _, c := range []struct{ model, path, err string }{
		{model: "here", path: "here"},
		{model: "./here", path: "./here"},
		{model: "m", path: "m"},
		{model: "m/", path: "m/"},
		{model: "notes", path: stored.Path}, // a file of that name is there and is no model
		{model: "notes:latest", path: stored.Path},
		{model: "./notes", err: "not a GGUF"},
		{model: "bare", err: "no config.json"},
		{model: "m/model.safetensors", err: "alone is not a model"},
		{model: "./old", err: "pickle"},
		{model: "old/model.bin", err: "pickle"},
		{model: "gone.gguf", err: "no such file"},
		{model: "nots", err: "not in the store"},
		{model: "nothing", err: "nothing holds no safetensors"},
		{model: "", err: "empty"},
		{model: "a\x00b", err: "control"},
	} {
		got, err := s.Resolve(c.model)
		if got != c.path || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("Resolve(%q) = %s, %v; want %s%s", c.model, got, err, c.path, c.err)
		}
		if c.model == "nothing" && errors.Is(err, ErrNotFound) {
			t.Errorf("Resolve(%q): %v, want the folder's own error alone", c.model, err)
		}
	}
	for _, name := range []string{"x.bin", "model.safetensors"} { // files that are not there
		if _, err := s.Resolve(name); !errors.Is(err, ErrNotFound) || strings.Contains(hint(err), "pull") {
			t.Errorf("Resolve(%q): %v, hint %q", name, err, hint(err))
		}
	}
}
