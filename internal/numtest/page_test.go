//go:build unix

package numtest

import (
	"runtime/debug"
	"testing"
	"unsafe"
)

func TestEndOfPage(t *testing.T) {
	for _, n := range []int{0, 1, 1023, 1024, 1025} {
		x := EndOfPage(t, n)
		if len(x) != n {
			t.Fatalf("length %d, want %d", len(x), n)
		}
		for i := range x {
			x[i]++
		}
		if n == 0 {
			continue
		}
		if !faults(func() { sink = beyond(x) }) {
			t.Errorf("%d: the element behind the last is readable", n)
		}
	}
	if h := EndOfPage16(t, 3); len(h) != 3 {
		t.Errorf("length %d, want 3", len(h))
	}
	if b := EndOfPage8(t, 3); len(b) != 3 {
		t.Errorf("length %d, want 3", len(b))
	}
}

func faults(f func()) (faulted bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { faulted = recover() != nil }()
	f()
	return
}

// beyond reads the element behind the last.
func beyond(x []float32) float32 {
	return *(*float32)(unsafe.Add(unsafe.Pointer(&x[len(x)-1]), 4))
}

var sink float32
