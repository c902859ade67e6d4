package jinja

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzRender parses any text and renders it with data and without: no panic, no long run, the same bytes, and marks
// in order and inside the text.
func FuzzRender(f *testing.F) {
	var file struct {
		Vars  json.RawMessage `json:"vars"`
		Cases []struct {
			Template string `json:"template"`
		} `json:"cases"`
	}
	readJSONFile(f, "cases.json", &file)
	for _, c := range file.Cases {
		f.Add(c.Template)
	}
	plainVars, dataVars := variables(f, file.Vars, false), variables(f, file.Vars, true)
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		tmpl, err := Parse(src)
		if err != nil {
			return
		}
		tmpl.Now = now
		want, errWant := tmpl.Render(plainVars)
		got, err := tmpl.Mark(dataVars)
		if took := time.Since(start); took > patience {
			t.Errorf("it took %v", took)
		}
		if (err == nil) != (errWant == nil) {
			// Marks cost work, so the limits alone may tell the two apart.
			t.Skip()
		}
		if got.Text != want {
			t.Errorf("with data %q, without %q", got.Text, want)
		}
		if utf8.ValidString(src) && !utf8.ValidString(want) {
			t.Errorf("%q is not UTF-8", want)
		}
		at := 0
		for i, sp := range got.Data {
			if sp.Start < at || sp.Start == at && i > 0 || sp.End <= sp.Start || sp.End > len(got.Text) {
				t.Fatalf("span %v behind byte %d of %d", sp, at, len(got.Text))
			}
			at = sp.End
		}
	})
}
