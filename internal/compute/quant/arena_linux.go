package quant

import (
	"fmt"
	"syscall"
	"unsafe"
)

// mapChunk maps anonymous memory of which n bytes from a huge page's start are usable.
func mapChunk(n int) ([]byte, error) {
	b, err := syscall.Mmap(-1, 0, n+hugePage, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("quant: map %d MiB for weights: %w", n>>20, err)
	}
	// Advice: without huge pages all is correct and slower.
	_ = syscall.Madvise(alignHuge(b), syscall.MADV_HUGEPAGE)
	return b, nil
}

// alignHuge returns the whole huge pages of a chunk.
func alignHuge(b []byte) []byte {
	off := -int(uintptr(unsafe.Pointer(&b[0]))) & (hugePage - 1)
	return b[off : off+(len(b)-off)&^(hugePage-1)]
}

func unmapChunk(b []byte) error { return syscall.Munmap(b) }
