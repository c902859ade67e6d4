package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"retort/internal/format/atomicfile"
	"retort/internal/learn/task"
)

// The roles that a report knows; others may stand beside them.
const (
	RoleTeacher  = "teacher"
	RoleBase     = "base" // the student before training
	RoleStudent  = "student"
	RoleBaseline = "baseline"
	RoleModel    = "model" // one that is examined alone
)

// A Prediction is one line of predictions.jsonl: what one role answered to one item, how it was graded and what it took. Gold is
// null where no gold answer exists; such a line counts for speed and agreement only. Key is the hash of what decided the answer.
type Prediction struct {
	ID           string                `json:"id"`
	Split        string                `json:"split"`
	Role         string                `json:"role"`
	Key          string                `json:"key"`
	PromptSHA256 string                `json:"prompt_sha256"`
	Answer       string                `json:"answer"`
	Gold         task.Fields           `json:"gold"`
	Fields       map[string]task.Grade `json:"fields"`
	Exact        bool                  `json:"exact"`
	Loose        bool                  `json:"loose"`
	PromptTokens int                   `json:"prompt_tokens,omitempty"`
	AnswerTokens int                   `json:"answer_tokens,omitempty"`
	TimeMS       float64               `json:"time_ms"`
}

type key struct{ role, id string }

const maxLine = 16 << 20

// ReadPredictions reads a predictions file. A last line that a crash cut off is left out; any other fault is an error that names its
// line.
func ReadPredictions(path string) ([]Prediction, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out, _, err := scanPredictions(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// scanPredictions also gives the length of what is whole, in bytes.
func scanPredictions(r io.Reader) (out []Prediction, whole int64, err error) {
	seen := map[key]int{}
	whole, err = eachLine(r, func(n int, line []byte) error {
		var p Prediction
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		if p.ID == "" || p.Role == "" {
			return errors.New("no id or no role")
		}
		if first, twice := seen[key{p.Role, p.ID}]; twice {
			return fmt.Errorf("%s %s stands on line %d already", p.Role, p.ID, first)
		}
		seen[key{p.Role, p.ID}] = n
		out = append(out, p)
		return nil
	})
	return out, whole, err
}

// eachLine calls f for each line that is not blank. A last line without its line break that f refuses was cut off by a crash: it ends
// the file, and whole is the length before it.
func eachLine(r io.Reader, f func(n int, line []byte) error) (whole int64, err error) {
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return whole, err
		}
		if len(line) > maxLine {
			return whole, fmt.Errorf("line %d: %d bytes, want at most %d", n, len(line), maxLine)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			bad := f(n, line)
			if bad != nil && err == io.EOF {
				return whole, nil
			}
			if bad != nil {
				return whole, fmt.Errorf("line %d: %w", n, bad)
			}
		}
		whole += int64(len(line))
		if err == io.EOF {
			return whole, nil
		}
	}
}

// RewritePredictions leaves of a predictions file the lines that keep wants, which may change them. The new file is written
// aside and renamed: whenever it fails, the old one stands. Where nothing changes, or there is no file, nothing is written.
func RewritePredictions(path string, keep func(p *Prediction) bool) error {
	before, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	all, _, err := scanPredictions(bytes.NewReader(before))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var after []byte
	for _, p := range all {
		if !keep(&p) {
			continue
		}
		line, err := p.Line()
		if err != nil {
			return err
		}
		after = append(after, line...)
	}
	if bytes.Equal(before, after) {
		return nil
	}
	return atomicfile.WriteFile(path, after)
}

// A PredictionWriter appends to a predictions file, a line at a time, each in one write.
type PredictionWriter struct {
	f    *os.File
	done map[key]Prediction
}

// AppendPredictions opens a predictions file for appending, made if it is not there. What a crash cut off is cut away.
func AppendPredictions(path string) (*PredictionWriter, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	w := &PredictionWriter{f: f, done: map[key]Prediction{}}
	if err := w.resume(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return w, nil
}

func (w *PredictionWriter) resume() error {
	old, whole, err := scanPredictions(w.f)
	if err != nil {
		return err
	}
	for _, p := range old {
		w.done[key{p.Role, p.ID}] = p
	}
	if err := w.f.Truncate(whole); err != nil {
		return err
	}
	if _, err := w.f.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	if whole == 0 {
		return nil
	}
	// A whole last line may lack its line break.
	last := make([]byte, 1)
	if _, err := w.f.ReadAt(last, whole-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err = w.f.Write([]byte{'\n'})
	return err
}

// Done gives what a role already answered to an item.
func (w *PredictionWriter) Done(role, id string) (Prediction, bool) {
	p, ok := w.done[key{role, id}]
	return p, ok
}

// Write appends a prediction.
func (w *PredictionWriter) Write(p Prediction) error {
	if _, ok := w.Done(p.Role, p.ID); ok {
		return fmt.Errorf("predictions: %s %s was written before", p.Role, p.ID)
	}
	line, err := p.Line()
	if err != nil {
		return err
	}
	if _, err := w.f.Write(line); err != nil {
		return err
	}
	w.done[key{p.Role, p.ID}] = p
	return nil
}

// Line is the prediction as its line in the file, with the line break.
func (p Prediction) Line() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // ends each value with a line break
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	return b.Bytes(), nil
}

// Close makes sure that all is on disk.
func (w *PredictionWriter) Close() error {
	return errors.Join(w.f.Sync(), w.f.Close())
}

// A LossPoint is one line of loss.jsonl.
type LossPoint struct {
	Step   int     `json:"step"`
	Loss   float64 `json:"loss"`
	LR     float64 `json:"lr"`
	Tokens int64   `json:"tokens"`
	TimeMS float64 `json:"time_ms"`
}

// readLoss reads loss.jsonl. A step that stands twice, since a resumed run repeated it, counts once.
func readLoss(path string) ([]LossPoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []LossPoint
	_, err = eachLine(f, func(_ int, line []byte) error {
		var p LossPoint
		if err := json.Unmarshal(line, &p); err != nil {
			return err
		}
		for len(out) > 0 && out[len(out)-1].Step >= p.Step {
			out = out[:len(out)-1]
		}
		out = append(out, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
