package hub

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/numtest"
)

func TestPullFile(t *testing.T) {
	s, dir := newStore(t), t.TempDir()
	src := writeModel(t, dir, "Tiny-1b.gguf", 100_000)
	data, _ := os.ReadFile(src)
	var last Progress
	e := mustPull(t, s, src, PullOptions{Progress: func(p Progress) { last = p }})
	wantContent(t, s, e, data)
	if e.Name != "Tiny-1b" || e.Source != src || last.Phase != PhaseCopy || last.Done != int64(len(data)) || last.Total != last.Done {
		t.Errorf("entry %+v, last progress %+v", e, last)
	}
	if os.SameFile(stat(t, src), stat(t, e.Path)) {
		t.Error("the store shares the file with its source")
	}
	// The same content under the same name is no conflict, whatever its path; other content is, and a twin by case is.
	again := filepath.Join(t.TempDir(), "Tiny-1b.gguf")
	os.WriteFile(again, data, 0o644)
	mustPull(t, s, src, PullOptions{})
	if e := mustPull(t, s, again, PullOptions{}); e.Source != again || e.SHA256 != shaOf(data) {
		t.Errorf("same content from elsewhere: %+v", e)
	}
	if e, err := s.Get("Tiny-1b"); err != nil || e.Source != again {
		t.Errorf("manifest after that: %+v, %v", e, err)
	}
	other := writeModel(t, t.TempDir(), "Tiny-1b.gguf", 200)
	if _, err := s.Pull(t.Context(), other, PullOptions{}); err == nil || !strings.Contains(err.Error(), "taken") || hint(err) == "" {
		t.Errorf("other content: %v", err)
	}
	wantContent(t, s, e, data)
	if _, err := s.Pull(t.Context(), other, PullOptions{Name: "tiny-1b"}); err == nil || !strings.Contains(err.Error(), "only in case") {
		t.Errorf("twin: %v", err)
	}
	e = mustPull(t, s, other, PullOptions{Replace: true})
	if e.Source != other || e.SHA256 == shaOf(data) {
		t.Errorf("replaced by %+v", e)
	}
	// The source that changed replaces what came from it.
	writeModel(t, filepath.Dir(other), "Tiny-1b.gguf", 300)
	changed, _ := os.ReadFile(other)
	wantContent(t, s, mustPull(t, s, other, PullOptions{}), changed)
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func stat(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestPullFileNames(t *testing.T) {
	s := newStore(t)
	src := writeModel(t, t.TempDir(), "größe 1.gguf", 100)
	if _, err := s.Pull(t.Context(), src, PullOptions{}); err == nil || !strings.Contains(hint(err), "--name") {
		t.Errorf("doubtful base name: %v, hint %q", err, hint(err))
	}
	for _, name := range []string{"../x", "/x", "a/b", "x\x00", `..\x`} {
		var argument *ArgumentError
		if _, err := s.Pull(t.Context(), src, PullOptions{Name: name}); !errors.As(err, &argument) {
			t.Errorf("name %q: %v, want an argument error", name, err)
		}
	}
	if e := mustPull(t, s, src, PullOptions{Name: "size:1"}); filepath.Base(e.Path) != "size@1.gguf" {
		t.Errorf("path %s", e.Path)
	}
}

func TestPullFileCancelled(t *testing.T) {
	s := newStore(t)
	src := writeModel(t, t.TempDir(), "tiny.gguf", 200_000)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Pull(ctx, src, PullOptions{Progress: func(p Progress) {
		if p.Done > 0 {
			cancel()
		}
	}})
	if err == nil || len(leftovers(t, s)) > 0 {
		t.Errorf("cancelled copy: %v, left over %v", err, leftovers(t, s))
	}
	wantNothing(t, s)
}

// A file that changes while it is copied is not taken for the one that was checked.
func TestPullFileChanges(t *testing.T) {
	s := newStore(t)
	src := writeModel(t, t.TempDir(), "tiny.gguf", 400_000)
	whole, cut := stat(t, src).Size(), false
	e, err := s.Pull(t.Context(), src, PullOptions{Progress: func(p Progress) {
		if p.Done > 0 && !cut {
			cut = true
			os.Truncate(src, whole/2)
		}
	}})
	if err == nil && e.Size == whole {
		t.Skip("the file system shares blocks: the copy was made at once")
	}
	if err == nil || !strings.Contains(err.Error(), "changed from") || len(leftovers(t, s)) > 0 {
		t.Errorf("%+v, %v, left over %v", e, err, leftovers(t, s))
	}
	wantNothing(t, s)
}

func TestPullFolderAndShards(t *testing.T) {
	s, dir := newStore(t), filepath.Join(t.TempDir(), "tiny")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"config.json": []byte(llamaConfig), "model.safetensors": safetensorsFile(1_000, 1),
		"tokenizer.json": []byte("{}"), "tokenizer.gguf": []byte("GGUF"), "notes.txt": []byte("mine"), "optimizer.bin": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := mustPull(t, s, dir+"/", PullOptions{})
	if e.Name != "tiny" || e.Format != FormatSafetensors || len(e.Files) != 4 || e.Path != filepath.Join(s.dir(), "tiny") {
		t.Errorf("entry %+v", e)
	}
	if err := s.Verify(t.Context(), "tiny", nil); err != nil {
		t.Error(err)
	}
	last := ""
	for i, data := range tinyParts(t, 100, 200) {
		last = filepath.Join(dir, shardName("big", i+1, 2))
		if err := os.WriteFile(last, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e = mustPull(t, s, last, PullOptions{Name: "big:2b"}) // any shard stands for all
	if len(e.Files) != 2 || filepath.Base(e.Path) != "big@2b-00001-of-00002.gguf" || Check(e.Path) != nil {
		t.Errorf("entry %+v, %v", e, Check(e.Path))
	}
	os.Remove(last)
	if _, err := s.Pull(t.Context(), filepath.Join(dir, shardName("big", 1, 2)), PullOptions{Name: "x"}); err == nil {
		t.Error("a missing shard is accepted")
	}
}

func TestCheckSafetensors(t *testing.T) {
	good := safetensorsFile(100, 1)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "config.json"), []byte(llamaConfig), 0o644)
	for name, c := range map[string]struct {
		data []byte
		ok   bool
	}{
		"good":         {good, true},
		"empty":        {nil, false},
		"short":        {good[:len(good)-1], false},
		"long":         {append(bytes.Clone(good), 0), false},
		"header only":  {good[:8], false},
		"huge header":  {append([]byte{255, 255, 255, 255, 255, 255, 255, 255}, good[8:]...), false},
		"header 2^62":  {append([]byte{0, 0, 0, 0, 0, 0, 0, 64}, good[8:]...), false},
		"not JSON":     {append(append(bytes.Clone(good[:8]), 'x'), good[9:]...), false},
		"broken order": {bytes.Replace(good, []byte("[0,100]"), []byte("[9,  0]"), 1), false},
	} {
		os.WriteFile(filepath.Join(dir, "model.safetensors"), c.data, 0o644)
		if err := Check(dir); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A real model goes in, is checked, and opens from the store.
func TestPullRealModel(t *testing.T) {
	src := numtest.Model(t, "smollm2-135m")
	s := newStore(t)
	e := mustPull(t, s, src, PullOptions{Name: "smollm2:135m"})
	if e.Size != stat(t, src).Size() {
		t.Errorf("%d bytes, want %d", e.Size, stat(t, src).Size())
	}
	if got, err := s.Resolve("smollm2:135m"); err != nil || Check(got) != nil {
		t.Errorf("Resolve = %s, %v, %v", got, err, Check(got))
	}
}
