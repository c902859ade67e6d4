package atomicfile

import (
	"fmt"
	"io"
	"os"
)

// ReadFile returns the content of the file at path, which has at most `most` bytes. A longer one is an error that gives its
// size and the bound; of what has no size, such as a pipe, no more than the bound is read. A file that is not there stays
// fs.ErrNotExist.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > most {
		return nil, fmt.Errorf("%s: has %d bytes, want at most %d", path, info.Size(), most)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s: has more than %d bytes, the most that is read", path, most)
	}
	return b, nil
}
