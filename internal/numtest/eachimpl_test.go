package numtest

import (
	"slices"
	"testing"

	"retort/internal/compute/cpu"
)

var best, second, other = true, true, true

func init() {
	cpu.Register("numtest-sum/wide", &best)
	cpu.Register("numtest-sum/narrow", &second)
	cpu.Register("numtest-pack/narrow", &other)
}

func TestEachImpl(t *testing.T) {
	second = false // switched off by the user: stays off, and "narrow" is still seen for the other group
	defer func() { second = true }()
	got := map[string][3]bool{}
	var order []string
	EachImpl(t, func(t *testing.T) {
		order = append(order, t.Name()[len("TestEachImpl/"):])
		got[order[len(order)-1]] = [3]bool{best, second, other}
	})
	if want := []string{"wide", "narrow", "generic"}; !slices.Equal(order, want) {
		t.Errorf("ran %v, want %v", order, want)
	}
	for name, want := range map[string][3]bool{"wide": {true, false, false}, "narrow": {false, false, true}, "generic": {}} {
		if got[name] != want {
			t.Errorf("%s: switches %v, want %v", name, got[name], want)
		}
	}
	if !best || second || !other {
		t.Errorf("switches after: %v %v %v, want true false true", best, second, other)
	}
}
