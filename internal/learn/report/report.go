// Package report turns the predictions of an exam into figures, a verdict in words, report.json and report.html.
//
// It refuses to know models and pipelines: everything is computed anew from predictions.jsonl, manifest.json and, where it is
// there, loss.jsonl, so that anyone can check a report with the files beside it. Open figures.go first, then verdict.go.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// The files of a run that a report reads and writes.
const (
	PredictionsFile = "predictions.jsonl"
	ManifestFile    = "manifest.json"
	LossFile        = "loss.jsonl"
	JSONFile        = "report.json"
	HTMLFile        = "report.html"
)

// Build reads the run in dir, writes report.json and report.html there, and returns what they say.
func Build(dir string) (*Report, error) {
	r, err := Compute(dir)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	page, err := renderHTML(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, JSONFile), append(b, '\n')); err != nil {
		return nil, err
	}
	return r, WriteFile(filepath.Join(dir, HTMLFile), page)
}

// Compute gives all figures of the run in dir.
func Compute(dir string) (*Report, error) {
	m, err := ReadManifest(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, err
	}
	predictions, err := ReadPredictions(filepath.Join(dir, PredictionsFile))
	if err != nil {
		return nil, err
	}
	if m.Exam != nil {
		predictions = slices.DeleteFunc(predictions, func(p Prediction) bool { return !slices.Contains(m.Exam, p.ID) })
	}
	loss, err := readLoss(filepath.Join(dir, LossFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return figures(m, predictions, loss), nil
}

// WriteFile writes a file aside and renames it, so that its name never shows half of it.
func WriteFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once renamed
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
