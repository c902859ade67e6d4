//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package mmap

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of f. Shared, so that processes that run one model hold its pages once.
func mapFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err == unix.ENODEV { // file systems that cannot map
		return readFile(f, size)
	}
	return data, unix.Munmap, os.NewSyscallError("mmap", err)
}
