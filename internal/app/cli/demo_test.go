package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The steps that the demo ends with can be typed as they stand, however the program was called.
func TestDemoNext(t *testing.T) {
	for _, c := range []struct{ exe, arg0, want string }{
		{"/tmp/go-build2/b001/exe/retort", "/tmp/go-build2/b001/exe/retort", "go run ./cmd/retort"},
		{"/home/u/.cache/go-build/ab/abcd-d/retort", "/home/u/.cache/go-build/ab/abcd-d/retort", "go run ./cmd/retort"},
		{"/home/u/src/retort/retort", "./retort", "./retort"},
		{"/usr/bin/retort", "retort", "retort"},
	} {
		var b strings.Builder
		if err := (&demoOptions{out: "some"}).next(&b, time.Minute, callName(c.exe, c.arg0)); err != nil {
			t.Fatal(err)
		}
		page, err := filepath.Abs("some/report.html")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\n  " + page + " ", "| " + c.want + " run " + filepath.Join("some", "student.gguf"), "\n  " + c.want + " distill --help"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in:\n%s", c.exe, want, b.String())
			}
		}
		if strings.Contains(b.String(), "open ") {
			t.Errorf("a command that is one system's alone:\n%s", b.String())
		}
	}
}

// A file in the way of the demo's folder is not that folder.
func TestDemoFolder(t *testing.T) {
	base := filepath.Join(t.TempDir(), "demo")
	if got, err := demoFolder(base); got != base || err != nil {
		t.Errorf("nothing there: %q, %v, want %q", got, err, base)
	}
	if err := os.WriteFile(base, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, err := demoFolder(base); got != base+"-2" || err != nil {
		t.Errorf("a file there: %q, %v, want %q", got, err, base+"-2")
	}
	if err := os.Mkdir(base+"-2", 0o777); err != nil {
		t.Fatal(err)
	}
	if got, err := demoFolder(base); got != base+"-2" || err != nil {
		t.Errorf("an unfinished run there: %q, %v, want %q", got, err, base+"-2")
	}
}
