package teacher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKey: every part of what decides an answer decides its key, and none of that has changed since runs were first kept.
func TestKey(t *testing.T) {
	q := Question{Message: "m", Text: "t", Max: 5, Temperature: 0.5, Seed: 7}
	// sha256sum of ["model",{"Message":"m","Text":"t","Max":5,"Temperature":0.5,"Seed":7},"{}"]
	const want = "b140c5efcb4ea2025ed8c1118db67c47c3871c05250e705227e4811e76e131f9"
	if got := Key("model", q, []byte(`{}`)); got != want {
		t.Errorf("Key = %s, want %s: what runs were told would be asked again", got, want)
	}
	with := func(change func(*Question)) Question {
		c := q
		change(&c)
		return c
	}
	seen := map[string]string{}
	for name, key := range map[string]string{
		"it":          Key("model", q, []byte(`{}`)),
		"model":       Key("other", q, []byte(`{}`)),
		"schema":      Key("model", q, []byte(`{"type":"string"}`)),
		"message":     Key("model", with(func(q *Question) { q.Message = "n" }), []byte(`{}`)),
		"text":        Key("model", with(func(q *Question) { q.Text = "u" }), []byte(`{}`)),
		"max":         Key("model", with(func(q *Question) { q.Max = 6 }), []byte(`{}`)),
		"temperature": Key("model", with(func(q *Question) { q.Temperature = 0.6 }), []byte(`{}`)),
		"seed":        Key("model", with(func(q *Question) { q.Seed = 8 }), []byte(`{}`)),
	} {
		if other, twice := seen[key]; twice {
			t.Errorf("another %s has the key of %s", name, other)
		}
		seen[key] = name
	}
}

func openCache(t *testing.T, path string) *Cache {
	t.Helper()
	c, err := OpenCache(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCacheKeeps: what was put is there again, all of it.
func TestCacheKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teacher.jsonl")
	c := openCache(t, path)
	a := Cached{Key: "k", ID: "train-1", Sample: 2, Answer: "{\"a\":\"é\n\"}", PromptTokens: 3, CachedTokens: 1, AnswerTokens: 4, TimeMS: 5.25, Alone: true}
	if _, ok := c.Get("k"); ok {
		t.Error("an empty cache has an answer")
	}
	if err := c.Put(a); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get("k"); !ok || got != a {
		t.Errorf("just put: %+v, %v", got, ok)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, path)
	defer c.Close()
	if got, ok := c.Get("k"); !ok || got != a {
		t.Errorf("opened again: %+v, %v; want %+v", got, ok, a)
	}
}

// TestCacheTornLine: a line that a crash tore off is asked again, and what is put then stands on a line of its own.
func TestCacheTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teacher.jsonl")
	const whole, torn = `{"key":"a","answer":"1"}` + "\n", `{"key":"b","answ`
	if err := os.WriteFile(path, []byte(whole+torn), 0o644); err != nil {
		t.Fatal(err)
	}
	c := openCache(t, path)
	if _, ok := c.Get("b"); ok {
		t.Error("a torn line counts as an answer")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != whole {
		t.Errorf("the file is %q, %v; want the torn line cut away", b, err)
	}
	if err := c.Put(Cached{Key: "c", Answer: "3"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, path)
	defer c.Close()
	for key, want := range map[string]string{"a": "1", "c": "3"} {
		if got, ok := c.Get(key); !ok || got.Answer != want {
			t.Errorf("%s: %+v, %v", key, got, ok)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), "\n") != 2 || !strings.HasPrefix(string(b), whole+`{"key":"c"`) {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// TestCacheRefuses: a whole line that is no answer is somebody's file, and an error with its place.
func TestCacheRefuses(t *testing.T) {
	for _, line := range []string{"no JSON", `{"answer":"1"}`, ""} {
		path := filepath.Join(t.TempDir(), "teacher.jsonl")
		text := `{"key":"a"}` + "\n" + line + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenCache(path); err == nil || !strings.Contains(err.Error(), path+": line 2 is not an answer") {
			t.Errorf("%q: %v", line, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%q: the file has become %q, %v", line, b, err)
		}
	}
}
