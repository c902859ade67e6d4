package tokenizer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// folderOf writes the files into a new folder.
func folderOf(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// writeMetadata writes a GGUF file without tensors.
func writeMetadata(t testing.TB, path string, md *gguf.Metadata) {
	t.Helper()
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for key, v := range md.All() {
		w.Set(key, v)
	}
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestOpenFolder: the vocabulary and the template of a folder, in each place where they may stand.
func TestOpenFolder(t *testing.T) {
	file := string(hfJSON(t, nil, nil))
	for name, c := range map[string]struct {
		files    map[string]string
		template string
	}{
		"none":         {map[string]string{}, ""},
		"config":       {map[string]string{ConfigName: `{"chat_template":"A"}`}, "A"},
		"null":         {map[string]string{ConfigName: `{"chat_template":null}`}, ""},
		"list":         {map[string]string{ConfigName: `{"chat_template":[{"name":"rag","template":"R"},{"name":"default","template":"D"}]}`}, "D"},
		"list without": {map[string]string{ConfigName: `{"chat_template":[{"name":"rag","template":"R"}]}`}, ""},
		"jinja":        {map[string]string{ConfigName: `{"chat_template":"A"}`, TemplateName: "J"}, "J"},
	} {
		c.files[FileName] = file
		dir := folderOf(t, c.files)
		for _, path := range []string{dir, filepath.Join(dir, FileName)} {
			f, err := Open(path)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if id, ok := f.Tokenizer.ID("ab"); f.ChatTemplate != c.template || !ok || id != 256 {
				t.Errorf("%s: template %q, ab is %d; want %q, 256", name, f.ChatTemplate, id, c.template)
			}
		}
		if template, err := FolderTemplate(dir); err != nil || template != c.template {
			t.Errorf("%s: alone, template %q, %v; want %q", name, template, err, c.template)
		}
	}
}

// TestOpenGGUF: a file without tensors, alone and as what stands in a folder for its tokenizer.json.
func TestOpenGGUF(t *testing.T) {
	md := byteLevelMetadata("gpt-2", []string{"a b"}, nil)
	md.Set(TemplateKey, gguf.ValueOf("T"))
	dir := t.TempDir()
	writeMetadata(t, filepath.Join(dir, GGUFName), md)
	for _, path := range []string{dir, filepath.Join(dir, GGUFName)} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := f.Tokenizer.ID("ab"); f.ChatTemplate != "T" || !ok || id != 256 {
			t.Errorf("%s: template %q, ab is %d", path, f.ChatTemplate, id)
		}
	}
	if template, err := FolderTemplate(dir); err != nil || template != "T" {
		t.Errorf("the folder's template is %q, %v", template, err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), hfJSON(t, nil, nil), 0o666); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(dir); err != nil || f.Tokenizer.Vocab() != 259 {
		t.Errorf("beside a tokenizer.json, %v: not the vocabulary of that", err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := string(hfJSON(t, nil, nil))
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no vocabulary":    {map[string]string{ConfigName: `{}`}, FileName},
		"broken":           {map[string]string{FileName: `{`}, "tokenizer.json: "},
		"broken config":    {map[string]string{FileName: file, ConfigName: `{`}, ConfigName},
		"template":         {map[string]string{FileName: file, ConfigName: `{"chat_template":7}`}, ConfigName + ": chat_template is neither a text nor a list"},
		"config too large": {map[string]string{FileName: file, ConfigName: strings.Repeat(" ", maxConfig+1)}, "has 4194305 bytes, want at most 4194304"},
		"jinja too large":  {map[string]string{FileName: file, TemplateName: strings.Repeat(" ", maxConfig+1)}, "has 4194305 bytes, want at most 4194304"},
	} {
		dir := folderOf(t, c.files)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want %s in %s", name, err, c.want, dir)
		}
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: error %v, want one of a missing file", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.gguf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
}
