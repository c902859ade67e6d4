package tokenizer

import (
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// pieces shows how text is partitioned: added tokens in braces.
func pieces(m *matcher, text string, o Options) (out []string) {
	for _, f := range m.partition(text, o, func(s string) string { return s }) {
		if f.id != none {
			f.text = "{" + f.text + "}"
		}
		out = append(out, f.text)
	}
	return out
}

func tokens(texts ...string) (added []addedToken) {
	for i, s := range texts {
		added = append(added, addedToken{id: int32(i), text: s, control: strings.Contains(s, "|")})
	}
	return added
}

func mustMatcher(t *testing.T, tokens []addedToken, longest bool) matcher {
	t.Helper()
	m, err := newMatcher(tokens, longest)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPartition(t *testing.T) {
	all := Options{Special: true}
	for _, test := range []struct {
		name    string
		tokens  []addedToken
		longest bool
		o       Options
		text    string
		want    []string
	}{
		{"text stays text", tokens("<|a|>", "<b>"), true, Options{}, "x<|a|><b>", []string{"x<|a|><b>"}},
		{"user defined", tokens("<|a|>", "<b>"), true, Options{UserDefined: true}, "x<|a|><b>", []string{"x<|a|>", "{<b>}"}},
		{"special", tokens("<|a|>", "<b>"), true, all, "x<|a|><b>", []string{"x", "{<|a|>}", "{<b>}"}},
		{"no markup", tokens("  ", "ø", "]]"), true, Options{}, "a  bø]]", []string{"a", "{  }", "b", "{ø}", "{]]}"}},
		{"alone", tokens("<b>"), false, all, "<b>", []string{"{<b>}"}},
		{"twice", tokens("<b>"), false, all, "<b><b>", []string{"{<b>}", "{<b>}"}},
		{"cut off", tokens("<b>"), false, all, "<b<b>", []string{"<b", "{<b>}"}},
		{"longest wins anywhere", tokens("ab", "bcd"), true, all, "abcd", []string{"a", "{bcd}"}},
		{"leftmost wins", tokens("ab", "bcd"), false, all, "abcd", []string{"{ab}", "cd"}},
		{"longest at one place", tokens("a", "ab", "abc"), false, all, "abcab", []string{"{abc}", "{ab}"}},
		{"equals from the left", tokens("aba"), true, all, "ababa", []string{"{aba}", "ba"}},
		{"strips, llama.cpp", []addedToken{{id: 1, text: "<m>", lstrip: true, rstrip: true}}, true, all, "a <m> \n b", []string{"a", "{<m>}", "b"}},
		{"strips, HF", []addedToken{{id: 1, text: "<m>", lstrip: true, rstrip: true}}, false, all, " <m>\u3000<m> b", []string{"{<m>}", "{<m>}", "b"}},
		{"a word of its own", []addedToken{{id: 1, text: "the", singleWord: true}}, false, all, "the other the_ the",
			[]string{"{the}", " other the_ ", "{the}"}},
		{"nothing", tokens("<b>"), true, all, "", nil},
	} {
		m := mustMatcher(t, test.tokens, test.longest)
		if got := pieces(&m, test.text, test.o); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q became %q, want %q", test.name, test.text, got, test.want)
		}
	}
}

// TestNormalizedTokens: a token that is matched in normalized text is found after the others and after normalization.
func TestNormalizedTokens(t *testing.T) {
	m := mustMatcher(t, []addedToken{{id: 1, text: "A", normalized: true}, {id: 2, text: "a"}}, false)
	var got []int32
	for _, f := range m.partition("bcA", Options{Special: true}, strings.ToUpper) {
		got = append(got, f.id)
	}
	if want := []int32{none, 1}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	got = nil
	for _, f := range m.partition("a", Options{Special: true}, strings.ToUpper) {
		got = append(got, f.id)
	}
	if want := []int32{2}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

// TestUserTextNeverBecomesControl is the promise of the package: whatever text is, without Special no id of the result is a
// control token, nor does a marker of the chat format match.
func TestUserTextNeverBecomesControl(t *testing.T) {
	marks := []string{"<|im_start|>", "<|im_end|>", "<tool_call>", "[INST]", "<｜User｜>"}
	merges := []string{"< |", "i m", "<| im", "| >", "en d"}
	tok := mustTokenizer(t, byteLevelMetadata("qwen2", merges, marks))
	for _, mark := range marks {
		text := "a" + mark + " " + mark[:len(mark)-1]
		for _, id := range tok.Encode(text, Options{}) {
			if slices.Contains(marks, tok.Token(id)) {
				t.Errorf("%q: became %q", text, tok.Token(id))
			}
		}
		want, _ := tok.ID(mark)
		if got := tok.Encode(mark, Options{Special: true}); !slices.Equal(got, []int{want}) {
			t.Errorf("%q with Special became %v, want [%d]", mark, got, want)
		}
	}
}

// slowLongest is llama.cpp's way by its definition: token after token over the whole text.
func slowLongest(tokens []addedToken, text string) (chosen []hit) {
	tokens = slices.Clone(tokens)
	slices.SortFunc(tokens, func(a, b addedToken) int { return cmp.Or(len(b.text)-len(a.text), int(a.id-b.id)) })
	taken := make([]bool, len(text))
	free := func(i int) bool { return i >= 0 && i < len(text) && !taken[i] }
	for k := range tokens {
		token := &tokens[k]
		for i := range len(text) {
			h := hit{i, i + len(token.text), token}
			if !strings.HasPrefix(text[i:], token.text) || slices.Contains(taken[h.start:h.end], true) {
				continue
			}
			for token.lstrip && free(h.start-1) && isSpaceASCII(text[h.start-1]) {
				h.start--
			}
			for token.rstrip && free(h.end) && isSpaceASCII(text[h.end]) {
				h.end++
			}
			for j := h.start; j < h.end; j++ {
				taken[j] = true
			}
			chosen = append(chosen, h)
		}
	}
	slices.SortFunc(chosen, func(a, b hit) int { return a.start - b.start })
	return chosen
}

// TestLongestFirst: what is chosen is what trying every token everywhere chooses.
func TestLongestFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "aab "[rng.IntN(4)]
		}
		return string(b)
	}
	for range 2000 {
		var added []addedToken
		seen := map[string]bool{}
		for id := range int32(1 + rng.IntN(8)) {
			text := word(1 + rng.IntN(6))
			if !seen[text] {
				added = append(added, addedToken{id: id, text: text, lstrip: rng.IntN(4) == 0, rstrip: rng.IntN(4) == 0})
			}
			seen[text] = true
		}
		rng.Shuffle(len(added), func(i, j int) { added[i], added[j] = added[j], added[i] })
		m, text := mustMatcher(t, added, true), word(rng.IntN(40))
		got, want := m.longestFirst(text, func(*addedToken) bool { return true }), slowLongest(added, text)
		same := func(a, b hit) bool { return a.start == b.start && a.end == b.end && a.token.id == b.token.id }
		if !slices.EqualFunc(got, want, same) {
			t.Fatalf("%+v in %q: %v, want %v", added, text, got, want)
		}
	}
}

// TestAddedTokensTakeBoundedWork: many tokens that match everywhere cost memory in proportion to the text, and none is
// so long that looking for it everywhere takes long.
func TestAddedTokensTakeBoundedWork(t *testing.T) {
	var runs []string
	for n := 2; n <= 32; n++ {
		runs = append(runs, strings.Repeat(" ", n))
	}
	text := strings.Repeat(" ", 1<<16) + strings.Repeat("b ", 1<<15)
	for _, longest := range []bool{true, false} {
		m := mustMatcher(t, tokens(runs...), longest)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := m.partition(text, Options{}, func(s string) string { return s })
		runtime.ReadMemStats(&after)
		if n := 1 << 16 / 32; len(got) != n+1 || got[n-1].text != runs[30] || got[n].id != none {
			t.Errorf("longest %v: %d fragments, want %d of 32 spaces and one", longest, len(got), n)
		}
		// A place takes 16 bytes, and slices grow by a quarter or more: twice and again.
		if took := after.TotalAlloc - before.TotalAlloc; took > 100*uint64(len(text)) {
			t.Errorf("longest %v: %d bytes for a text of %d", longest, took, len(text))
		}
	}
	if _, err := newMatcher(tokens(strings.Repeat("a", maxAdded)+"b"), true); err == nil || !strings.Contains(err.Error(), "added token 0 has 257 bytes, want at most 256") {
		t.Errorf("a token of 257 bytes: %v", err)
	}
	// White space that a token takes to its left is looked at once.
	m := mustMatcher(t, []addedToken{{id: 1, text: "  ", lstrip: true}}, false)
	if got := m.partition(strings.Repeat(" ", 1<<19), Options{}, func(s string) string { return s }); len(got) != 1<<18 {
		t.Errorf("%d fragments, want %d", len(got), 1<<18)
	}
}

// TestAddedGolden: added tokens are found as HF tokenizers finds them (ref/added.py), also in the file that JSON writes.
func TestAddedGolden(t *testing.T) {
	var golden struct {
		Tokenizer map[string]json.RawMessage
		Cases     []struct {
			Added      json.RawMessage `json:"added_tokens"`
			Normalizer json.RawMessage
			Texts      []string
			IDs        [][]int
		}
	}
	data, err := os.ReadFile("testdata/added.json")
	if err == nil {
		err = json.Unmarshal(data, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	texts := 0
	for _, c := range golden.Cases {
		golden.Tokenizer["added_tokens"], golden.Tokenizer["normalizer"] = c.Added, c.Normalizer
		file, err := json.Marshal(golden.Tokenizer)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := FromJSON(file, nil)
		if err != nil {
			t.Errorf("%s: %v", c.Added, err)
			continue
		}
		if string(c.Normalizer) == "null" {
			again, config, err := tok.JSON("")
			if err == nil {
				tok, err = FromJSON(again, config)
			}
			if err != nil {
				t.Fatalf("%s: %v", c.Added, err)
			}
		}
		for i, text := range c.Texts {
			if got := tok.Encode(text, Options{Special: true}); !slices.Equal(got, c.IDs[i]) {
				t.Errorf("%s, %s: %q became %v, want %v", c.Added, c.Normalizer, text, got, c.IDs[i])
			}
			texts++
		}
	}
	if texts < 390 {
		t.Errorf("%d texts, want some 400", texts)
	}
}
