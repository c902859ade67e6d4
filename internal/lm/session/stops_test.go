package session

import "testing"

func TestStopper(t *testing.T) {
	for _, c := range []struct {
		stops []string
		parts []string // one that begins with \x00 is hidden
		want  string
		hit   string
	}{
		{nil, []string{"a", "b"}, "ab", ""},
		{[]string{"stop"}, []string{"a st", "op b"}, "a ", "stop"},
		{[]string{"stop"}, []string{"a st", "ay"}, "a stay", ""},
		{[]string{"aab"}, []string{"a", "a", "a", "b", "c"}, "a", "aab"},
		{[]string{"\n\n", "END"}, []string{"x\n", "EN", "D\n\n"}, "x\n", "END"},
		{[]string{"xyz"}, []string{"xy"}, "xy", ""},
		{[]string{"b", "abc"}, []string{"abc"}, "", "abc"},
		{[]string{"ab", "abc"}, []string{"xabc"}, "x", "abc"},
		{[]string{"é"}, []string{"a\xc3", "\xa9"}, "a", "é"},
		{[]string{"<end>"}, []string{"a", "\x00<end>", "b"}, "a", "<end>"},
		{[]string{"<end>b"}, []string{"a", "\x00<end>", "c"}, "ac", ""},
		{[]string{"<end>b"}, []string{"a", "\x00<end>", "bc"}, "a", "<end>b"},
		{[]string{"a<"}, []string{"xa", "\x00<end>"}, "x", "a<"},
	} {
		s, got := newStopper(c.stops), ""
		for _, p := range c.parts {
			if p[0] == 0 {
				got += string(s.write([]byte(p[1:]), true))
			} else {
				got += string(s.write([]byte(p), false))
			}
		}
		got += string(s.close())
		if got != c.want || s.hit != c.hit {
			t.Errorf("stops %q on %q: %q, %q, want %q, %q", c.stops, c.parts, got, s.hit, c.want, c.hit)
		}
	}
}

// What may be the beginning of a stop text is never shown before it is known.
func TestStopperHoldsBack(t *testing.T) {
	s := newStopper([]string{"END", "zz"})
	for _, c := range [][2]string{{"a E", "a "}, {"N", ""}, {"X", "ENX"}} {
		if got := string(s.write([]byte(c[0]), false)); got != c[1] {
			t.Errorf("after %q %q is shown, want %q", c[0], got, c[1])
		}
	}
}
