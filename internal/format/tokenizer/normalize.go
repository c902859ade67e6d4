package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a piece of text before words are cut.
type normalizer func(piece string) string

// hfNormalizer reads the normalizer of a tokenizer.json into the list of its steps.
func hfNormalizer(raw json.RawMessage, depth int) ([]normalizer, error) {
	var n struct {
		Type        string
		Normalizers []json.RawMessage
		Prepend     string
		Pattern     struct{ String *string }
		Content     string
	}
	if isNull(raw) {
		return nil, nil
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("normalizer nested deeper than %d", maxNesting)
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	switch n.Type {
	case "Sequence":
		var all []normalizer
		for _, raw := range n.Normalizers {
			some, err := hfNormalizer(raw, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
		return all, nil
	case "NFC":
		return []normalizer{norm.NFC.String}, nil
	case "NFD":
		return []normalizer{norm.NFD.String}, nil
	case "NFKC":
		return []normalizer{norm.NFKC.String}, nil
	case "NFKD":
		return []normalizer{norm.NFKD.String}, nil
	case "Lowercase":
		return []normalizer{strings.ToLower}, nil
	case "Prepend":
		return []normalizer{func(s string) string {
			if s == "" {
				return s
			}
			return n.Prepend + s
		}}, nil
	case "Replace":
		if n.Pattern.String == nil || *n.Pattern.String == "" {
			return nil, fmt.Errorf("normalizer Replace with a pattern that is no plain text: %.200s", raw)
		}
		return []normalizer{strings.NewReplacer(*n.Pattern.String, n.Content).Replace}, nil
	}
	return nil, fmt.Errorf("unknown normalizer %q; known are Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace", n.Type)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
