package chat

import (
	"fmt"
	"slices"
	"strings"
)

// ThinkWords are what people say of thinking: on, off, or with how much effort.
var ThinkWords = []string{"on", "off", "low", "medium", "high"}

// ParseThinking returns the options that one of ThinkWords stands for; "" leaves it to the template, and true and false are
// on and off. Its error begins with the word.
func ParseThinking(word string) (Options, error) {
	switch word {
	case "":
		return Options{}, nil
	case "on", "true":
		return Options{Thinking: ThinkOn}, nil
	case "off", "false":
		return Options{Thinking: ThinkOff}, nil
	}
	if !slices.Contains(ThinkWords, word) {
		return Options{}, fmt.Errorf("%q, want %s or %s", word, strings.Join(ThinkWords[:4], ", "), ThinkWords[4])
	}
	return Options{Thinking: ThinkOn, Effort: word}, nil
}
