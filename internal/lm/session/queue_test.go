package session

import (
	"fmt"
	"testing"
)

// Who reads late gets everything, joined; probabilities stay apart.
func TestQueueJoins(t *testing.T) {
	q := newQueue()
	for i := range 3 {
		q.push(Event{Kind: Progress, Done: i, Total: 3})
	}
	for _, text := range []string{"a", "b"} {
		q.push(Event{Kind: Reasoning, Text: text})
	}
	for i := range 2 {
		q.push(Event{Kind: Content, Text: fmt.Sprint(i)})
	}
	for i := range int32(2) {
		q.push(Event{Kind: Logprob, Token: Token{Choice: Choice{ID: i}}})
	}
	for _, call := range []int{0, 0, 1} {
		q.push(Event{Kind: CallArguments, Text: "x", Call: call})
	}
	q.close()
	var got []string
	for e, ok := q.next(); ok; e, ok = q.next() {
		got = append(got, fmt.Sprintf("%d %s %d %d", e.Kind, e.Text, e.Done, e.Token.ID))
	}
	want := fmt.Sprint([]string{fmt.Sprintf("%d  2 0", Progress), "0 ab 0 0", "1 01 0 0", fmt.Sprintf("%d  0 0", Logprob), fmt.Sprintf("%d  0 1", Logprob), fmt.Sprintf("%d xx 0 0", CallArguments), fmt.Sprintf("%d x 0 0", CallArguments)})
	if s := fmt.Sprint(got); s != want {
		t.Errorf("events %s, want %s", s, want)
	}
	if _, ok := q.next(); ok {
		t.Error("an event behind the last")
	}
}
