package generate

import (
	"testing"

	"retort/internal/compute/op"
)

// The prompt gives the first token, so that n tokens take n-1 steps, and a stop token the step that it came from.
func TestSteps(t *testing.T) {
	e := load(t, writeTiny(t, 5, false), 1, op.CacheF32)
	prompt := randomTokens(e, 2, 8)
	plain := func(req Request) Result {
		req.Prompt, req.Plain = prompt, true
		return answer(t, e, req)
	}
	for _, n := range []int{1, 2, 5} {
		if res := plain(Request{Max: n}); len(res.Tokens) != n || res.Steps != n-1 || res.Decoded != n-1 {
			t.Errorf("%d tokens at most: %d tokens in %d steps, want %d in %d", n, len(res.Tokens), res.Steps, n, n-1)
		}
	}
	count := 0
	third := func(int32) bool { count++; return count == 3 }
	if res := plain(Request{Stop: third}); len(res.Tokens) != 2 || res.Steps != 2 || res.Decoded != 2 {
		t.Errorf("the third token stops: %d tokens in %d steps, want 2 in 2", len(res.Tokens), res.Steps)
	}
}
