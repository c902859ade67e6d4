package par

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestPanicCancels: once a part has panicked no worker begins another, but the one that it was about to take.
func TestPanicCancels(t *testing.T) {
	p := New(3)
	defer p.Close()
	const parts = 200
	var panicked atomic.Bool
	c := newCount(p, parts)
	c.do = func(i, _ int) {
		if panicked.CompareAndSwap(false, true) {
			panic("the first")
		}
		time.Sleep(2 * time.Millisecond) // until the rest is cancelled
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		p.Run(c, parts)
	}()
	begun := 0
	for i := range c.ran {
		begun += int(c.ran[i].Load())
	}
	if begun > parts/2 {
		t.Errorf("%d of %d parts were begun", begun, parts)
	}
}

// TestSleeperWhoFoundItself: one that sees at its last look that it need not sleep is nobody that must be woken.
func TestSleeperWhoFoundItself(t *testing.T) {
	s := sleeper{wake: make(chan struct{}, 1)}
	var sleepers atomic.Int64
	ready := false // from its last look on
	s.waitCounted(func() bool {
		ready = ready || s.asleep.Load()
		return ready
	}, &sleepers)
	if s.asleep.Load() || len(s.wake) != 0 || sleepers.Load() != 0 {
		t.Errorf("asleep %v, %d tokens, %d sleepers", s.asleep.Load(), len(s.wake), sleepers.Load())
	}
	if s.rouse() {
		t.Error("was roused though it does not sleep")
	}
}
