package teacher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"retort/internal/compute/op"
	"retort/internal/lm/grammar"
)

// all asks questions and returns their answers in order.
func all(t *testing.T, l *Local, g *grammar.Grammar, width int, questions ...Question) []Answer {
	t.Helper()
	out, asked := make([]Answer, len(questions)), 0
	done := map[int]bool{}
	err := l.Ask(context.Background(), g, width, func() (Question, bool) {
		if asked == len(questions) {
			return Question{}, false
		}
		asked++
		if asked-len(done) > width {
			t.Errorf("%d questions are at work, want %d at most", asked-len(done), width)
		}
		return questions[asked-1], true
	}, func(i int, a Answer) error {
		if done[i] {
			t.Errorf("question %d is answered twice", i)
		}
		done[i], out[i] = true, a
		return nil
	})
	if err != nil || len(done) != len(questions) {
		t.Fatalf("%d of %d answers, %v", len(done), len(questions), err)
	}
	return out
}

// TestAsk: each answer belongs to its question and is the same however many are asked at a time.
func TestAsk(t *testing.T) {
	var questions []Question
	for i := range 9 {
		questions = append(questions, Question{Text: fmt.Sprintf("number %d, %c", i, "ab"[i%2]), Max: 8})
	}
	for _, width := range []int{1, 4, 20} {
		l := openModel(t, echo, Options{Width: width, Room: 32})
		start := time.Now()
		sum := time.Duration(0)
		for i, a := range all(t, l, compile(t, said), width, questions...) {
			if want := [...]string{`"yes"`, `"no"`}[i%2]; a.Text != want || a.AnswerTokens != 1 || a.PromptTokens != len(questions[i].Text) {
				t.Errorf("width %d, question %d: %+v, want %s of 1 token to %d", width, i, a, want, len(questions[i].Text))
			}
			if i > 0 && width == 1 && a.CachedTokens < len("number ") {
				t.Errorf("question %d: %d tokens were computed before, want what all begin with", i, a.CachedTokens)
			}
			sum += a.Time
		}
		if took := time.Since(start); sum <= 0 || sum > took {
			t.Errorf("width %d: the shares add up to %v of %v", width, sum, took)
		}
	}
}

// TestAskChats: a message is answered through the template, behind a thinking block that is closed: the answer is bound from
// its first token.
func TestAskChats(t *testing.T) {
	chatty := echo
	chatty.Template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|go|>{% endif %}"
	l := openModel(t, chatty, Options{Width: 1})
	if got := all(t, l, compile(t, said), 1, Question{Message: "b", Text: "b", Max: 8})[0]; got.Text != `"yes"` || got.PromptTokens != 2 {
		t.Errorf("%+v, want yes behind the template's end", got)
	}
}

// TestAskCuts: an answer that its bound or the room cuts is an answer like any other, with and without a schema.
func TestAskCuts(t *testing.T) {
	l := openModel(t, echo, Options{Width: 1, Room: 12})
	for _, c := range []struct {
		name string
		g    *grammar.Grammar
		q    Question
		want string
	}{
		{"free", nil, Question{Text: "c", Max: 3}, "………"},
		{"bound", compile(t, `{"type": "string", "minLength": 9}`), Question{Text: `"`, Max: 4}, `"`},
		{"room", nil, Question{Text: "cccccccccc", Max: 9}, "………"}, // the last token needs no room: none follows it
	} {
		got := all(t, l, c.g, 1, c.q)[0]
		if !strings.HasPrefix(got.Text, c.want) || c.g == nil && got.Text != c.want || c.g != nil && got.AnswerTokens != c.q.Max {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
}

// TestAskSamples: a temperature makes answers vary by their seed, and by nothing else.
func TestAskSamples(t *testing.T) {
	l := openModel(t, echo, Options{Width: 4, Room: 32})
	var questions []Question
	for i := range 40 {
		questions = append(questions, Question{Text: "c", Max: 8, Temperature: 5, Seed: uint64(i / 2)})
	}
	seen := map[string]int{}
	answers := all(t, l, compile(t, said), 4, questions...)
	for i, a := range answers {
		if seen[a.Text]++; a.Text != answers[i/2*2].Text {
			t.Errorf("seed %d answers %s and %s", i/2, a.Text, answers[i/2*2].Text)
		}
	}
	if len(seen) != 2 {
		t.Errorf("20 seeds answer %v, want yes and no", seen)
	}
}

// TestAskStops: what ends the asking is returned, nothing is asked behind it, and nothing is left at work.
func TestAskStops(t *testing.T) {
	l := openModel(t, echo, Options{Width: 3, Room: 40})
	enough := errors.New("enough")
	asked, done := 0, 0
	next := func() (Question, bool) { asked++; return Question{Text: "a", Max: 4}, true }
	err := l.Ask(context.Background(), nil, 3, next, func(int, Answer) error { done++; return enough })
	if !errors.Is(err, enough) || done != 1 || asked != 3 {
		t.Errorf("%v after %d answers and %d questions, want 1 and 3", err, done, asked)
	}
	// What else is at work when it ends is given up.
	long := echo
	long.Context = 1 << 20
	endless := openModel(t, long, Options{Width: 2})
	asked = 0
	err = endless.Ask(context.Background(), nil, 2, func() (Question, bool) {
		asked++
		return Question{Text: "ac"[asked-1 : asked], Max: 1 << 13}, true
	}, func(int, Answer) error { return enough })
	if s := endless.model.Engine().Stats(); !errors.Is(err, enough) || asked != 2 || s.Decoded >= 1<<13 || s.Running+s.Waiting != 0 {
		t.Errorf("%v, with %+v", err, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done = 0
	err = l.Ask(ctx, nil, 3, next, func(int, Answer) error { done++; cancel(); return nil })
	if err != context.Canceled { // of no question
		t.Errorf("cancelled: %v", err)
	}
	// A question that cannot be asked is told by its number, when those before it are answered or given up.
	asked = 0
	err = l.Ask(context.Background(), nil, 1, func() (Question, bool) {
		asked++
		return Question{Text: strings.Repeat("a", []int{1, 50, 1}[asked-1]), Max: 4}, asked <= 3
	}, func(int, Answer) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "question 2: ") || asked != 2 {
		t.Errorf("a prompt beyond the room: %v after %d questions", err, asked)
	}
}

// TestRoom: a model has room for the questions at work, and not for its whole context.
func TestRoom(t *testing.T) {
	wide := echo
	wide.Context = 1 << 20
	for _, c := range []struct{ width, room, pages int }{{1, 64, 2}, {3, 65, 4 * 2}, {9, 200, 10 * 4}} {
		l := openModel(t, wide, Options{Width: c.width, Room: c.room})
		all(t, l, nil, c.width, Question{Text: "a", Max: 4})
		e := l.model.Engine()
		if s := e.Stats(); l.model.Limit() != c.room || s.Pages != c.pages {
			t.Errorf("width %d, room %d: %d pages of %d positions and a limit of %d, want %d pages", c.width, c.room, s.Pages, op.Page, l.model.Limit(), c.pages)
		}
	}
}

// TestOpenRefuses: a model that will not open leaves nothing at work, which TestMain sees.
func TestOpenRefuses(t *testing.T) {
	if _, err := Open(context.Background(), "nowhere.gguf", Options{Threads: 1}); err == nil {
		t.Error("no file opens")
	}
	if _, err := Open(context.Background(), write(t, echo, nil), Options{Threads: 1, Adapter: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "adapter") {
		t.Errorf("an empty adapter: %v", err)
	}
}
