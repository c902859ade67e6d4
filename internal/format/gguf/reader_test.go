package gguf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"retort/internal/format/mmap"
	"retort/internal/numtest"
)

// rewrite reads the file at path and writes the same content anew.
func rewrite(t *testing.T, path string) string {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	w, err := Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	copyAll(w, f)
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	return out
}

func copyAll(w *Writer, f *File) {
	for key, v := range f.All() {
		w.Set(key, v)
	}
	for i := range f.Tensors {
		x := &f.Tensors[i]
		w.Add(x.Name, x.Type, x.Dims, func(dst io.Writer) error {
			_, err := io.Copy(dst, io.NewSectionReader(x, 0, x.Size))
			return err
		})
	}
}

func equalFiles(t *testing.T, a, b string) {
	t.Helper()
	x, err := mmap.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	y, err := mmap.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	equalBytes(t, filepath.Base(b), x.Bytes(), y.Bytes())
}

func TestVocabularies(t *testing.T) {
	dir := numtest.Shared(t, "data/vocabs")
	for name, tokens := range map[string]int{ // as gguf-py counts them
		"deepseek-llm": 102400, "deepseek-coder": 32256, "llama-spm": 32000, "gpt-2": 50257,
	} {
		path := filepath.Join(dir, "ggml-vocab-"+name+".gguf")
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := f.Strings("tokenizer.ggml.tokens")
		if err != nil || len(got) != tokens {
			t.Errorf("%s: %d tokens, want %d, error %v", name, len(got), tokens, err)
		}
		types, err := f.Ints("tokenizer.ggml.token_type")
		if err != nil || len(types) != tokens {
			t.Errorf("%s: %d token types, want %d, error %v", name, len(types), tokens, err)
		}
		f.Close()
		equalFiles(t, rewrite(t, path), path)
	}
}

func TestRealModel(t *testing.T) {
	path := numtest.Model(t, "smollm2-135m")
	equalFiles(t, rewrite(t, path), path)
}

// Of the larger models only the header is written again.
func TestRealHeaders(t *testing.T) {
	for name, first := range map[string]Tensor{
		"qwen2.5-coder-0.5b": {Name: "output.weight", Type: Q8_0, Dims: []int{896, 151936}, Offset: 5947776},
		"qwen2.5-coder-1.5b": {Name: "output.weight", Type: Q6_K, Dims: []int{1536, 151936}, Offset: 5950528},
	} {
		f, err := Open(numtest.Model(t, name))
		if err != nil {
			t.Error(err)
			continue
		}
		got := f.Tensors[0]
		if got.Name != first.Name || got.Type != first.Type || !reflect.DeepEqual(got.Dims, first.Dims) || got.Offset != first.Offset {
			t.Errorf("%s: first tensor %+v, want %+v", name, got, first)
		}
		w, err := Create(filepath.Join(t.TempDir(), "header"))
		if err != nil {
			t.Fatal(err)
		}
		copyAll(w, f)
		var header bytes.Buffer
		out := newOutput(context.Background(), &header, f.Alignment)
		if err := errors.Join(w.err, w.writeHeader(out), out.buf.Flush()); err != nil {
			t.Error(err)
		}
		equalBytes(t, name, header.Bytes(), f.mapping.Bytes()[:first.Offset])
		w.Abort()
		f.Close()
	}
}

func TestGetters(t *testing.T) {
	f, err := Open(filepath.Join("testdata", "kinds.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	try := func(what string, got any, err error, want any, wantErr string) {
		t.Helper()
		msg := ""
		if err != nil {
			msg = err.Error()
		}
		if msg != wantErr || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, error %q, want %v, error %q", what, got, msg, want, wantErr)
		}
	}
	s, err := f.String("general.architecture")
	try("String", s, err, "kinds", "")
	_, err = f.String("one.uint8")
	try("String of uint8", nil, err, nil, "gguf: one.uint8: is uint8 255, want string")
	_, err = f.String("none")
	try("String of none", nil, err, nil, "gguf: none: is missing, want string")
	s, err = f.StringOr("none", "def")
	try("StringOr", s, err, "def", "")
	_, err = f.StringOr("one.bool", "def")
	try("StringOr of bool", nil, err, nil, "gguf: one.bool: is bool true, want string")
	u, err := f.Uint("one.uint64")
	try("Uint", u, err, uint64(1<<64-1), "")
	_, err = f.Int("one.uint64")
	try("Int of uint64", nil, err, nil, "gguf: one.uint64: is uint64 18446744073709551615, want integer")
	i, err := f.Int("one.int32")
	try("Int", i, err, 1<<31-1, "")
	i, err = f.IntOr("none", -4)
	try("IntOr", i, err, -4, "")
	x, err := f.Float("one.float64")
	try("Float", x, err, 1.7976931348623157e308, "")
	_, err = f.Float("one.int8")
	try("Float of int8", nil, err, nil, "gguf: one.int8: is int8 127, want float")
	b, err := f.Bool("one.bool")
	try("Bool", b, err, true, "")
	bs, err := f.Bools("many.bool")
	try("Bools", bs, err, []bool{false, true, true}, "")
	is, err := f.Ints("many.int16")
	try("Ints", is, err, []int{-32768, 32767, 32767}, "")
	_, err = f.Ints("many.uint64")
	try("Ints of uint64", nil, err, nil, "gguf: many.uint64: element 1 does not fit an int")
	_, err = f.Ints("many.bool")
	try("Ints of bools", nil, err, nil, "gguf: many.bool: is array of bool, want array of integers")
	fs, err := f.Floats("many.float32")
	try("Floats", fs, err, []float32{-1.5, 3.4028234663852886e38, 3.4028234663852886e38}, "")
	fs, err = f.FloatsOr("none", []float32{1})
	try("FloatsOr", fs, err, []float32{1}, "")
	ss, err := f.Strings("many.string")
	try("Strings", ss, err, []string{"", "naïve 鍵 🔑", "naïve 鍵 🔑"}, "")
	_, err = f.Strings("nested")
	try("Strings of arrays", nil, err, nil, "gguf: nested: is array of array, want array of string")
	var missing *KeyError
	if _, err := f.Ints("none"); !errors.As(err, &missing) || missing.Found != "" {
		t.Errorf("a missing key: %v", err)
	}

	var negative Metadata
	negative.Set("n", ValueOf(int8(-1)))
	_, err = negative.Uint("n")
	try("Uint of -1", nil, err, nil, "gguf: n: is int8 -1, want integer, not negative")
}

func TestSetAndDelete(t *testing.T) {
	var md Metadata
	for _, k := range []string{"a", "b", "c", "d"} {
		md.Set(k, ValueOf(k))
	}
	md.Delete("b")
	md.Delete("none")
	md.Set("c", ValueOf("new"))
	md.Set("b", ValueOf("last"))
	var keys []string
	for k, v := range md.All() {
		s, _ := v.Any()
		keys = append(keys, k+"="+s.(string))
	}
	if want := []string{"a=a", "c=new", "d=d", "b=last"}; !slices.Equal(keys, want) {
		t.Errorf("%v, want %v", keys, want)
	}
	if s, err := md.String("d"); s != "d" || err != nil {
		t.Errorf("d is %q, error %v", s, err)
	}
}

// A file that is shortened after Open gives errors, in arrays as in tensors.
func TestTruncatedAfterOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.gguf")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	words := make([]string, 100_000)
	w.Set("words", ArrayOf(words))
	w.Add("x", I8, []int{1 << 20}, func(dst io.Writer) error {
		_, err := dst.Write(make([]byte, 1<<20))
		return err
	})
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 5000); err != nil {
		t.Skipf("a mapped file cannot be shortened here: %v", err)
	}
	if _, err := f.Strings("words"); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("array: %v", err)
	}
	if _, err := io.ReadAll(io.NewSectionReader(f.Tensor("x"), 0, 1<<20)); !errors.Is(err, mmap.ErrTruncated) {
		t.Errorf("tensor: %v", err)
	}
	if _, err := Open(path); err == nil {
		t.Error("the short file was opened")
	}
}

func BenchmarkOpenVocabulary(b *testing.B) {
	path := filepath.Join(numtest.Shared(b, "data/vocabs"), "ggml-vocab-deepseek-llm.gguf")
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
