package distill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"retort/internal/format/atomicfile"
)

// state is state.json: the seconds each phase took over the folder's whole life. A killed run loses at most
// saveEvery of them.
type state struct {
	path    string
	Seconds map[string]float64  `json:"seconds"` // by phase
	Started string              `json:"started"` // RFC 3339
	Hashes  map[string]fileHash `json:"hashes"`  // of large files, by path
	phase   string
	since   time.Time
	saved   time.Time
}

const saveEvery = 3 * time.Second

func openState(path string) (*state, error) {
	s := &state{path: path, Seconds: map[string]float64{}, Hashes: map[string]fileHash{}, Started: time.Now().UTC().Format(time.RFC3339)}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Seconds == nil {
		s.Seconds = map[string]float64{}
	}
	if s.Hashes == nil {
		s.Hashes = map[string]fileHash{}
	}
	return s, nil
}

// fileHash is the SHA-256 of a file as it was at a size and a time: a model of gigabytes is hashed once.
type fileHash struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Time   int64  `json:"time"` // of the last change, in nanoseconds
}

// hash returns the SHA-256 of the file at path.
func (s *state) hash(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	h, ok := s.Hashes[path]
	if ok && h.Size == info.Size() && h.Time == info.ModTime().UnixNano() {
		return h.SHA256, nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return "", err
	}
	s.Hashes[path] = fileHash{sum, info.Size(), info.ModTime().UnixNano()}
	return sum, s.save()
}

// hashFile returns the SHA-256 of the file at path in hexadecimal.
func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// enter starts the clock of a phase.
func (s *state) enter(phase string) {
	s.settle()
	s.phase = phase
}

// settle adds the time since the last call to the phase.
func (s *state) settle() {
	now := time.Now()
	if s.phase != "" {
		s.Seconds[s.phase] += now.Sub(s.since).Seconds()
	}
	s.since = now
}

// tick settles, and saves now and then; units of work call it when they are done.
func (s *state) tick() error {
	s.settle()
	if time.Since(s.saved) < saveEvery {
		return nil
	}
	return s.save()
}

func (s *state) save() error {
	s.settle()
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	s.saved = time.Now()
	return atomicfile.WriteFile(s.path, append(b, '\n'))
}

// spent is the time of all phases.
func (s *state) spent() time.Duration {
	s.settle()
	sum := 0.0
	for _, v := range s.Seconds {
		sum += v
	}
	return time.Duration(sum * float64(time.Second))
}
