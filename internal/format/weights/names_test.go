package weights

import (
	"strings"
	"testing"
)

// TestNamesBothWays: the table gives each name one other, and back.
func TestNamesBothWays(t *testing.T) {
	if len(toHuggingFace) != len(names) || len(fromHuggingFace) != len(names) {
		t.Fatalf("%d names there, %d back, of %d: one is in the table twice", len(toHuggingFace), len(fromHuggingFace), len(names))
	}
	for _, n := range names {
		gguf := strings.Replace(n[0], ".N.", ".17.", 1)
		hf, ok := HuggingFaceName(gguf, 5)
		if want := strings.Replace(strings.Replace(n[1], ".N.", ".17.", 1), ".E.", ".5.", 1); !ok || hf != want {
			t.Errorf("%s is %q there, want %q", gguf, hf, want)
		}
		back, expert, ok := GGUFName(hf)
		want := -1
		if strings.Contains(n[1], ".E.") {
			want = 5
		}
		if !ok || back != gguf || expert != want {
			t.Errorf("%s is %q here, expert %d, want %q, %d", hf, back, expert, gguf, want)
		}
	}
	for _, name := range []string{"", ".", "blk.0.attn_q", "blk.attn_q.weight", "blk.N.attn_q.weight", "blk.-1.attn_q.weight", "blk.01.attn_q.weight",
		"blk.0.0.attn_q.weight", "blk.99999999999999999999.attn_q.weight", "model.layers.0.mlp.experts.gate_proj.weight", "model.layers.E.mlp.gate_proj.weight"} {
		if hf, ok := HuggingFaceName(name, 0); ok {
			t.Errorf("%q is %q there", name, hf)
		}
		if gguf, _, ok := GGUFName(name); ok {
			t.Errorf("%q is %q here", name, gguf)
		}
	}
}
