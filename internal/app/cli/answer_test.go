package cli

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"retort/internal/lm/session"
)

// A speed of decoding counts the steps that were timed: of one token, which the prompt gives, there is none.
func TestDecodeRate(t *testing.T) {
	for _, c := range []struct {
		tokens, steps int
		want          float64
	}{{0, 0, 0}, {1, 0, 0}, {2, 1, 2}, {9, 8, 16}, {2, 2, 4}} {
		res := session.Result{Tokens: make([]int32, c.tokens), Timing: session.Timing{Decoded: c.steps, Decode: 500 * time.Millisecond}}
		if got := summary(res).DecodeTPS; got != c.want {
			t.Errorf("%d tokens in %d steps of half a second: %g tokens/s, want %g", c.tokens, c.steps, got, c.want)
		}
	}
}

// A speed of reading counts what was read, and not what was computed before.
func TestReadingRate(t *testing.T) {
	res := session.Result{Usage: session.Usage{Prompt: 10, Cached: 6}, Timing: session.Timing{Prefill: 500 * time.Millisecond}}
	if got := summary(res).PrefillTPS; got != 8 {
		t.Errorf("%g tokens/s, want 8", got)
	}
}

// The answer's first line begins anew behind the thinking.
func TestDisplayWraps(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var b strings.Builder
	d := &display{w: &b, terminal: true, wrap: wrapper{width: 10}}
	d.show("aaaa bbbb cccc", "")
	d.show("", "dddd eeee ffff")
	if want := "Thinking…\naaaa bbbb \ncccc\nThought for 0 s\n\ndddd eeee \nffff"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// What a model is opened with is what the flags say.
func TestOpenOptions(t *testing.T) {
	if _, err := (&modelOptions{threads: 1, cache: "f8"}).open(context.Background(), writeScripted(t)["MARKED"], session.Options{}); err == nil || !strings.Contains(err.Error(), `"f8"`) {
		t.Errorf("cache type f8: error %v", err)
	}
}

// What was read is kept when the user has stopped the answer.
func TestKeepInterrupted(t *testing.T) {
	o := runOptions{modelOptions: modelOptions{threads: 1, cache: "f32"}, promptCache: filepath.Join(t.TempDir(), "kept")}
	m, err := o.open(context.Background(), writeScripted(t)["MARKED"], session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	tokens := m.Encode(strings.Repeat("hello ", 20))
	if _, err := m.Ask(context.Background(), session.Request{Tokens: tokens}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.keep(ctx, m, tokens); err != nil {
		t.Fatal(err)
	}
	if n, err := m.LoadPrompt(context.Background(), o.promptCache); n < len(tokens)-1 || err != nil {
		t.Errorf("%d tokens of %d are kept, %v", n, len(tokens), err)
	}
}

// TestAnswerIsPrintedAnyway: what came is printed whole, whatever becomes of the file that keeps its prompt.
func TestAnswerIsPrintedAnyway(t *testing.T) {
	for _, json := range []bool{false, true} {
		o := runOptions{modelOptions: modelOptions{threads: 1, cache: "f32"}, promptCache: filepath.Join(t.TempDir(), "no", "kept"), json: json}
		m, err := o.open(context.Background(), writeScripted(t)["MARKED"], session.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		var out, note strings.Builder
		err = o.runOnce(context.Background(), m, "hello", &out, &note)
		if err == nil || !strings.Contains(out.String(), "Hi") || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("json %v: %q, error %v", json, out.String(), err)
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
	zero := runOptions{}
	if err := zero.setParameter("top_p", "0"); err != nil || zero.sampler.TopP == 0 { // 0 would be no limit
		t.Errorf("top_p 0: %+v, %v", zero.sampler, err)
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

// The value of --think may be a word of its own, where it is one of its words.
func TestJoinThink(t *testing.T) {
	for _, c := range [][2]string{
		{"run m --think off hello", "run m --think=off hello"},
		{"run --think m hello", "run --think m hello"},
		{"run m hello --think", "run m hello --think"},
		{"run --think=low m off", "run --think=low m off"},
		{"run --think high m --think on", "run --think=high m --think=on"},
		{"run m -- --think off", "run m -- --think off"},
		{"", ""},
	} {
		if got := strings.Join(joinThink(strings.Fields(c[0])), " "); got != c[1] {
			t.Errorf("%q is %q, want %q", c[0], got, c[1])
		}
	}
}

// An answer that was interrupted is printed as far as it came; a part of what a schema wants is not.
func TestInterruptedAnswer(t *testing.T) {
	bound, err := readSchema(`{"const": "yes"}`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	file := writeScripted(t)["MARKED"]
	for name, c := range map[string]struct {
		o    runOptions
		want string
	}{
		"text":   {runOptions{}, "\n"},
		"json":   {runOptions{json: true}, `{"text":"","reasoning":"","tokens":[],"prompt_tokens":20,"finish_reason":"interrupted",`},
		"schema": {runOptions{bound: bound}, ""},
	} {
		c.o.modelOptions = modelOptions{threads: 1, cache: "f32"}
		m, err := c.o.open(context.Background(), file, session.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out, note strings.Builder
		err = c.o.runOnce(ctx, m, "", &out, &note)
		m.close()
		if status(err) != exitInterrupted || !strings.HasPrefix(out.String(), c.want) || c.want == "" && out.Len() > 0 || note.Len() > 0 {
			t.Errorf("%s: %q, note %q, error %v; want %q", name, out.String(), note.String(), err, c.want)
		}
	}
}
