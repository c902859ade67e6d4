// Package receipts knows the layout of the SROIE receipts on disk and what a receipt says about itself: which amount its own
// arithmetic supports, which line names the company, and what plain regular expressions find. Open total.go first.
package receipts

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"retort/internal/format/atomicfile"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxFile = 1 << 20

// ReadText gives the recognised lines of receipt id in reading order, joined by line breaks, from DIR/box/ID.csv.
func ReadText(dir, id string) (string, error) {
	path := filepath.Join(dir, "box", id+".csv")
	b, err := atomicfile.ReadFile(path, maxFile)
	if err != nil {
		return "", err
	}
	text, err := ParseBox(b)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// ParseBox reads lines of eight corner coordinates and a text that may itself hold commas. Empty texts are dropped.
func ParseBox(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errors.New("not UTF-8")
	}
	var lines []string
	for i, line := range strings.Split(strings.TrimPrefix(string(b), "\ufeff"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" {
			continue
		}
		parts := strings.SplitN(line, ",", 9)
		if len(parts) < 9 {
			return "", fmt.Errorf("line %d: %d commas, want at least 8", i+1, len(parts)-1)
		}
		for _, n := range parts[:8] {
			if _, err := strconv.Atoi(strings.TrimSpace(n)); err != nil {
				return "", fmt.Errorf("line %d: coordinate %.20q, want a whole number", i+1, n)
			}
		}
		if text := strings.TrimSpace(parts[8]); text != "" {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n"), nil
}

// ReadGold gives the gold fields of receipt id from DIR/key/ID.json. A field that is missing there is missing here.
func ReadGold(dir, id string) (map[string]string, error) {
	path := filepath.Join(dir, "key", id+".json")
	b, err := atomicfile.ReadFile(path, maxFile)
	if err != nil {
		return nil, err
	}
	var fields map[string]string
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return fields, nil
}
