//go:build unix

package numtest

import (
	"syscall"
	"testing"
	"unsafe"
)

// EndOfPage returns n zeroed float32 whose last byte is the last before an unreadable page: a kernel that reads or
// writes one element too far faults at once. The memory is given back when the test ends.
func EndOfPage(t testing.TB, n int) []float32 {
	t.Helper()
	return endOfPage[float32](t, n)
}

// EndOfPage16 is EndOfPage for bf16 and float16 values.
func EndOfPage16(t testing.TB, n int) []uint16 {
	t.Helper()
	return endOfPage[uint16](t, n)
}

// EndOfPage8 is EndOfPage for bytes.
func EndOfPage8(t testing.TB, n int) []byte {
	t.Helper()
	return endOfPage[byte](t, n)
}

func endOfPage[E float32 | uint16 | byte](t testing.TB, n int) []E {
	t.Helper()
	var e E
	size := n * int(unsafe.Sizeof(e))
	page := syscall.Getpagesize()
	readable := (size + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, readable+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("numtest: mmap %d bytes: %v", readable+page, err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Errorf("numtest: munmap: %v", err)
		}
	})
	if err := syscall.Mprotect(mem[readable:], syscall.PROT_NONE); err != nil {
		t.Fatalf("numtest: mprotect: %v", err)
	}
	if n == 0 {
		return []E{}
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&mem[readable-size])), n)
}
