package generate

import "testing"

// The prompt gives the first token, so that n tokens take n-1 steps, and a stop token the step that it came from.
func TestSteps(t *testing.T) {
	e := load(t, writeTiny(t, 5, false), 1, false)
	prompt := randomTokens(e, 2, 8)
	answer := func(req Request) Result {
		t.Helper()
		req.Prompt = prompt
		res, err := e.NewSequence(32).Generate(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	for _, n := range []int{1, 2, 5} {
		if res := answer(Request{Max: n}); len(res.Tokens) != n || res.Steps != n-1 {
			t.Errorf("%d tokens at most: %d tokens in %d steps, want %d in %d", n, len(res.Tokens), res.Steps, n, n-1)
		}
	}
	count := 0
	third := func(int32) bool { count++; return count == 3 }
	if res := answer(Request{Stop: third}); len(res.Tokens) != 2 || res.Steps != 2 {
		t.Errorf("the third token stops: %d tokens in %d steps, want 2 in 2", len(res.Tokens), res.Steps)
	}
}
