package hub

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// A name is FAMILY or FAMILY:SIZE in ASCII letters, digits, dot, underscore and hyphen. ASCII alone leaves no room for
// Unicode twins; twins by case are refused when a second one would be made.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9][A-Za-z0-9._-]*)?$`)

// maxName keeps NAME-00001-of-00003.gguf.partial.json below the 255 bytes that file systems allow.
const maxName = 180

// checkName says what is wrong with a name for the store.
func checkName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("model name is empty")
	case len(name) > maxName:
		return fmt.Errorf("model name of %d bytes, at most %d", len(name), maxName)
	case !namePattern.MatchString(name):
		return fmt.Errorf("model name %q: want FAMILY or FAMILY:SIZE in letters, digits, '.', '_' and '-'", name)
	case strings.Contains(name, ".."), strings.HasSuffix(name, "."), strings.Contains(name, ".:"):
		return fmt.Errorf("model name %q: a dot must stand before a letter, digit, '_' or '-'", name)
	}
	return nil
}

// canonical is the one spelling of a name: without the file's ending and without the tag that says nothing.
func canonical(name string) string {
	name = strings.TrimSuffix(name, ".gguf")
	return strings.TrimSuffix(name, ":latest")
}

// folder is a name as a folder: a colon is not allowed on every file system, and no name holds an @.
func folder(name string) string { return strings.Replace(name, ":", "@", 1) }

// unfolder is the way back from folder.
func unfolder(dir string) string { return strings.Replace(dir, "@", ":", 1) }

// near chooses at most three names that the user may have meant, the likeliest first.
func near(name string, names []string) []string {
	type scored struct {
		name string
		cost int
	}
	var found []scored
	low := strings.ToLower(name)
	for _, n := range names {
		other := strings.ToLower(n)
		cost := editDistance(low, other)
		switch {
		case cost <= max(1, len(low)/3):
		case len(low) >= 3 && strings.Contains(other, low):
			cost = len(low) // a part of the name: after the misspellings
		default:
			continue
		}
		found = append(found, scored{n, cost})
	}
	sort.Slice(found, func(i, j int) bool {
		if found[i].cost != found[j].cost {
			return found[i].cost < found[j].cost
		}
		return found[i].name < found[j].name
	})
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// editDistance is Levenshtein's: the fewest insertions, deletions and replacements of bytes that turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
