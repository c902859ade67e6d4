// Package teacher answers the questions of a task with a model in this process: the teacher that a student learns
// from, and everyone who sits the exam. Answers are bound by the task's schema.
//
// It knows no recipe and no grading. Open form.go first, then this file, then cache.go.
package teacher

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
	"retort/internal/format/gguf"
	"retort/internal/lm/generate"
	"retort/internal/lm/grammar"
	"retort/internal/lm/model"
)

// Local is a model ready to answer.
type Local struct {
	Name          string
	SHA256        string // of the file
	Params, Bytes int64
	Type          string // how most of it is stored
	License       string // as the file names it, or empty

	*Form

	engine *generate.Engine
	vocab  *grammar.Vocabulary
	worker *generate.Worker
	file   *gguf.File
}

// HashFile returns the SHA-256 of the file at path in hexadecimal.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// OpenFile loads an opened GGUF file, which it closes in the end.
func OpenFile(f *gguf.File, name, sum string, threads int) (*Local, error) {
	l := &Local{Name: name, SHA256: sum, file: f}
	if err := l.load(threads); err != nil {
		l.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

func (l *Local) load(threads int) error {
	var err error
	if l.Form, err = ReadForm(l.file); err != nil {
		return err
	}
	if l.License, err = l.file.StringOr("general.license", ""); err != nil {
		return err
	}
	l.worker = generate.NewWorker(threads)
	var m *model.Model
	l.worker.Do(func(pool *par.Pool) { m, err = model.FromGGUF(l.file, model.LoadOptions{Pool: pool}) })
	if err != nil {
		return err
	}
	l.engine = generate.New(l.worker, m, generate.Options{Cache: op.CacheBF16})
	l.measure()
	tokens := make([][]byte, l.Vocab)
	var ends []int
	for id := range min(len(tokens), l.Tok.Vocab()) {
		if l.Tok.IsEOG(id) {
			ends = append(ends, id)
		} else if !l.Tok.IsSpecial(id) {
			tokens[id] = l.Tok.Bytes(id)
		}
	}
	l.vocab = grammar.NewVocabulary(tokens, ends)
	return nil
}

// measure counts parameters and bytes, and finds the type that most bytes are stored in.
func (l *Local) measure() {
	bytes := map[gguf.Type]int64{}
	for i := range l.file.Tensors {
		t := &l.file.Tensors[i]
		l.Params += int64(t.Elements())
		l.Bytes += t.Size
		bytes[t.Type] += t.Size
	}
	most := int64(0)
	for t, n := range bytes {
		if n > most {
			most, l.Type = n, t.String()
		}
	}
}

// Close gives everything back.
func (l *Local) Close() {
	if l.worker != nil {
		l.worker.Close()
	}
	if l.engine != nil {
		l.engine.Model.Close()
	}
	l.file.Close()
}

// Answer is what came back.
type Answer struct {
	Text         string
	PromptTokens int
	CachedTokens int // of PromptTokens, those computed for a question before
	AnswerTokens int
	Time         time.Duration // its share: at any moment the questions at work share the time evenly, so that all shares add up to the whole
	Finish       generate.Finish
}

// Ask answers what next gives, at most width questions at a time; each answer is bound by g unless that is nil. done
// gets each answer with the number of its question, in the order in which they are complete. Answers do not depend
// on width.
func (l *Local) Ask(ctx context.Context, g *grammar.Grammar, width int, next func() (Question, bool), done func(i int, a Answer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type ended struct {
		i   int
		res generate.Result
		err error
	}
	results := make(chan ended, width)
	sizes, shares, last := map[int]int{}, map[int]time.Duration{}, time.Now()
	share := func() {
		now := time.Now()
		for i := range shares {
			shares[i] += now.Sub(last) / time.Duration(len(shares))
		}
		last = now
	}
	var failed error
	for count, more := 0, true; ; {
		for more && failed == nil && len(sizes) < width {
			q, ok := next()
			if more = ok; !ok {
				break
			}
			prompt, err := l.Prompt(q)
			if err != nil {
				failed = err
				break
			}
			share()
			i := count
			count++
			sizes[i], shares[i] = len(prompt), 0
			j := l.engine.Submit(ctx, l.request(q, prompt, g))
			go func() {
				res, err := j.Wait()
				results <- ended{i, res, err}
			}()
		}
		if len(sizes) == 0 {
			return failed
		}
		if failed != nil {
			cancel()
		}
		r := <-results
		share()
		a := Answer{Text: l.text(r.res.Tokens), PromptTokens: sizes[r.i], CachedTokens: r.res.Reused, AnswerTokens: len(r.res.Tokens), Time: shares[r.i], Finish: r.res.Finish}
		delete(sizes, r.i)
		delete(shares, r.i)
		switch {
		case failed != nil:
		case r.err != nil && ctx.Err() != nil:
			failed = ctx.Err()
		case r.err != nil:
			failed = fmt.Errorf("question %d: %w", r.i+1, r.err)
		default:
			failed = done(r.i, a)
		}
	}
}

func (l *Local) request(q Question, prompt []int32, g *grammar.Grammar) generate.Request {
	req := generate.Request{Prompt: prompt, Max: q.Max, Stop: func(id int32) bool { return l.Tok.IsEOG(int(id)) },
		Sampler: generate.SamplerOptions{Temperature: q.Temperature, Seed: q.Seed, RepeatPenalty: 1}}
	if g != nil {
		req.Mask = g.Start(l.vocab)
	}
	return req
}

func (l *Local) text(tokens []int32) string {
	var text []byte
	for _, id := range tokens {
		text = l.Tok.AppendToken(text, int(id))
	}
	return string(text)
}
