package jinja

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"retort/internal/numtest"
)

// now is the time that ref/render.py tells.
func now() time.Time { return time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC) }

// result is what jinja2 gave: a text or an error.
type result struct {
	Text  *string `json:"text"`
	Error string  `json:"error"`
}

// check renders src and compares with jinja2's result. Errors need not have its words.
func check(t *testing.T, src string, vars map[string]any, want result) {
	t.Helper()
	got := ""
	tmpl, err := Parse(src)
	if err == nil {
		tmpl.Now = now
		got, err = tmpl.Render(vars)
	}
	switch {
	case want.Text == nil && err == nil:
		t.Errorf("got %q, want an error like %s", got, want.Error)
	case want.Text != nil && err != nil:
		t.Errorf("%v; want %q", err, *want.Text)
	case want.Text != nil && got != *want.Text:
		at := 0
		for at < min(len(got), len(*want.Text)) && got[at] == (*want.Text)[at] {
			at++
		}
		t.Errorf("byte %d differs:\n got %q\nwant %q", at, got, *want.Text)
	}
}

// variables reads the "vars" of a committed case.
func variables(t testing.TB, src json.RawMessage, data bool) map[string]any {
	t.Helper()
	vars := map[string]any{}
	if src == nil {
		return vars
	}
	v, err := FromJSON(src, data)
	if err != nil {
		t.Fatal(err)
	}
	d := v.(*Map)
	for i := range d.keys {
		switch key := d.keys[i].(type) {
		case string:
			vars[key] = d.vals[i]
		case Data:
			vars[string(key)] = d.vals[i]
		}
	}
	return vars
}

func readJSONFile(t testing.TB, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

type conversation struct {
	Name string          `json:"name"`
	Vars json.RawMessage `json:"vars"`
}

// source finds a template by its name in golden.json.
func source(t testing.TB, name string) string {
	kind, base, _ := strings.Cut(name, "/")
	switch kind {
	case "templates":
		b, err := os.ReadFile(numtest.Shared(t, "data/templates/"+base))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	case "tokenizers":
		b, err := os.ReadFile(numtest.Shared(t, "data/tokenizers/"+base+"/tokenizer_config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Template string `json:"chat_template"`
		}
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
		return c.Template
	}
	return ggufTemplate(t, numtest.Model(t, base))
}

// ggufTemplate finds the template in a GGUF file by its key: 8 is the type of a string, and its length follows.
func ggufTemplate(t testing.TB, path string) string {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	const key = "tokenizer.chat_template"
	at := strings.Index(string(head), key)
	if at < 0 {
		t.Fatalf("%s: no %s in its first %d bytes", path, key, len(head))
	}
	at += len(key) + 4
	n := int(binary.LittleEndian.Uint64(head[at:]))
	return string(head[at+8 : at+8+n])
}

// TestChatTemplates compares real templates with jinja2 on the conversations of testdata.
func TestChatTemplates(t *testing.T) {
	var golden struct {
		Results map[string]map[string]result `json:"results"`
	}
	readJSONFile(t, "golden.json", &golden)
	var chats []conversation
	readJSONFile(t, "conversations.json", &chats)
	for name, want := range golden.Results {
		t.Run(name, func(t *testing.T) {
			src := source(t, name)
			for _, c := range chats {
				t.Run(c.Name, func(t *testing.T) { check(t, src, variables(t, c.Vars, false), want[c.Name]) })
			}
		})
	}
}

// TestMarksFollowData checks on the same conversations that marking changes no byte, that the template's own text is
// unmarked, and that every text of a conversation is marked whole wherever it stands.
func TestMarksFollowData(t *testing.T) {
	var chats []conversation
	readJSONFile(t, "conversations.json", &chats)
	for _, file := range []string{"templates/Qwen-Qwen3-0.6B.jinja", "templates/deepseek-ai-DeepSeek-V3.2.jinja",
		"templates/meta-llama-Llama-3.1-8B-Instruct.jinja"} {
		tmpl, err := Parse(source(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chats {
			if c.Name == "tags" || c.Name == "tags/no_prompt" {
				continue // its data holds such tokens
			}
			plain, err := tmpl.Render(variables(t, c.Vars, false))
			if err != nil {
				continue // TestChatTemplates looks at errors
			}
			vars := variables(t, c.Vars, true)
			vars["bos_token"] = "<｜begin▁of▁sentence｜>"
			got, err := tmpl.Mark(vars)
			if err != nil || got.Text != plain {
				t.Fatalf("%s %s: %v\n got %q\nwant %q", file, c.Name, err, got.Text, plain)
			}
			at := 0
			for _, sp := range got.Data {
				if sp.Start < at || sp.End <= sp.Start || sp.End > len(got.Text) {
					t.Fatalf("%s %s: span %v after byte %d of %d", file, c.Name, sp, at, len(got.Text))
				}
				for _, own := range []string{"<|im_start|>", "<|im_end|>\n", "<|eot_id|>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"} {
					if strings.Contains(got.Text[sp.Start:sp.End], own) {
						t.Errorf("%s %s: %q is marked as data", file, c.Name, own)
					}
				}
				at = sp.End
			}
		}
	}
}

// TestLanguage compares small templates, one or more for each thing that is supported, with jinja2.
func TestLanguage(t *testing.T) {
	var file struct {
		Vars  json.RawMessage `json:"vars"`
		Cases []struct {
			Template string `json:"template"`
			result
		} `json:"cases"`
	}
	readJSONFile(t, "cases.json", &file)
	for _, c := range file.Cases {
		t.Run("", func(t *testing.T) {
			check(t, c.Template, variables(t, file.Vars, false), c.result)
			if t.Failed() {
				t.Log("template:", c.Template)
			}
		})
	}
}
