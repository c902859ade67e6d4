package safetensors

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zeros(n int) func(io.Writer) error {
	return func(dst io.Writer) error {
		_, err := dst.Write(make([]byte, n))
		return err
	}
}

// What goes wrong leaves nothing new, in one file as in shards.
func TestFailedWrites(t *testing.T) {
	stopped, stop := context.WithCancel(context.Background())
	good := Source{"good", F32, []int{8}, zeros(32)}
	for _, c := range []struct {
		name, want string
		ctx        context.Context
		bad        Source
	}{
		{"callback fails", "disk on fire", nil, Source{"x", F32, []int{8}, func(io.Writer) error { return errors.New("disk on fire") }}},
		{"too few bytes", `tensor "x": 31 bytes written, want 32`, nil, Source{"x", F32, []int{8}, zeros(31)}},
		{"too many bytes", `tensor "x": 1 bytes more`, nil, Source{"x", F32, []int{8}, zeros(33)}},
		{"name twice", `"good": is there twice`, nil, Source{"good", F32, []int{8}, zeros(32)}},
		{"reserved name", "cannot be called __metadata__", nil, Source{"__metadata__", F32, []int{8}, zeros(32)}},
		{"dtype unknown", `dtype "Q4_K" is not supported`, nil, Source{"x", "Q4_K", []int{8}, zeros(32)}},
		{"dim negative", "shape [-1]", nil, Source{"x", F32, []int{-1}, zeros(32)}},
		{"rank 9", "more than 8 numbers", nil, Source{"x", U8, []int{1, 1, 1, 1, 1, 1, 1, 1, 32}, zeros(32)}},
		{"size wraps", "too many elements", nil, Source{"x", F32, []int{1 << 62}, zeros(32)}},
		{"cancelled on the way", "context canceled", stopped, Source{"x", F32, []int{8}, func(dst io.Writer) error {
			stop()
			return zeros(32)(dst)
		}}},
	} {
		if c.ctx == nil {
			c.ctx = context.Background()
		}
		dir := t.TempDir()
		path := filepath.Join(dir, SingleName)
		if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
		err := WriteFile(c.ctx, path, nil, []Source{good, c.bad})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		entries, _ := os.ReadDir(dir)
		if old, _ := os.ReadFile(path); len(entries) != 1 || string(old) != "old" {
			t.Errorf("%s: left %v, content %q", c.name, entries, old)
		}

		dir = t.TempDir()
		if err := WriteSharded(c.ctx, dir, 32, nil, []Source{good, c.bad}); err == nil {
			t.Errorf("%s: shards: no error", c.name)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("%s: shards left %v", c.name, entries)
		}
	}
}

// Shards without an index, as a kill between the renames leaves them, are no model and no hindrance.
func TestShardsOfAKilledWriter(t *testing.T) {
	dir := t.TempDir()
	two := []Source{{"a", U8, []int{4}, zeros(4)}, {"b", U8, []int{4}, zeros(4)}}
	if err := WriteSharded(context.Background(), dir, 4, nil, two); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, IndexName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("shards without an index were opened as a model")
	}
	if err := WriteSharded(context.Background(), dir, 4, nil, two); err != nil {
		t.Errorf("the second try: %v", err)
	}
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// A try that fails before its first shard has its name leaves the shards that stood there, and one that fails later
// removes what it has put there.
func TestShardsOfAnEarlierTry(t *testing.T) {
	dir := t.TempDir()
	shard := func(n int) string {
		return filepath.Join(dir, []string{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}[n])
	}
	for n := range 2 {
		if err := os.WriteFile(shard(n), []byte("old"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	fails := Source{"b", U8, []int{4}, func(io.Writer) error { return errors.New("disk on fire") }}
	if err := WriteSharded(context.Background(), dir, 4, nil, []Source{{"a", U8, []int{4}, zeros(4)}, fails}); err == nil {
		t.Error("no error")
	}
	for n := range 2 {
		if old, err := os.ReadFile(shard(n)); string(old) != "old" {
			t.Errorf("shard %d holds %q (%v)", n, old, err)
		}
	}

	// What has the second shard's name by the time of its turn cannot be replaced.
	if err := os.Remove(shard(1)); err != nil {
		t.Fatal(err)
	}
	hinders := Source{"b", U8, []int{4}, func(w io.Writer) error {
		if err := os.Mkdir(shard(1), 0o777); err != nil {
			return err
		}
		return zeros(4)(w)
	}}
	if err := WriteSharded(context.Background(), dir, 4, nil, []Source{{"a", U8, []int{4}, zeros(4)}, hinders}); err == nil {
		t.Error("a folder was replaced")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || entries[0].Name() != filepath.Base(shard(1)) {
		t.Errorf("left %v", entries)
	}
}
