package par

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Waiting has three stages: look and pause, look and yield the processor to other goroutines, sleep. A look that
// succeeds in the first stage costs a tenth of a microsecond; a sleeper costs its waker a futex call and itself
// 5 to 40 microseconds, so that sleeping is for those who have seen nothing for a while.
const (
	looks     = 64                   // looks between two readings of the clock, some microseconds
	yieldEach = 4                    // rounds of looks between two yields: other goroutines wait no longer than this
	patience  = 1 * time.Millisecond // until sleep: longer than any gap between the jobs of one token
)

// sleeper is a place where one goroutine waits for a condition that others bring about.
type sleeper struct {
	asleep atomic.Bool
	wake   chan struct{} // capacity 1: the sender of a token never waits
}

// rouse wakes the sleeper if it sleeps, and says whether it did. Call it after making the condition true.
func (s *sleeper) rouse() bool {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		s.wake <- struct{}{}
		return true
	}
	return false
}

// wait returns when ready does, which must stay true until then.
func (s *sleeper) wait(ready func() bool) { s.waitCounted(ready, nil) }

// waitCounted is wait that keeps count of those who sleep.
//
// Nobody is forgotten: asleep is set before the last look, the waker makes the condition true before it reads asleep,
// and both are sequentially consistent, so at least one of them sees the other.
func (s *sleeper) waitCounted(ready func() bool, sleepers *atomic.Int64) {
	for {
		if spin(ready) {
			return
		}
		if sleepers != nil {
			sleepers.Add(1)
		}
		s.asleep.Store(true)
		if !ready() || !s.asleep.CompareAndSwap(true, false) {
			<-s.wake // the token is sent, or will be
		}
		if sleepers != nil {
			sleepers.Add(-1)
		}
		if ready() {
			return
		}
	}
}

// spin looks until ready or until patience is at its end, and says which.
func spin(ready func() bool) bool {
	var start time.Time
	for round := 0; ; round++ {
		for range looks {
			if ready() {
				return true
			}
			pause()
		}
		switch {
		case round == 0:
			start = time.Now()
		case time.Since(start) > patience:
			return false
		}
		if round%yieldEach == yieldEach-1 {
			runtime.Gosched()
		}
	}
}
