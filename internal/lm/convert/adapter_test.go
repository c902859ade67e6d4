package convert

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/compute/tensor"
	"retort/internal/lm/model"
)

// TestAdapter: a file and a folder made with an adapter score as the model does beside which the adapter stands.
func TestAdapter(t *testing.T) {
	dir, base := t.TempDir(), tiny(t, 300)
	adapter := filepath.Join(dir, "adapter")
	m, err := model.Load(base, model.LoadOptions{LoRA: &model.LoRAConfig{Rank: 4, Alpha: 8, Seed: 1}, Precision: tensor.Float32})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, p := range m.Params() {
		p.Slices(func(values, _ []float32) {
			for i := range values {
				values[i] = float32(i%7-3) * 0.02
			}
		})
	}
	if err := m.WriteAdapter(context.Background(), adapter); err != nil {
		t.Fatal(err)
	}
	want := scoresOf(t, base, adapter)
	if far := distance(want, scores(t, base)); far < 0.1 {
		t.Fatalf("with the adapter the scores are off by %g: the test would see nothing", far)
	}
	file, folder := filepath.Join(dir, "merged.gguf"), filepath.Join(dir, "merged")
	for _, dst := range []string{file, folder} {
		if err := write(base, dst, Options{Adapter: adapter}); err != nil {
			t.Fatal(err)
		}
		if far := distance(scores(t, dst), want); far > 1e-3 { // logits of the order of 10, in float32
			t.Errorf("%s is off by %g", dst, far)
		}
	}
	err = write(base, filepath.Join(dir, "no.gguf"), Options{Adapter: dir})
	if err == nil || !strings.Contains(err.Error(), "adapter_config.json") || exists(filepath.Join(dir, "no.gguf")) {
		t.Errorf("no adapter: error %v", err)
	}
}
