package generate

import (
	"errors"
	"sync"

	"retort/internal/compute/par"
)

// ErrClosed is the error of what is asked of an Engine that was closed, or whose Worker was.
var ErrClosed = errors.New("generate: the model was closed")

// Worker is the one goroutine of a process that computes. It owns the pool of workers and gives each Engine that has
// something to do a step in turn, so any number of models share a machine and none of them needs a lock while it computes.
type Worker struct {
	pool *par.Pool

	mu      sync.Mutex
	work    sync.Cond // something was put in
	engines []*Engine
	calls   []func()
	turn    int // of engines
	closed  bool
	ended   chan struct{}
	after   sync.Mutex // what runs after the end, one at a time
}

// NewWorker starts the goroutine, with a pool of threads workers.
func NewWorker(threads int) *Worker {
	w := &Worker{pool: par.New(threads), ended: make(chan struct{})}
	w.work.L = &w.mu
	go w.serve()
	return w
}

// Threads returns the number of workers.
func (w *Worker) Threads() int { return w.pool.Threads() }

// Do runs f between two steps and returns when it is done: loading a model, measuring. One f runs at a time, after Close too,
// and a panic of f is the caller's. Neither f nor a function of a Request may call Do, nor what waits for it: Close, Score,
// Save, Restore.
func (w *Worker) Do(f func(pool *par.Pool)) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		<-w.ended
		w.after.Lock()
		defer w.after.Unlock()
		f(w.pool)
		return
	}
	done := make(chan any, 1)
	w.calls = append(w.calls, func() {
		defer func() { done <- recover() }()
		f(w.pool)
	})
	w.work.Signal()
	w.mu.Unlock()
	if failure := <-done; failure != nil {
		panic(failure)
	}
}

// Close ends the goroutine and the pool when the step at hand is done. Engines that are still open are closed.
func (w *Worker) Close() {
	w.mu.Lock()
	w.closed = true
	w.work.Signal()
	w.mu.Unlock()
	<-w.ended
	w.pool.Close()
}

// serve is the goroutine.
func (w *Worker) serve() {
	defer close(w.ended)
	for {
		calls, e, ok := w.next()
		for _, f := range calls {
			f()
		}
		if !ok {
			break
		}
		if e != nil {
			e.step()
		}
	}
	w.mu.Lock()
	engines := w.engines
	w.mu.Unlock()
	for _, e := range engines {
		e.shut()
	}
}

// next waits for something to do: calls, and the engine whose turn it is, or nil. It is not ok when the calls are the last.
func (w *Worker) next() (calls []func(), e *Engine, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for range w.engines {
			w.turn = (w.turn + 1) % len(w.engines)
			if x := w.engines[w.turn]; !w.closed && (x.busy || x.poked) {
				e = x
				x.receive()
				break
			}
		}
		calls, w.calls = w.calls, nil
		if w.closed || e != nil || len(calls) > 0 {
			return calls, e, !w.closed
		}
		w.work.Wait()
	}
}
