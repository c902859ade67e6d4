// Package numtest holds what tests of numbers share: outside files that may be absent, gradient checks,
// slices that end at an unreadable page, one run per kernel implementation. No program imports it.
//
// A test whose outside file is absent is skipped, but fails where $RETORT_ALL is set: the gate (.ci/run) brings every
// file, so that nothing is skipped there in silence.
package numtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the path of name (slash-separated) in the folder "shared" that lies beside the checkout, or in
// $RETORT_SHARED. The test is skipped where it is absent.
func Shared(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("RETORT_SHARED")
	if root == "" {
		root = filepath.Join(moduleRoot(t), "..", "shared")
	}
	path := filepath.Join(root, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		absent(t, "no shared file %s: set RETORT_SHARED to the folder that holds it", name)
	}
	return path
}

// Model returns the path of the GGUF file of a real model by its name in shared/models/README.md. The test is
// skipped where the model was not fetched.
func Model(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("RETORT_MODELS")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			absent(t, "no home folder: %v", err)
		}
		dir = filepath.Join(home, ".cache", "retort-models")
	}
	path := filepath.Join(dir, name+".gguf")
	if _, err := os.Stat(path); err != nil {
		absent(t, "no model %s: shared/models/fetch.sh %s brings it", path, name)
	}
	return path
}

// absent skips the test, or fails it where every test must run.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("RETORT_ALL") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// moduleRoot is the folder that holds go.mod, found upwards from the test's own folder.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("numtest: no go.mod above the test's folder")
		}
		dir = parent
	}
}
