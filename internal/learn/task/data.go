package task

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"retort/internal/learn/task/ledger"
	"retort/internal/learn/task/receipts"
)

// readData fills the splits from where the recipe says they are.
func (t *Task) readData(dir string) error {
	t.items = map[string][]Item{}
	read := map[string]func(split, what, dir string, gold bool) ([]Item, error){
		"jsonl": t.readJSONL, "sroie": t.readSROIE, "": t.generate,
	}[t.Recipe.Data.Format]
	s := t.Recipe.Splits
	for _, part := range []struct{ split, what string }{{Train, s.Train}, {Dev, s.Dev}, {Val, s.Val}} {
		if part.what == "" {
			t.items[part.split] = nil
			continue
		}
		items, err := read(part.split, part.what, dir, part.split != Train)
		if err != nil {
			return fmt.Errorf("splits.%s: %w", part.split, err)
		}
		t.items[part.split] = items
	}
	if err := t.checkDisjoint(); err != nil {
		return err
	}
	t.hashData()
	return nil
}

// checkDisjoint refuses an id that stands twice, in one split or in two.
func (t *Task) checkDisjoint() error {
	seen := map[string]string{}
	for _, split := range []string{Train, Dev, Val} {
		for _, it := range t.items[split] {
			if other, ok := seen[it.ID]; ok {
				return fmt.Errorf("splits: item %q is in %s and in %s", it.ID, other, split)
			}
			seen[it.ID] = split
		}
	}
	return nil
}

// generate writes a split of generated data; what is the count.
func (t *Task) generate(split, what, _ string, gold bool) ([]Item, error) {
	n, err := strconv.Atoi(what)
	if err != nil || n < 0 || n > 1e6 {
		return nil, fmt.Errorf("count %q, want 0 to 1000000", what)
	}
	return t.Generate(split, t.Recipe.Data.Seed, n, gold)
}

// SplitTeacher is the generator's own pool for making a built-in teacher. It shares no combination with another split.
const SplitTeacher = ledger.Teacher

// Generate writes n items of a generated recipe from a seed of the caller's, with or without gold.
func (t *Task) Generate(split string, seed uint64, n int, gold bool) ([]Item, error) {
	if t.Recipe.Data.Generated == "" {
		return nil, fmt.Errorf("task %s: its data is not generated", t.Recipe.Name)
	}
	samples, err := ledger.Generate(seed, split, n)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(samples))
	for i, s := range samples {
		items[i] = Item{ID: s.ID, Split: split, Text: s.Text}
		if gold {
			items[i].Gold = s.Entry.Fields()
		}
	}
	return items, nil
}

// readSROIE reads receipts by number; what is a range such as 000-349.
func (t *Task) readSROIE(split, what, dir string, gold bool) ([]Item, error) {
	low, high, ok := strings.Cut(what, "-")
	a, err1 := strconv.Atoi(low)
	b, err2 := strconv.Atoi(high)
	if !ok || err1 != nil || err2 != nil || a < 0 || b < a || b > 9999 {
		return nil, fmt.Errorf("range %q, want NNN-NNN", what)
	}
	var items []Item
	for n := a; n <= b; n++ {
		id := fmt.Sprintf("%03d", n)
		text, err := receipts.ReadText(dir, id)
		if errors.Is(err, os.ErrNotExist) && len(items) > 0 {
			continue // numbers may be missing, but not the first: then the folder is the wrong one
		}
		if err != nil {
			return nil, err
		}
		it := Item{ID: id, Split: split, Text: text}
		if gold {
			values, err := receipts.ReadGold(dir, id)
			if err != nil {
				return nil, err
			}
			it.Gold = values
		}
		items = append(items, it)
	}
	return items, nil
}

const maxLine = 4 << 20

// readJSONL reads {"id": …, "text": …, "gold": {…}} a line; id is the line's number where it is missing, gold may be missing.
func (t *Task) readJSONL(split, what, dir string, gold bool) ([]Item, error) {
	if !filepath.IsLocal(what) {
		return nil, fmt.Errorf("file %q, want one inside the data folder", what)
	}
	f, err := os.Open(filepath.Join(dir, what))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return t.scanJSONL(f, split, what, gold)
}

func (t *Task) scanJSONL(r io.Reader, split, name string, gold bool) ([]Item, error) {
	var items []Item
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		var line struct {
			ID   string          `json:"id"`
			Text *string         `json:"text"`
			Gold json.RawMessage `json:"gold"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if line.Text == nil {
			return nil, fmt.Errorf("%s:%d: no text", name, n)
		}
		it := Item{ID: line.ID, Split: split, Text: *line.Text}
		if it.ID == "" {
			it.ID = fmt.Sprintf("%s-%d", split, n)
		}
		if gold && len(line.Gold) > 0 && string(line.Gold) != "null" {
			fields, err := ParseAnswer(t.FieldNames(), string(line.Gold))
			if err != nil {
				return nil, fmt.Errorf("%s:%d: gold: %w", name, n, err)
			}
			it.Gold = fields
		}
		items = append(items, it)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return items, nil
}
