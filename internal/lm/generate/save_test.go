package generate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"retort/internal/compute/op"
)

// TestSaveAndRestore: a timeline that was saved and restored elsewhere is not computed again and gives the same bits.
func TestSaveAndRestore(t *testing.T) {
	eachExact(t, false, func(t *testing.T, e *Engine, prompt []int32) {
		long := append(slices.Clone(prompt), randomTokens(e, 2, 90)...)
		first, _ := next(t, e, long)
		var file bytes.Buffer
		if n, err := e.Save(t.Context(), append(slices.Clone(long), 1, 2, 3), &file); err != nil || n != len(long) {
			t.Fatalf("saved %d of %d tokens: %v", n, len(long), err)
		}
		other := fresh(t, e)
		if n, err := other.Restore(t.Context(), bytes.NewReader(file.Bytes())); err != nil || n != len(long) {
			t.Fatalf("restored %d of %d tokens: %v", n, len(long), err)
		}
		got, reused := next(t, other, long)
		if reused != len(long)-1 {
			t.Errorf("%d tokens reused, want %d", reused, len(long)-1)
		}
		equalBits(t, "restored", got, first)
		idle(t, other)
		idle(t, e)
	})
}

// TestSaveIsOfItsTokens: a file holds nothing of those whose pages were copied: it is the same whoever was there before.
func TestSaveIsOfItsTokens(t *testing.T) {
	for _, cache := range []op.CacheType{op.CacheF32, op.CacheBF16, op.CacheQ8} {
		e := load(t, stories(t), 1, cache)
		tokens, other := randomTokens(e, 1, 80), randomTokens(e, 2, 120)
		saved := func(e *Engine) []byte {
			var file bytes.Buffer
			if n, err := e.Save(t.Context(), tokens, &file); err != nil || n != len(tokens) {
				t.Fatalf("%d tokens, %v", n, err)
			}
			return file.Bytes()
		}
		alone := fresh(t, e)
		next(t, alone, tokens)
		next(t, e, append(slices.Clone(tokens[:70]), other...)) // its second page is copied, 58 positions too many
		if _, reused := next(t, e, tokens); reused != 70 {
			t.Fatalf("%d tokens reused: the test shows nothing", reused)
		}
		if !bytes.Equal(saved(e), saved(alone)) {
			t.Errorf("%v: the file depends on who was there before", cache)
		}
	}
}

// TestRestoreRefuses: what is not a whole timeline of the very same model is an error, and leaves nothing behind.
func TestRestoreRefuses(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	next(t, e, randomTokens(e, 1, 100))
	var file bytes.Buffer
	if _, err := e.Save(t.Context(), randomTokens(e, 1, 100), &file); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	named := newEngine(t, e.w, e.Model, Options{Cache: op.CacheBF16, ID: "another"})
	wide := newEngine(t, e.w, e.Model, Options{Cache: op.CacheQ8})
	small := newEngine(t, e.w, e.Model, Options{Cache: op.CacheBF16, Context: 64})
	for _, c := range []struct {
		what string
		e    *Engine
		file []byte
		want string
	}{
		{"another model", named, whole, "of another model or adapter"},
		{"another cache", wide, whole, "another cache type: bf16, want q8_0"},
		{"too long", small, whole, "100 tokens, want 0 to 64"},
		{"no file of ours", fresh(t, e), []byte("GGUF and so on"), "this is no saved timeline"},
		{"empty", fresh(t, e), nil, "this is no saved timeline"},
		{"a long head", fresh(t, e), []byte("retortkv\xff\xff\xff\x7f"), "the head of the saved timeline has 2147483647 bytes"},
		{"a damaged page", fresh(t, e), slices.Concat(whole[:len(whole)/2], []byte{whole[len(whole)/2] ^ 1}, whole[len(whole)/2+1:]), "damaged"},
	} {
		if _, err := c.e.Restore(t.Context(), bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		idle(t, c.e)
	}
	for _, n := range []int{9, 12, 40, 200, 700, len(whole) / 2, len(whole) - 1} {
		x := fresh(t, e)
		if _, err := x.Restore(t.Context(), bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(whole))
		}
		if len(x.tree.all) > 0 || x.pages.Free() != x.pages.Capacity() {
			t.Errorf("%d of %d bytes left something behind", n, len(whole))
		}
	}
}

// FuzzRestore: no bytes make Restore panic or leave pages behind.
func FuzzRestore(f *testing.F) {
	e := load(f, stories(f), 1, op.CacheBF16)
	next(f, e, randomTokens(e, 1, 70))
	var file bytes.Buffer
	if _, err := e.Save(f.Context(), randomTokens(e, 1, 70), &file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(fmt.Sprintf("%s\x02\x00\x00\x00{}", saveMagic)))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := newEngineOf(e, Options{Cache: op.CacheBF16})
		defer x.Close()
		n, err := x.Restore(t.Context(), bytes.NewReader(b))
		if used := x.pages.Capacity() - x.pages.Free(); err != nil && (n > 0 || used > 0) || err == nil && used != pagesOf(n) {
			t.Errorf("%d tokens (%v), %d pages", n, err, used)
		}
	})
}
