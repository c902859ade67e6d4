package jinja

import (
	"slices"
	"testing"
)

// TestTags: a tag follows its bytes through what a template does with them, and values with different tags stay apart
// where they touch.
func TestTags(t *testing.T) {
	args, err := FromJSON([]byte(`{"k": ["v", 1], "n": {"m": ""}}`), false)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{"a": Tagged{"aa", 1}, "b": Tagged{"b", 2}, "c": Data("c"), "d": Tag(args, 3), "e": Tagged{`{"x": "y"}`, 4}, "f": Tag(Data("f"), 5)}
	for _, c := range []struct {
		template, text string
		spans          []Span
	}{
		{"{{ a }}{{ a }}{{ b }}-{{ c }}{{ a }}", "aaaab-caa", []Span{{0, 4, 1}, {4, 5, 2}, {6, 7, 0}, {7, 9, 1}}},
		{"{{ (a + b + 'x')[1:] | upper }}", "ABX", []Span{{0, 1, 1}, {1, 2, 2}}},
		{"{{ [a, b] | join(c) }}", "aacb", []Span{{0, 2, 1}, {2, 3, 0}, {3, 4, 2}}},
		{"{{ d | tojson }}", `{"k": ["v", 1], "n": {"m": ""}}`, []Span{{2, 3, 3}, {8, 9, 3}, {17, 18, 3}, {23, 24, 3}}},
		{"{{ d.k[0] }}{{ d['n'].m }}", "v", []Span{{0, 1, 3}}},
		{"{{ (e | from_json).x }}{{ (e|from_json)|list|first }}", "yx", []Span{{0, 2, 4}}},
		{"{{ f }}{% if d['k'] and a == 'aa' %}{{ {a: b}['aa'] }}{% endif %}", "fb", []Span{{0, 1, 5}, {1, 2, 2}}},
		{"{{ a.replace('a', b) }}", "bb", []Span{{0, 2, 2}}},
	} {
		tmpl, err := Parse(c.template)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Mark(vars)
		if err != nil || got.Text != c.text || !slices.Equal(got.Data, c.spans) {
			t.Errorf("%s: %q %v, %v, want %q %v", c.template, got.Text, got.Data, err, c.text, c.spans)
		}
	}
}
