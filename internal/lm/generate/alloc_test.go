package generate

import (
	"testing"
)

// TestDecodeDoesNotAllocate: once the pages and buffers are there, a token costs no allocation.
func TestDecodeDoesNotAllocate(t *testing.T) {
	for _, m := range []struct{ name, path string }{{"gqa", stories(t)}, {"mla", writeTiny(t, 6, false)}} {
		t.Run(m.name, func(t *testing.T) {
			for _, batch := range []int{1, 3} {
				e := load(t, m.path, 2, true)
				seqs, tokens, logits := make([]*Sequence, batch), make([]int32, batch), make([][]float32, batch)
				for i := range seqs {
					seqs[i], tokens[i], logits[i] = e.NewSequence(64), int32(5+i), make([]float32, e.Model.Config.Vocab)
					sync(t, seqs[i], randomTokens(e, uint64(i), 20+i))
				}
				step := func() {
					if err := e.Step(seqs, tokens, logits); err != nil {
						t.Fatal(err)
					}
				}
				for range 8 {
					step()
				}
				if n := testing.AllocsPerRun(16, step); n > 0 {
					t.Errorf("%d timelines: %.1f allocations a token", batch, n)
				}
			}
		})
	}
}
