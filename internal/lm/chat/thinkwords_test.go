package chat

import "testing"

func TestParseThinking(t *testing.T) {
	for word, want := range map[string]Options{
		"": {}, "on": {Thinking: ThinkOn}, "true": {Thinking: ThinkOn}, "off": {Thinking: ThinkOff}, "false": {Thinking: ThinkOff},
		"low": {Thinking: ThinkOn, Effort: "low"}, "medium": {Thinking: ThinkOn, Effort: "medium"}, "high": {Thinking: ThinkOn, Effort: "high"},
	} {
		got, err := ParseThinking(word)
		if err != nil || got.Thinking != want.Thinking || got.Effort != want.Effort {
			t.Errorf("%q: %+v (%v), want %+v", word, got, err, want)
		}
	}
	if _, err := ParseThinking("maybe"); err == nil || err.Error() != `"maybe", want on, off, low, medium or high` {
		t.Errorf("maybe: %v", err)
	}
}
