// Package par runs the parts of one job at a time on a fixed set of workers.
//
// It is made for decoding, where a token is hundreds of jobs of some ten microseconds: workers look for the next job
// for about a millisecond before they sleep, a Run allocates nothing, and it never waits for a worker that took no
// part. It knows nothing of what the parts compute. This file holds the pool, wait.go the bounded waiting.
package par

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Job is work cut into parts that may run at the same time.
type Job interface {
	// Part does part i. worker, in 0..Threads()-1, is the one who does it: no two parts run at the same time with
	// the same worker, so it may index scratch memory.
	Part(i, worker int)
}

// Panic is what Run panics with when a part panicked: the part's value and the stack on which it happened.
type Panic struct {
	Value any
	Stack []byte
}

func (p *Panic) Error() string {
	return fmt.Sprintf("par: a part panicked: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns the part's value if it was an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Pool is a set of workers. Its methods may be called from one goroutine at a time.
type Pool struct {
	threads int
	others  []*worker // workers 1..threads-1; worker 0 is the caller of Run

	// The job at hand. Written by Run before left is set, read only by those who have taken a part: a part that was
	// taken and is not yet done keeps Run from returning, so they cannot change under the reader.
	job   Job
	parts int

	running  atomic.Bool
	closed   atomic.Bool
	panicked atomic.Pointer[Panic]
	group    sync.WaitGroup

	// Counters that workers write stand on cache lines of their own.
	_        [64]byte
	left     atomic.Int64 // parts that nobody has taken
	_        [56]byte
	done     atomic.Int64 // parts that are finished
	_        [56]byte
	sleepers atomic.Int64 // workers that must be woken through their channel
	_        [56]byte
	caller   sleeper // Run, waiting for the last parts
}

// worker is the place where one goroutine of the pool sleeps.
type worker struct {
	sleeper
	_ [64]byte
}

// New returns a pool of threads workers, of which threads-1 are goroutines; fewer than one counts as one.
// Close ends them.
func New(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{threads: threads, caller: sleeper{wake: make(chan struct{}, 1)}}
	for range threads - 1 {
		p.others = append(p.others, &worker{sleeper: sleeper{wake: make(chan struct{}, 1)}})
	}
	p.group.Add(threads - 1)
	for i, w := range p.others {
		go p.serve(w, i+1)
	}
	return p
}

// Threads returns the number of workers, the caller of Run included.
func (p *Pool) Threads() int { return p.threads }

// Run does parts 0..parts-1 of j and returns when all are done. Each free worker takes the next part; the caller is
// worker 0. With one part or one thread it is a plain loop in the caller.
//
// If a part panics, no further parts are begun and Run panics with a *Panic. A part must not call Run of its own pool.
func (p *Pool) Run(j Job, parts int) {
	if parts <= 0 {
		return
	}
	if !p.running.CompareAndSwap(false, true) {
		panic("par: Run inside or beside another Run of the same pool")
	}
	if parts == 1 || p.threads == 1 || p.closed.Load() {
		defer p.running.Store(false)
		for i := range parts {
			j.Part(i, 0)
		}
		return
	}
	p.job, p.parts = j, parts
	p.done.Store(0)
	p.left.Store(int64(parts))
	p.wake(parts - 1)
	p.work(0)
	p.caller.wait(p.finished)
	p.job = nil
	failure := p.panicked.Swap(nil)
	p.running.Store(false)
	if failure != nil {
		panic(failure)
	}
}

// Close ends the workers and waits for them. A later Run is a plain loop in its caller.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	for _, w := range p.others {
		w.rouse()
	}
	p.group.Wait()
}

func (p *Pool) finished() bool { return p.done.Load() == int64(p.parts) }

// pending says whether a worker has a reason to leave its waiting.
func (p *Pool) pending() bool { return p.left.Load() > 0 || p.closed.Load() }

// wake rouses up to n sleeping workers.
func (p *Pool) wake(n int) {
	if p.sleepers.Load() == 0 {
		return
	}
	for _, w := range p.others {
		if n == 0 {
			return
		}
		if w.rouse() {
			n--
		}
	}
}

// serve is the life of one worker goroutine.
func (p *Pool) serve(w *worker, id int) {
	defer p.group.Done()
	pending := p.pending
	for {
		w.waitCounted(pending, &p.sleepers)
		if p.closed.Load() {
			return
		}
		p.work(id)
	}
}

// work takes parts until none is left. A part that panics cancels those not yet taken.
func (p *Pool) work(id int) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked.CompareAndSwap(nil, &Panic{v, debug.Stack()})
			p.finish(1 + p.left.Swap(0))
		}
	}()
	for {
		n := p.left.Load()
		if n <= 0 {
			return
		}
		if !p.left.CompareAndSwap(n, n-1) {
			continue
		}
		p.job.Part(p.parts-int(n), id)
		p.finish(1)
	}
}

// finish counts n parts as done and rouses the caller if they were the last.
func (p *Pool) finish(n int64) {
	// parts may be read here: the n parts are not yet counted, so Run has not returned.
	parts := int64(p.parts)
	if p.done.Add(n) == parts {
		p.caller.rouse()
	}
}
