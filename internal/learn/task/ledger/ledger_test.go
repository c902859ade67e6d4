package ledger

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"retort/internal/learn/task/mention"
)

const seed = 20261124

func generate(t *testing.T, seed uint64, split string, n int) []Sample {
	t.Helper()
	samples, err := Generate(seed, split, n)
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// TestSame holds the hash of the public samples: the exam that a report names by its seed must never change unseen.
func TestSame(t *testing.T) {
	h := sha256.New()
	for _, split := range []string{Teacher, Train, Dev, Val} {
		for _, s := range generate(t, seed, split, 300) {
			fmt.Fprintln(h, s.ID, s.Text, s.Entry)
		}
	}
	const want = "76b0127a34e13843aa8899f7b456f59b5309f47d0a8ddddd07524de07b3eb91d"
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != want {
		t.Errorf("hash of the samples is %s, want %s", got, want)
	}
}

// TestDisjoint: no combination of frame, thing and party is in two splits, of any seed, and no text is.
func TestDisjoint(t *testing.T) {
	seen := map[string]string{}
	for i, split := range []string{Teacher, Train, Dev, Val, Train, Teacher} {
		for _, s := range generate(t, seed+uint64(i), split, 2000) {
			for _, what := range []string{s.Text, s.combination} {
				if other, ok := seen[what]; ok && other != split || what == "" {
					t.Fatalf("%q is in %s and in %s", what, other, split)
				}
				seen[what] = split
			}
		}
	}
}

func TestShares(t *testing.T) {
	count := map[string]int{}
	for i := range 20000 {
		count[splitOf(fmt.Sprintf("frame%d|%d|%d", i%7, i%113, i))]++
	}
	for split, want := range map[string]int{Teacher: 11000, Train: 4000, Dev: 1000, Val: 4000} {
		if got := count[split]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%s has %d of 20000 combinations, want about %d", split, got, want)
		}
	}
}

// TestEntryIsInText makes sure that the sentence says what the entry has.
func TestEntryIsInText(t *testing.T) {
	for _, s := range generate(t, 7, Val, 3000) {
		if !strings.Contains(s.Text, s.Entry.Party) {
			t.Errorf("%q does not name %q", s.Text, s.Entry.Party)
		}
		if strings.ContainsAny(s.Text, "{}") || s.Entry.Debit == s.Entry.Credit || s.Entry.Debit == "" || s.Entry.Credit == "" {
			t.Errorf("%+v", s)
		}
		if !says(mention.Amounts(s.Text), s.Entry.Amount) && !strings.Contains(s.Text, "hundred") && !strings.Contains(s.Text, "thousand") {
			t.Errorf("%q does not say %s", s.Text, s.Entry.Amount)
		}
		relative := strings.Contains(strings.ToLower(s.Text), "yesterday") || strings.Contains(s.Text, "昨天") || strings.Contains(s.Text, "前天")
		if !relative && !says(mention.Dates(s.Text), s.Entry.Date) {
			t.Errorf("%q does not say %s", s.Text, s.Entry.Date)
		}
	}
}

func says(found []mention.Mention, value string) bool {
	for _, m := range found {
		if m.Value == value {
			return true
		}
	}
	return false
}

func TestNumerals(t *testing.T) {
	for n := 1; n < 10000; n++ {
		for _, s := range []string{numeral(n), financial(n)} {
			if got, ok := mention.ChineseNumber(s); !ok || got != n {
				t.Fatalf("%d is written %q, which reads as %d", n, s, got)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	if _, err := Generate(1, "test", 1); err == nil {
		t.Error("an unknown split is accepted")
	}
	if _, err := Generate(1, Val, -1); err == nil {
		t.Error("a negative count is accepted")
	}
}
