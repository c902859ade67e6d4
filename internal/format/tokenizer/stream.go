package tokenizer

import "unicode/utf8"

// A Stream turns tokens into text one after another. A token may end inside a UTF-8 sequence; the stream holds such bytes
// back until the sequence is whole, so that everything it returns may be shown or sent. The zero value is ready.
type Stream struct {
	held []byte
}

// Next returns the text that bytes, a token's, complete. What cannot become UTF-8 any more is U+FFFD, one for each byte.
func (s *Stream) Next(bytes []byte) string {
	s.held = append(s.held, bytes...)
	whole := len(s.held) - pending(s.held)
	text := repair(string(s.held[:whole]))
	s.held = append(s.held[:0], s.held[whole:]...)
	return text
}

// Flush ends the text: what was held back is U+FFFD, one for each byte.
func (s *Stream) Flush() string {
	text := repair(string(s.held))
	s.held = s.held[:0]
	return text
}

// pending is how many bytes at the end of b are the start of a sequence that further bytes could complete.
func pending(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		tail := b[len(b)-n:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}
