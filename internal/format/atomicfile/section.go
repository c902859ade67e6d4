package atomicfile

import (
	"context"
	"fmt"
	"io"
)

// Section lets write fill exactly size bytes of w: a byte more or fewer is an error, and so is the next byte after ctx
// is cancelled. The formats use it for tensors, whose place is fixed before their bytes are made.
func Section(ctx context.Context, w io.Writer, size int64, write func(io.Writer) error) error {
	s := &section{ctx, w, size}
	if err := write(s); err != nil {
		return err
	}
	if s.left != 0 {
		return fmt.Errorf("%d bytes written, want %d", size-s.left, size)
	}
	return ctx.Err()
}

type section struct {
	ctx  context.Context
	w    io.Writer
	left int64
}

func (s *section) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > s.left {
		return 0, fmt.Errorf("%d bytes more than the shape needs", int64(len(p))-s.left)
	}
	n, err := s.w.Write(p)
	s.left -= int64(n)
	return n, err
}
