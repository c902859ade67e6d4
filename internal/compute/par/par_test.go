package par

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// count notes which parts ran and that no worker did two at once.
type count struct {
	ran  []atomic.Int32
	busy []atomic.Int32
	bad  atomic.Int32
	do   func(i, worker int)
}

func (c *count) Part(i, worker int) {
	if c.busy[worker].Add(1) != 1 {
		c.bad.Add(1)
	}
	c.ran[i].Add(1)
	if c.do != nil {
		c.do(i, worker)
	}
	c.busy[worker].Add(-1)
}

func newCount(p *Pool, parts int) *count {
	return &count{ran: make([]atomic.Int32, parts), busy: make([]atomic.Int32, p.Threads())}
}

func TestEachPartOnce(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 3, 8} {
		p := New(threads)
		for _, parts := range []int{0, 1, 2, 7, 100} {
			c := newCount(p, parts)
			for range 200 {
				p.Run(c, parts)
			}
			for i := range c.ran {
				if n := c.ran[i].Load(); n != 200 {
					t.Fatalf("threads %d: part %d of %d ran %d times, want 200", threads, i, parts, n)
				}
			}
			if c.bad.Load() != 0 {
				t.Fatalf("threads %d: a worker did two parts at once", threads)
			}
		}
		p.Close()
	}
}

// TestSleep lets the workers, and the caller, fall asleep and be woken.
func TestSleep(t *testing.T) {
	p := New(3)
	defer p.Close()
	for range 5 {
		for deadline := time.Now().Add(10 * time.Second); p.sleepers.Load() != 2; {
			if time.Now().After(deadline) {
				t.Fatalf("%d workers sleep after 10 s of nothing, want 2", p.sleepers.Load())
			}
			time.Sleep(patience)
		}
		c := newCount(p, 30)
		c.do = func(i, worker int) {
			if worker != 0 {
				time.Sleep(2 * patience)
			}
		}
		p.Run(c, 30)
		for i := range c.ran {
			if c.ran[i].Load() != 1 {
				t.Fatalf("part %d ran %d times, want once", i, c.ran[i].Load())
			}
		}
	}
}

func TestWorkersTakePart(t *testing.T) {
	p := New(2)
	defer p.Close()
	var other atomic.Bool
	c := newCount(p, 2)
	c.do = func(i, worker int) {
		if worker == 1 {
			other.Store(true)
			return
		}
		for deadline := time.Now().Add(5 * time.Second); !other.Load() && time.Now().Before(deadline); {
			runtime.Gosched()
		}
	}
	p.Run(c, 2)
	if !other.Load() {
		t.Error("the caller did both parts, though each waits for the other")
	}
}

func TestPanicReachesCaller(t *testing.T) {
	p := New(3)
	defer p.Close()
	cause := errors.New("cause")
	for at := range 20 {
		c := newCount(p, 20)
		c.do = func(i, worker int) {
			if i == at {
				panic(cause)
			}
		}
		func() {
			defer func() {
				err, _ := recover().(error)
				if !errors.Is(err, cause) {
					t.Errorf("part %d panicked, the caller got %v", at, err)
				}
			}()
			p.Run(c, 20)
		}()
		c = newCount(p, 20)
		p.Run(c, 20) // the pool is as good as new
		for i := range c.ran {
			if c.ran[i].Load() != 1 {
				t.Fatalf("after a panic, part %d ran %d times, want once", i, c.ran[i].Load())
			}
		}
	}
}

func TestRunInsideRunPanics(t *testing.T) {
	p := New(2)
	defer p.Close()
	c := newCount(p, 4)
	c.do = func(i, worker int) { p.Run(c, 1) }
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	p.Run(c, 4)
}

func TestClosedPoolRuns(t *testing.T) {
	p := New(4)
	p.Close()
	p.Close()
	c := newCount(p, 9)
	p.Run(c, 9)
	for i := range c.ran {
		if c.ran[i].Load() != 1 {
			t.Fatalf("part %d ran %d times, want once", i, c.ran[i].Load())
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p := New(2)
	defer p.Close()
	c := newCount(p, 16)
	if n := testing.AllocsPerRun(200, func() { p.Run(c, 16) }); n != 0 {
		t.Errorf("%v allocations per Run, want 0", n)
	}
}

// TestOthersProgress runs another goroutine while every processor has a worker that waits or works.
func TestOthersProgress(t *testing.T) {
	p := New(runtime.GOMAXPROCS(0))
	defer p.Close()
	c := newCount(p, 8)
	c.do = func(i, worker int) {
		for start := time.Now(); time.Since(start) < 10*time.Microsecond; {
		}
	}
	var turns atomic.Int64
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				turns.Add(1)
				runtime.Gosched()
			}
		}
	}()
	for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
		p.Run(c, 8)
	}
	close(stop)
	if turns.Load() < 5 {
		t.Errorf("another goroutine had %d turns in 200 ms beside the pool", turns.Load())
	}
}

type nothing struct{}

func (nothing) Part(i, worker int) {}

// BenchmarkRun is the price of a job of two empty parts: what a decoding step pays for each barrier.
func BenchmarkRun(b *testing.B) {
	p := New(2)
	defer p.Close()
	for b.Loop() {
		p.Run(nothing{}, 2)
	}
}
