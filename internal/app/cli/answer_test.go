package cli

import (
	"strings"
	"testing"
	"time"

	"retort/internal/lm/generate"
)

func TestStopper(t *testing.T) {
	for _, c := range []struct {
		stops []string
		parts []string
		want  string
		hit   bool
	}{
		{nil, []string{"a", "b"}, "ab", false},
		{[]string{"stop"}, []string{"a st", "op b"}, "a ", true},
		{[]string{"stop"}, []string{"a st", "ay"}, "a stay", false},
		{[]string{"aab"}, []string{"a", "a", "a", "b", "c"}, "a", true},
		{[]string{"\n\n", "END"}, []string{"x\n", "EN", "D\n\n"}, "x\n", true},
		{[]string{"xyz"}, []string{"xy"}, "xy", false},
		{[]string{"b", "abc"}, []string{"abc"}, "", true},
	} {
		s, got := stopper{stops: c.stops}, ""
		for _, p := range c.parts {
			got += s.write(p)
		}
		got += s.close()
		if got != c.want || s.hit != c.hit {
			t.Errorf("stops %q on %q: %q, %v, want %q, %v", c.stops, c.parts, got, s.hit, c.want, c.hit)
		}
	}
}

// What may be the beginning of a stop text is never shown before it is known.
func TestStopperHoldsBack(t *testing.T) {
	s := stopper{stops: []string{"END"}}
	if got := s.write("a E"); got != "a " {
		t.Errorf("shown %q, want %q", got, "a ")
	}
	if got := s.write("N"); got != "" {
		t.Errorf("shown %q, want nothing", got)
	}
	if got := s.write("X"); got != "ENX" {
		t.Errorf("shown %q, want %q", got, "ENX")
	}
}

// A speed of decoding counts the steps that were timed: of one token, which the prompt gives, there is none.
func TestDecodeRate(t *testing.T) {
	for _, c := range []struct {
		tokens, steps int
		want          float64
	}{{0, 0, 0}, {1, 0, 0}, {2, 1, 2}, {9, 8, 16}, {2, 2, 4}} {
		a := answer{res: generate.Result{Tokens: make([]int32, c.tokens), Decoded: c.steps, Decode: 500 * time.Millisecond}}
		if got := a.result().DecodeTPS; got != c.want {
			t.Errorf("%d tokens in %d steps of half a second: %g tokens/s, want %g", c.tokens, c.steps, got, c.want)
		}
	}
}

func TestDisplay(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	for _, c := range []struct {
		name           string
		terminal, hide bool
		parts          [][2]string // reasoning, content
		want           string
	}{
		{"elsewhere the answer alone", false, false, [][2]string{{"hm", ""}, {"", "42\x1b[1m"}}, "42\x1b[1m\n"},
		{"a terminal", true, false, [][2]string{{"hm, ", ""}, {"well", ""}, {"", "42\x1b[1m"}}, "Thinking…\nhm, well\nThought for 0 s\n\n42\n"},
		{"hidden", true, true, [][2]string{{"hm", ""}, {"", "42"}}, "\r\x1b[2KThinking… 0 s\r\x1b[2KThought for 0 s\n\n42\n"},
		{"no thinking", true, false, [][2]string{{"", "a\n"}}, "a\n"},
		{"cut while thinking", true, false, [][2]string{{"hm\n", ""}}, "Thinking…\nhm\nThought for 0 s\n\n"},
	} {
		var b strings.Builder
		d := &display{w: &b, terminal: c.terminal, hide: c.hide}
		for _, p := range c.parts {
			d.show(p[0], p[1])
		}
		if err := d.end(); err != nil {
			t.Fatal(err)
		}
		if b.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, b.String(), c.want)
		}
	}
}

func TestSetParameter(t *testing.T) {
	o := &runOptions{}
	for _, c := range [][2]string{{"temp", "0.5"}, {"top_k", "7"}, {"top-p", "0.9"}, {"min_p", "0.1"}, {"repeat_penalty", "1.1"}, {"seed", "3"}, {"num_predict", "12"}} {
		if err := o.setParameter(c[0], c[1]); err != nil {
			t.Errorf("%s %s: %v", c[0], c[1], err)
		}
	}
	if s := o.sampler; s.Temperature != 0.5 || s.TopK != 7 || s.TopP != 0.9 || s.MinP != 0.1 || s.RepeatPenalty != 1.1 || s.Seed != 3 || o.max != 12 {
		t.Errorf("options are %+v, n %d", s, o.max)
	}
	for _, c := range []struct{ name, value, want string }{
		{"temp", "hot", `temp is "hot", want a number`}, {"temp", "-1", "temperature is -1, want 0 to 100"}, {"top_p", "2", "top-p is 2"},
		{"n", "-1", "n is -1, want 0 or more"}, {"speed", "1", `no parameter "speed"`}, {"", "", `no parameter ""`},
	} {
		if err := o.setParameter(c.name, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, want %q", c.name, c.value, err, c.want)
		}
	}
	if o.sampler.Temperature != 0.5 || o.max != 12 {
		t.Errorf("a refused value changed the options to %+v, n %d", o.sampler, o.max)
	}
}
