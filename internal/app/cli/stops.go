package cli

import "strings"

// stopper ends an answer before the first of some texts. What may be the beginning of one is held back until it is
// known.
type stopper struct {
	stops []string
	held  string
	hit   bool // one of them came
}

// write takes more of the answer and returns what may be shown.
func (s *stopper) write(text string) string {
	if s.hit {
		return ""
	}
	s.held += text
	at := -1
	for _, stop := range s.stops {
		if i := strings.Index(s.held, stop); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at >= 0 {
		s.hit = true
		text, s.held = s.held[:at], ""
		return text
	}
	keep := 0
	for _, stop := range s.stops {
		keep = max(keep, overlap(s.held, stop))
	}
	cut := len(s.held) - keep
	text, s.held = s.held[:cut], s.held[cut:]
	return text
}

// close ends the answer and returns what was held back.
func (s *stopper) close() string {
	text := s.held
	s.held = ""
	return text
}

// overlap is the length of the longest end of text that stop begins with.
func overlap(text, stop string) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if strings.HasSuffix(text, stop[:n]) {
			return n
		}
	}
	return 0
}
