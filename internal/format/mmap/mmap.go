// Package mmap gives the bytes of a file without reading it: the kernel brings pages when they are touched and may drop
// them again, so that a model larger than memory can still be run. Where a platform has no mapping the file is read whole.
//
// It knows nothing of what the bytes mean. Open this file first.
//
// # What a truncated file does
//
// A file that another process shortens after Open leaves pages without bytes behind them, and the CPU faults at the
// first touch. What is promised:
//
//   - ReadAt and whatever runs inside Guard return an error that matches ErrTruncated. The program goes on.
//   - Check tells whether the file still has the length it was opened with. It is a look at one moment.
//   - A touch of Bytes outside Guard ends the program with a fault. Kernels read weights so, because a guard belongs to
//     one goroutine and a worker pool has many: a weight is trusted from the moment it is bound. Files that a program
//     of ours writes are renamed into place and never shortened.
//
// A file that is overwritten in place without being shortened changes the bytes under the reader; nothing can see that.
package mmap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// ErrTruncated is matched by the error of a read that met bytes which the file no longer has.
var ErrTruncated = errors.New("file is shorter than when it was opened")

// A File is a read-only view of a file's bytes as they were counted at Open. Its methods may be called from several
// goroutines, except Close, after which no slice that came from it may be touched.
type File struct {
	path string
	f    *os.File
	data []byte
	// unmap releases data; nil where the bytes were read into memory.
	unmap func([]byte) error
}

// Open maps the regular file at path. Folders, pipes and devices are refused: they have no bytes to map.
func Open(path string) (*File, error) {
	// Looked at before it is opened, since opening a pipe waits for its other end.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("mmap: %s: not a regular file (%s)", path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := open(path, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("mmap: %s: %w", path, err)
	}
	return m, nil
}

func open(path string, f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size()
	if size != int64(int(size)) {
		return nil, fmt.Errorf("%d bytes do not fit in this machine's address space", size)
	}
	m := &File{path: path, f: f}
	if size == 0 { // an empty mapping is an error to the kernel, an empty file is none to us
		return m, nil
	}
	m.data, m.unmap, err = mapFile(f, int(size))
	return m, err
}

// readFile is the mapping of platforms that have none.
func readFile(f *os.File, size int) ([]byte, func([]byte) error, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, nil, err
	}
	return data, nil, nil
}

// Path is the name that the file was opened by.
func (m *File) Path() string { return m.path }

// Bytes is the whole file. The slice is read-only (a write faults) and ends its life at Close.
func (m *File) Bytes() []byte { return m.data }

// Len is the file's length in bytes at Open.
func (m *File) Len() int { return len(m.data) }

// Close unmaps the file. Closing twice is harmless.
func (m *File) Close() error {
	if m.f == nil {
		return nil
	}
	var err error
	if m.unmap != nil {
		err = m.unmap(m.data)
	}
	m.data, m.unmap = nil, nil
	err = errors.Join(err, m.f.Close())
	m.f = nil
	return err
}

// Check returns an error that matches ErrTruncated if the file is shorter now than at Open.
func (m *File) Check() error {
	if m.f == nil {
		return fmt.Errorf("mmap: %s: %w", m.path, os.ErrClosed)
	}
	info, err := m.f.Stat()
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	if info.Size() < int64(len(m.data)) {
		return fmt.Errorf("mmap: %s: %d bytes, had %d: %w", m.path, info.Size(), len(m.data), ErrTruncated)
	}
	return nil
}

// ReadAt is io.ReaderAt over the bytes counted at Open, guarded against truncation.
func (m *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("mmap: %s: offset %d is negative", m.path, off)
	}
	if off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n := min(len(p), int(int64(len(m.data))-off))
	if err := m.Guard(func() { copy(p, m.data[off:]) }); err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Guard calls f and turns a fault inside this mapping into an error that matches ErrTruncated. It sees only what f does
// on the calling goroutine; what f has half done stays so. Any other panic goes on as it was.
func (m *File) Guard(f func()) (err error) {
	if m.unmap == nil { // in memory: nothing can fault
		f()
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch e := recover().(type) {
		case nil:
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			if !m.holds(e.Addr()) {
				panic(e)
			}
			off := e.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
			err = fmt.Errorf("mmap: %s: no byte at %d: %w", m.path, off, ErrTruncated)
		default:
			panic(e)
		}
	}()
	f()
	return nil
}

func (m *File) holds(addr uintptr) bool {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(m.data)))
	return len(m.data) > 0 && addr >= start && addr-start < uintptr(len(m.data))
}
