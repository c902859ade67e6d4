package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// A report calls a model by the last part of its name.
func TestBaseName(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"smollm2-135m": "smollm2-135m", "models/a.gguf": "a", `models\a.gguf`: "a", "models/a/": "a", "a-00002-of-00003.gguf": "a", "x/a-00001-of-00001.gguf": "a",
		"a-of-b.gguf": "a-of-b", "org/repo": "repo", ".": filepath.Base(wd), "..": filepath.Base(filepath.Dir(wd)), "x/./": "x",
	} {
		if got := baseName(name); got != want {
			t.Errorf("%q is called %q, want %q", name, got, want)
		}
	}
}
