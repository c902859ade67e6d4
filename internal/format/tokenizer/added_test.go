package tokenizer

import (
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
		m := newMatcher(test.tokens, test.longest)
		if got := pieces(&m, test.text, test.o); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q became %q, want %q", test.name, test.text, got, test.want)
		}
	}
}

// TestNormalizedTokens: a token that is matched in normalized text is found after the others and after normalization.
func TestNormalizedTokens(t *testing.T) {
	m := newMatcher([]addedToken{{id: 1, text: "A", normalized: true}, {id: 2, text: "a"}}, false)
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
