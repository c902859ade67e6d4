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
	pool   *par.Pool
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
	l.pool = par.New(threads)
	m, err := model.FromGGUF(l.file, model.LoadOptions{Pool: l.pool})
	if err != nil {
		return err
	}
	l.engine = generate.New(m, l.pool, !m.Float32)
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
	if l.engine != nil {
		l.engine.Model.Close()
	}
	if l.pool != nil {
		l.pool.Close()
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
func (l *Local) Ask(ctx context.Context, g *grammar.Grammar, width, ctxTokens int, next func() (Question, bool), done func(i int, a Answer) error) error {
	seqs := make([]*generate.Sequence, width)
	for i := range seqs {
		seqs[i] = l.engine.NewSequence(ctxTokens)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sizes, shares, last := map[int]int{}, map[int]time.Duration{}, time.Now()
	share := func() {
		now := time.Now()
		for i := range shares {
			shares[i] += now.Sub(last) / time.Duration(len(shares))
		}
		last = now
	}
	count := 0
	err := l.engine.GenerateAll(ctx, seqs, func() (generate.Request, bool) {
		q, ok := next()
		if !ok {
			return generate.Request{}, false
		}
		prompt, err := l.Prompt(q)
		if err != nil {
			cancel(err)
			return generate.Request{}, false
		}
		share()
		sizes[count], shares[count] = len(prompt), 0
		count++
		req := generate.Request{Prompt: prompt, Max: q.Max, Stop: func(id int32) bool { return l.Tok.IsEOG(int(id)) },
			Sampler: generate.SamplerOptions{Temperature: q.Temperature, Seed: q.Seed, RepeatPenalty: 1}}
		if g != nil {
			req.Mask = g.Start(l.vocab)
		}
		return req, true
	}, func(i int, r generate.Result) {
		share()
		if r.Err != nil {
			cancel(fmt.Errorf("question %d: %w", i+1, r.Err))
			return
		}
		var text []byte
		for _, id := range r.Tokens {
			text = l.Tok.AppendToken(text, int(id))
		}
		a := Answer{Text: string(text), PromptTokens: sizes[i], CachedTokens: r.Reused, AnswerTokens: len(r.Tokens), Time: shares[i], Finish: r.Finish}
		delete(sizes, i)
		delete(shares, i)
		if err := done(i, a); err != nil {
			cancel(err)
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
