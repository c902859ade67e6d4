package session

import "bytes"

// stopper ends an answer before the first of some texts, of which what may be the beginning is held back until it is
// known. It reads an answer as the vocabulary spells it, so that a stop text may name control tokens, which are not part
// of what is shown, and the marks around reasoning.
type stopper struct {
	stops [][]byte

	held   []byte
	hidden []bool // by byte of held: it is not shown
	out    []byte
	hit    string // the one that came, or ""
}

func newStopper(stops []string) *stopper {
	s := &stopper{}
	for _, stop := range stops {
		s.stops = append(s.stops, []byte(stop))
	}
	return s
}

// write takes a token's text and returns what may be shown of all so far, valid until the next call.
func (s *stopper) write(text []byte, hidden bool) []byte {
	if s.hit != "" {
		return nil
	}
	for _, b := range text {
		s.held, s.hidden = append(s.held, b), append(s.hidden, hidden)
	}
	at := -1
	for _, stop := range s.stops {
		if i := bytes.Index(s.held, stop); i >= 0 && (at < 0 || i < at || i == at && len(stop) > len(s.hit)) {
			at, s.hit = i, string(stop)
		}
	}
	if at >= 0 {
		out := s.release(at)
		s.held, s.hidden = nil, nil
		return out
	}
	keep := 0
	for _, stop := range s.stops {
		keep = max(keep, overlap(s.held, stop))
	}
	return s.release(len(s.held) - keep)
}

// close ends the answer and returns what was held back.
func (s *stopper) close() []byte { return s.release(len(s.held)) }

// release takes n bytes off the front and returns those that are shown.
func (s *stopper) release(n int) []byte {
	s.out = s.out[:0]
	for i, b := range s.held[:n] {
		if !s.hidden[i] {
			s.out = append(s.out, b)
		}
	}
	s.held, s.hidden = append(s.held[:0], s.held[n:]...), append(s.hidden[:0], s.hidden[n:]...)
	return s.out
}

// overlap is the length of the longest end of text that stop begins with, all of stop left out.
func overlap(text, stop []byte) int {
	for n := min(len(text), len(stop)-1); n > 0; n-- {
		if bytes.HasSuffix(text, stop[:n]) {
			return n
		}
	}
	return 0
}
