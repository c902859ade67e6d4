// Package ledger writes bookkeeping sentences in English and Chinese together with the ledger entry that each describes.
//
// All of it is generated: no sentence was written by a person for a purpose, and a report on it says so. The same seed and
// split give the same samples for ever; a test holds their hash. Open this file first, then frames.go.
package ledger

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
)

// An Entry is the ledger entry that a sentence describes.
type Entry struct {
	Date     string // YYYY-MM-DD
	Debit    string // account
	Credit   string // account
	Amount   string // two decimals, tax included
	Currency string // USD, EUR, GBP, CNY, HKD
	Party    string // supplier, customer or lender, as written
}

// Fields gives the entry by field name.
func (e Entry) Fields() map[string]string {
	return map[string]string{
		"date": e.Date, "debit": e.Debit, "credit": e.Credit, "amount": e.Amount, "currency": e.Currency, "party": e.Party,
	}
}

// A Sample is one sentence and its entry.
type Sample struct {
	ID    string
	Text  string
	Entry Entry

	combination string // of frame, thing and party: belongs to one split
}

// The splits. Teacher is the pool on which a built-in teacher learns; students and exams never see it.
const (
	Teacher = "teacher"
	Train   = "train"
	Dev     = "dev"
	Val     = "val"
)

// shares gives each split its part of all combinations of frame, thing and party, out of 20. A combination belongs to one split
// whatever the seed.
var shares = []struct {
	split string
	below uint32
}{{Teacher, 11}, {Train, 15}, {Dev, 16}, {Val, 20}}

func splitOf(combination string) string {
	h := fnv.New32a()
	h.Write([]byte(combination))
	// The low bits of FNV-1a hang on the last bytes alone; fold the high ones in.
	x := h.Sum32()
	x ^= x >> 15
	x *= 0x2c1b3c6d
	x ^= x >> 12
	for _, s := range shares {
		if x%20 < s.below {
			return s.split
		}
	}
	panic("ledger: shares do not reach 20")
}

// Generate writes n samples of a split from a seed. No two have the same text, and none shares its combination of frame, thing
// and party with a sample of another split, of any seed.
func Generate(seed uint64, split string, n int) ([]Sample, error) {
	known := false
	h := fnv.New64a()
	h.Write([]byte(split))
	for _, s := range shares {
		known = known || s.split == split
	}
	if !known {
		return nil, fmt.Errorf("ledger: no split %q, want teacher, train, dev or val", split)
	}
	if n < 0 || n > 1_000_000 {
		return nil, fmt.Errorf("ledger: %d samples, want 0 to 1000000", n)
	}
	w := &writer{Rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
	seen := make(map[string]bool, n)
	out := make([]Sample, 0, n)
	for len(out) < n {
		s, ok := w.sample(split)
		if !ok || seen[s.Text] {
			continue
		}
		seen[s.Text] = true
		s.ID = fmt.Sprintf("%s-%04d", split, len(out)+1)
		out = append(out, s)
	}
	return out, nil
}
