package limit

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve returns zeroed memory outside of the Go heap, on huge pages where the system gives them: with small ones the
// look-up of addresses is what is measured.
func reserve(size int) (mem []float32, free func(), err error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("limit: %d bytes of memory: %w", size, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // a wish
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), size/4), func() { _ = unix.Munmap(b) }, nil
}
