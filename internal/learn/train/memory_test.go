package train

import (
	"sort"
	"testing"

	"retort/internal/compute/tensor"
	"retort/internal/learn/data"
	"retort/internal/lm/model"
)

// TestFit: activations are computed again from recomputeAbove on, by the longest pass there can be, and what is told is what
// is then taken.
func TestFit(t *testing.T) {
	c := model.Config{Arch: "llama", Vocab: 64, Width: 32, Layers: 2, Heads: 2, KVHeads: 1, HeadDim: 16, FFN: 64, Context: 1 << 20, Eps: 1e-5, Tied: true,
		Rope: model.RopeConfig{Dim: 16, Theta: 10000, Pairs: true}}
	m, err := model.Fresh(c, 1, tensor.BFloat16)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	least := sort.Search(1<<21, func(rows int) bool { return m.TrainBytes(rows) > recomputeAbove })
	for _, rows := range []int{100, least - 1, least, 1 << 21, 100} {
		l := &data.Loader{Examples: []data.Example{{Tokens: make([]int32, 7)}, {Tokens: make([]int32, rows)}}, Batch: 1, Tokens: 50}
		m.Recompute = false
		kept := m.TrainBytes(rows)
		m.Recompute = true // as an earlier call may have left it
		got := Fit(m, l)
		if want := kept > recomputeAbove; m.Recompute != want || got != int64(m.TrainBytes(rows)) || want != (rows >= least) {
			t.Errorf("%d tokens of %d bytes kept: recompute %v, told %d; want %v, %d", rows, kept, m.Recompute, got, want, m.TrainBytes(rows))
		}
		if m.Recompute && got >= int64(kept) {
			t.Errorf("%d tokens: %d bytes with recomputing, %d without", rows, got, kept)
		}
	}
}
