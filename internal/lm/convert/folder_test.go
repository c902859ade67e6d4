package convert

import (
	"os"
	"path/filepath"
	"testing"

	"retort/internal/format/safetensors"
	"retort/internal/format/weights"
	"retort/internal/lm/model"
)

// TestFolderType: a folder keeps F32 and F16, and has BF16 for all else.
func TestFolderType(t *testing.T) {
	dir, src := t.TempDir(), tiny(t, 300)
	for name, want := range map[string]safetensors.DType{"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "BF16"} {
		file, folder := filepath.Join(dir, name+".gguf"), filepath.Join(dir, name)
		mix, _ := weights.FindMixture(name)
		if err := write(src, file, Options{Mixture: mix}); err != nil {
			t.Fatal(err)
		}
		convert(t, file, folder)
		f, err := safetensors.Open(folder)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Tensors[0].DType; got != want {
			t.Errorf("a folder made of %s is stored as %s, want %s", name, got, want)
		}
		f.Close()
	}
}

// TestMoveInto: config.json goes last, and after an error nothing that was moved stays.
func TestMoveInto(t *testing.T) {
	stage, dst := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "z", model.ConfigName} {
		if err := os.WriteFile(filepath.Join(stage, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	blocked := filepath.Join(dst, "z")
	if err := os.Mkdir(blocked, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := moveInto(stage, dst); err == nil || exists(filepath.Join(dst, "a")) || exists(filepath.Join(dst, model.ConfigName)) || !exists(filepath.Join(stage, model.ConfigName)) {
		t.Errorf("error %v; %s has a: %v, config.json: %v", err, dst, exists(filepath.Join(dst, "a")), exists(filepath.Join(dst, model.ConfigName)))
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stage, "a"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := moveInto(stage, dst); err != nil || !exists(filepath.Join(dst, "z")) || !exists(filepath.Join(dst, model.ConfigName)) {
		t.Errorf("error %v", err)
	}
}
