package atomicfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

func TestSection(t *testing.T) {
	fill := func(sizes ...int) func(io.Writer) error {
		return func(w io.Writer) error {
			for _, n := range sizes {
				if _, err := w.Write(make([]byte, n)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, c := range []struct {
		sizes []int
		want  string // error
		wrote int
	}{
		{[]int{3, 0, 5}, "", 8},
		{[]int{3, 4}, "7 bytes written, want 8", 7},
		{[]int{3, 6}, "1 bytes more than the shape needs", 3},
		{nil, "0 bytes written, want 8", 0},
	} {
		var b bytes.Buffer
		err := Section(context.Background(), &b, 8, fill(c.sizes...))
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want || b.Len() != c.wrote {
			t.Errorf("%v: %d bytes, error %v, want %d, %q", c.sizes, b.Len(), err, c.wrote, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var b bytes.Buffer
	if err := Section(ctx, &b, 8, fill(8)); !errors.Is(err, context.Canceled) || b.Len() != 0 {
		t.Errorf("cancelled: %d bytes, error %v", b.Len(), err)
	}
}
