package generate

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"retort/internal/compute/op"
	"retort/internal/compute/par"
)

// slow stops at the first Write until it is let go.
type slow struct {
	begun, goOn chan struct{}
	once        bool
}

func newSlow() *slow { return &slow{begun: make(chan struct{}), goOn: make(chan struct{})} }

func (s *slow) Write(p []byte) (int, error) {
	if !s.once {
		s.once = true
		close(s.begun)
		<-s.goOn
	}
	return len(p), nil
}

// TestSaveHoldsTheCache: a request for which a slow Save leaves no room sleeps until there is some, and is answered then.
func TestSaveHoldsTheCache(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheF32)
	e := newEngine(t, base.w, base.Model, tight(base, 2))
	tokens := randomTokens(e, 1, 127)
	next(t, e, tokens)
	file, saved := newSlow(), make(chan error)
	go func() {
		_, err := e.Save(t.Context(), tokens, file)
		saved <- err
	}()
	<-file.begun
	j := e.Submit(t.Context(), Request{Prompt: randomTokens(e, 2, 100), Max: 3})
	for e.Stats().Preempted == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(30 * time.Millisecond)
	if s := e.Stats(); s.Preempted > 2 || s.Waiting != 1 || s.Running != 0 {
		t.Errorf("%+v, want one that waits: it was tried again and again", s)
	}
	close(file.goOn)
	if err := <-saved; err != nil {
		t.Error(err)
	}
	if res, err := j.Wait(); err != nil || len(res.Tokens) != 3 {
		t.Errorf("%v, %v", res.Tokens, err)
	}
	idle(t, e)
}

// TestStatsTellOfTheAnswer: who has the answer finds it in what the engine did.
func TestStatsTellOfTheAnswer(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	for i := range 30 {
		answer(t, e, Request{Prompt: randomTokens(e, uint64(i), 10), Max: 3, Plain: true})
		if s := e.Stats(); s.Running+s.Waiting > 0 || s.PromptTokens != int64(10*(i+1)) || s.Decoded != int64(2*(i+1)) {
			t.Fatalf("after %d answers: %+v", i+1, s)
		}
	}
}

// isClosed says whether e or its worker are closed, or about to be.
func isClosed(e *Engine) bool {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return e.closed || e.w.closed
}

// TestClosedWhileItComputes: nothing is computed for an engine that was closed, whoever still asks.
func TestClosedWhileItComputes(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	tokens := randomTokens(e, 1, 1200)
	var file bytes.Buffer
	next(t, e, tokens[:100])
	if _, err := e.Save(t.Context(), tokens[:100], &file); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	rows := 0
	err := e.Score(t.Context(), tokens, func(row int, _ []float32) {
		if rows++; row == 3 {
			go func() { e.Close(); close(closed) }()
			for !isClosed(e) {
				time.Sleep(time.Millisecond)
			}
		}
	})
	<-closed
	if err != ErrClosed || rows > 512 {
		t.Errorf("Score of an engine that was closed in the first chunk: %d rows, %v", rows, err)
	}
	if _, err := e.Save(t.Context(), tokens, nil); err != ErrClosed {
		t.Errorf("Save: %v", err)
	}
	if _, err := e.Restore(t.Context(), &file); err != ErrClosed {
		t.Errorf("Restore: %v", err)
	}
}

// TestWorkerClosesWhatComes: an engine that comes while its worker is being closed ends its requests too.
func TestWorkerClosesWhatComes(t *testing.T) {
	e := load(t, stories(t), 1, op.CacheBF16)
	var job *Job
	e.w.Do(func(*par.Pool) {
		go e.w.Close()
		for !isClosed(e) {
			time.Sleep(time.Millisecond)
		}
		job = New(e.w, e.Model, Options{}).Submit(t.Context(), Request{Prompt: []int32{1}})
	})
	if res, err := job.Wait(); !errors.Is(err, ErrClosed) {
		t.Errorf("%d tokens, %v", len(res.Tokens), err)
	}
	for !isClosed(e) || !poolIsClosed(e) {
		time.Sleep(time.Millisecond)
	}
}

// poolIsClosed waits for the worker's goroutine.
func poolIsClosed(e *Engine) bool { <-e.w.ended; return true }

// TestWorkerClosesAtOnce: a worker that is closed ends what is at work and what waits, and does not answer it first.
func TestWorkerClosesAtOnce(t *testing.T) {
	base := load(t, stories(t), 1, op.CacheBF16)
	e := newEngine(t, base.w, base.Model, Options{Slots: 1, Cache: op.CacheBF16})
	begun := make(chan struct{})
	first := true
	jobs := []*Job{
		e.Submit(t.Context(), Request{Prompt: []int32{1}, Token: func(int32) bool {
			if first {
				close(begun)
				first = false
			}
			return true
		}}),
		e.Submit(t.Context(), Request{Prompt: []int32{2}}),
	}
	<-begun
	e.w.Close()
	for i, j := range jobs {
		if !ended(j) {
			t.Fatalf("request %d has no end", i)
		}
		if res, err := j.Wait(); !errors.Is(err, ErrClosed) || i == 0 && len(res.Tokens) == 0 || len(res.Tokens) > 500 {
			t.Errorf("request %d: %d tokens, %v", i, len(res.Tokens), err)
		}
	}
	idle(t, e)
	if e.pages.Free() != e.pages.Capacity() {
		t.Errorf("%d of %d pages are free", e.pages.Free(), e.pages.Capacity())
	}
	e.Close()
	e.w.Close()
	if s := e.Stats(); s.Running+s.Waiting != 0 || s.FreePages != s.Pages {
		t.Errorf("%+v", s)
	}
}

// TestDoIsAlone: what Do runs, it runs one at a time, before the worker is closed and after; its panics are the caller's.
func TestDoIsAlone(t *testing.T) {
	w := NewWorker(2)
	for range 2 {
		var inside, most atomic.Int32
		done := make(chan struct{})
		for range 8 {
			go func() {
				defer func() { done <- struct{}{} }()
				defer func() {
					if v := recover(); v != "mine" {
						t.Errorf("a panic of %v, want mine", v)
					}
				}()
				w.Do(func(*par.Pool) {
					most.Store(max(most.Load(), inside.Add(1)))
					time.Sleep(time.Millisecond)
					inside.Add(-1)
					panic("mine")
				})
			}()
		}
		for range 8 {
			<-done
		}
		if most.Load() != 1 {
			t.Errorf("%d at a time, want 1", most.Load())
		}
		w.Close()
	}
}
