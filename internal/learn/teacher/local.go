// Package teacher answers the questions of a task with a model in this process: the teacher that a student learns
// from, and everyone who sits the exam. Answers are bound by the task's schema.
//
// It knows no recipe and no grading. Open form.go first, then this file, then cache.go.
package teacher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"retort/internal/format/gguf"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/session"
)

// Options say what a model is opened for.
type Options struct {
	Adapter string // the folder of a PEFT adapter that goes with the model; "" is none
	Threads int
	Width   int // questions at a time
	Room    int // tokens that the longest question needs with its answer; 0 is the model's context
}

// Local is a model ready to answer.
type Local struct {
	*Form
	host  *session.Host
	model *session.Model
}

// Open loads the model at path, which may be what Look takes.
func Open(ctx context.Context, path string, o Options) (*Local, error) {
	return open(o, func(h *session.Host, so session.Options) (*session.Model, error) { return h.Open(ctx, path, so) })
}

// OpenFile loads a GGUF file that is open. It is closed in the end, and when there is an error.
func OpenFile(ctx context.Context, f *gguf.File, o Options) (*Local, error) {
	return open(o, func(h *session.Host, so session.Options) (*session.Model, error) { return h.OpenFile(ctx, f, so) })
}

func open(o Options, load func(*session.Host, session.Options) (*session.Model, error)) (*Local, error) {
	h := session.NewHost(o.Threads)
	// Room for one question more than there are keeps what they all begin with while the last ones leave.
	m, err := load(h, session.Options{Adapter: o.Adapter, Context: o.Room, Requests: o.Width + 1})
	if err != nil {
		h.Close()
		return nil, err
	}
	return &Local{&Form{m.Form}, h, m}, nil
}

// Close gives everything back.
func (l *Local) Close() { l.host.Close() }

// Answer is what came back.
type Answer struct {
	Text         string
	PromptTokens int
	CachedTokens int // of PromptTokens, those computed for a question before
	AnswerTokens int
	Time         time.Duration // its share: at any moment the questions at work share the time evenly, so that all shares add up to the whole
}

// Ask answers what next gives, at most width questions at a time; each answer is bound by g unless that is nil. done
// gets each answer with the number of its question, in the order in which they are complete. Answers do not depend
// on width.
func (l *Local) Ask(ctx context.Context, g *grammar.Grammar, width int, next func() (Question, bool), done func(i int, a Answer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ended struct {
		i   int
		res session.Result
		err error
	}
	results := make(chan ended, width)
	shares, last := map[int]time.Duration{}, time.Now() // of the questions at work
	share := func() {
		now := time.Now()
		for i := range shares {
			shares[i] += now.Sub(last) / time.Duration(len(shares))
		}
		last = now
	}
	var failed error
	for count, more := 0, true; ; {
		for more && failed == nil && len(shares) < width {
			q, ok := next()
			if more = ok; !ok {
				break
			}
			share()
			a, err := l.start(ctx, q, g)
			if err != nil {
				failed = fmt.Errorf("question %d: %w", count+1, err)
				break
			}
			i := count
			count++
			shares[i] = 0
			go func() {
				res, err := a.Wait()
				results <- ended{i, res, err}
			}()
		}
		if len(shares) == 0 {
			return failed
		}
		if failed != nil {
			cancel()
		}
		r := <-results
		share()
		a := Answer{Text: r.res.Text, PromptTokens: r.res.Usage.Prompt, CachedTokens: r.res.Usage.Cached, AnswerTokens: r.res.Usage.Answer, Time: shares[r.i]}
		delete(shares, r.i)
		var cut *session.CutError
		switch {
		case failed != nil:
		case r.err != nil && ctx.Err() != nil:
			failed = ctx.Err()
		case r.err != nil && !errors.As(r.err, &cut): // what was cut is an answer, which the verifiers and the exam judge
			failed = fmt.Errorf("question %d: %w", r.i+1, r.err)
		default:
			failed = done(r.i, a)
		}
	}
}

// start begins to answer q. The prompt goes as tokens: whatever a template opens, the answer is bound from its first token.
func (l *Local) start(ctx context.Context, q Question, g *grammar.Grammar) (*session.Answer, error) {
	prompt, err := l.Prompt(q)
	if err != nil {
		return nil, err
	}
	return l.model.Start(ctx, session.Request{Tokens: prompt, Max: q.Max, Schema: g,
		Sampler: generate.SamplerOptions{Temperature: q.Temperature, Seed: q.Seed, RepeatPenalty: 1}})
}
