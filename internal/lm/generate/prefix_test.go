package generate

import (
	"slices"
	"testing"

	"retort/internal/compute/op"
)

// TestTreeKeepsTheLonger: of pages that are not full the longest of those that begin alike stays, and their pages go back.
func TestTreeKeepsTheLonger(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheF32)
	tokens := randomTokens(e, 1, op.Page)
	other := slices.Concat(tokens[:5], []int32{(tokens[5] + 1) % 512, 3})
	byHand(e, func(func()) {
		for _, c := range []struct {
			tokens []int32
			nodes  int
		}{{tokens[:10], 1}, {tokens[:8], 1}, {tokens[:10], 1}, {tokens[:20], 1}, {other, 2}, {tokens, 2}, {tokens[:30], 2}} {
			e.tree.touch(nil) // time passes
			pg := e.pages.Take()
			n := e.tree.insert(nil, c.tokens, pg)
			e.pages.Release(pg)
			if len(e.tree.all) != c.nodes || e.pages.Capacity()-e.pages.Free() != c.nodes {
				t.Errorf("after %d tokens: %d nodes and %d pages, want %d", len(c.tokens), len(e.tree.all), e.pages.Capacity()-e.pages.Free(), c.nodes)
			}
			if n.used != e.tree.clock {
				t.Errorf("the node of %d tokens was not used last", len(c.tokens))
			}
			if commonPrefix(n.tokens, c.tokens) != len(c.tokens) {
				t.Errorf("the node of %d tokens has %d", len(c.tokens), len(n.tokens))
			}
		}
		if n, pg := e.tree.partial(nil, tokens[:12]); n != 12 || pg == nil {
			t.Errorf("%d of 12 tokens are found", n)
		}
	})
	idle(t, e)
}
