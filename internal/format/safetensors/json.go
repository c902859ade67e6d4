package safetensors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A scanner reads the few forms of JSON that headers have, and makes nothing on the way that the file did not pay for.
// (encoding/json would take the last of two equal keys without a word.)
type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
}

// next skips space and then c, if c is there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.i == len(s.b) || s.b[s.i] != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) expected(what string) error {
	if s.i >= len(s.b) {
		return fmt.Errorf("JSON ends where %s should be", what)
	}
	return fmt.Errorf("JSON has %q at byte %d, want %s", s.b[s.i], s.i, what)
}

// list reads open, values read by each and separated by commas, close.
func (s *scanner) list(open, close byte, each func() error) error {
	if !s.next(open) {
		return s.expected(strconv.QuoteRune(rune(open)))
	}
	if s.next(close) {
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.next(close) {
			return nil
		}
		if !s.next(',') {
			return s.expected("',' or " + strconv.QuoteRune(rune(close)))
		}
	}
}

// object reads an object; value is called for each key and reads what belongs to it.
func (s *scanner) object(value func(key string) error) error {
	return s.list('{', '}', func() error {
		key, err := s.string()
		if err != nil {
			return err
		}
		if !s.next(':') {
			return s.expected("':'")
		}
		return value(key)
	})
}

// string reads a string. Only one with escapes is worth the standard library's work.
func (s *scanner) string() (string, error) {
	if !s.next('"') {
		return "", s.expected("a string")
	}
	start, plain := s.i, true
	for ; s.i < len(s.b) && s.b[s.i] != '"'; s.i++ {
		if s.b[s.i] < ' ' {
			return "", s.expected("a string without control characters")
		}
		if s.b[s.i] == '\\' {
			plain = false
			s.i++
		}
	}
	if s.i >= len(s.b) {
		return "", s.expected("the end of a string")
	}
	s.i++
	if plain {
		return string(s.b[start : s.i-1]), nil
	}
	var text string
	if err := json.Unmarshal(s.b[start-1:s.i], &text); err != nil {
		return "", fmt.Errorf("string at byte %d: %w", start-1, err)
	}
	// Half a surrogate pair, which the reference refuses, becomes U+FFFD. Nobody needs that character in a name.
	if strings.ContainsRune(text, utf8.RuneError) {
		return "", fmt.Errorf("string at byte %d: escapes that are no character", start-1)
	}
	return text, nil
}

// uint reads a number that is a plain non-negative integer below 2⁶³.
func (s *scanner) uint() (uint64, error) {
	s.space()
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	digits := string(s.b[start:min(s.i, start+20)]) // 2⁶³ has 19; no number needs more
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || len(digits) > 1 && digits[0] == '0' {
		s.i = start
		return 0, s.expected("an integer from 0 to 2^63-1")
	}
	return n, nil
}

// skip reads any value and forgets it.
func (s *scanner) skip() error {
	d := json.NewDecoder(bytes.NewReader(s.b[s.i:]))
	var any json.RawMessage
	if err := d.Decode(&any); err != nil {
		return fmt.Errorf("value at byte %d: %w", s.i, err)
	}
	s.i += int(d.InputOffset())
	return nil
}

// end demands that nothing but space is left.
func (s *scanner) end() error {
	s.space()
	if s.i != len(s.b) {
		return s.expected("nothing more")
	}
	return nil
}
