package tokenizer

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// endsFolder is a folder whose vocabulary has the added tokens <|im_end|> (300, which ends by its name), <over> (301) to
// <past> (304), and the files.
func endsFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	var added []object
	for i, name := range []string{"<|im_end|>", "<over>", "<done>", "<out>", "<past>"} {
		added = append(added, object{"id": 300 + i, "content": name, "special": true})
	}
	all := map[string]string{FileName: string(hfJSON(t, object{"added_tokens": added}, nil))}
	maps.Copy(all, files)
	return folderOf(t, all)
}

func endsOf(t *Tokenizer) (ends []int) {
	for id := range t.Vocab() {
		if t.IsEOG(id) {
			ends = append(ends, id)
		}
	}
	return ends
}

// TestFolderEnds: whichever files of a folder name an end of an answer, it ends one, also when the vocabulary went through
// GGUF. EOS is one of them: the end of a text.
func TestFolderEnds(t *testing.T) {
	const object301 = `{"eos_token":{"content":"<over>","lstrip":false,"rstrip":false,"normalized":false,"single_word":false}}`
	for name, c := range map[string]struct {
		files map[string]string
		eos   int
		ends  []int
	}{
		"none":               {map[string]string{}, none, []int{300}},
		"generation, a list": {map[string]string{ConfigName: `{"eos_token":"<|im_end|>"}`, GenerationName: `{"eos_token_id":[300,301]}`}, 300, []int{300, 301}},
		"generation alone":   {map[string]string{GenerationName: `{"eos_token_id":[302,301]}`}, 302, []int{300, 301, 302}},
		"generation, one":    {map[string]string{GenerationName: `{"eos_token_id":301}`}, 301, []int{300, 301}},
		"config.json":        {map[string]string{modelName: `{"eos_token_id":301}`}, 301, []int{300, 301}},
		"config.json, list":  {map[string]string{modelName: `{"eos_token_id":[301,303]}`}, 301, []int{300, 301, 303}},
		"config.json, text":  {map[string]string{modelName: `{"eos_token_id":256}`}, 256, []int{256, 300}},
		"null":               {map[string]string{modelName: `{"eos_token_id":null}`, GenerationName: `{"eos_token_id":null}`, specialsName: `{"eos_token":null}`}, none, []int{300}},
		"both, of ids":       {map[string]string{modelName: `{"eos_token_id":301}`, GenerationName: `{"eos_token_id":[302,301]}`}, 301, []int{300, 301, 302}},
		"special tokens":     {map[string]string{specialsName: `{"eos_token":"<over>"}`}, 301, []int{300, 301}},
		"special, an object": {map[string]string{specialsName: object301}, 301, []int{300, 301}},
		"tokenizer config":   {map[string]string{ConfigName: `{"eos_token":"<over>"}`}, 301, []int{300, 301}},
		"config, an object":  {map[string]string{ConfigName: object301}, 301, []int{300, 301}},
		"several": {map[string]string{ConfigName: `{"eos_token":"<over>"}`, specialsName: `{"eos_token":"<done>"}`, GenerationName: `{"eos_token_id":[303]}`, modelName: `{"eos_token_id":304}`},
			301, []int{300, 301, 302, 303, 304}},
		"beyond the vocabulary": {map[string]string{GenerationName: `{"eos_token_id":[-1,305,299,301]}`}, 301, []int{300, 301}}, // 299 is a hole
		// The config.json of a model whose vocabulary is another by now.
		"stale config.json": {map[string]string{modelName: `{"eos_token_id":2}`, GenerationName: `{"eos_token_id":301}`}, 301, []int{300, 301}},
	} {
		f, err := Open(endsFolder(t, c.files))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tok := f.Tokenizer; tok.EOS != c.eos || !slices.Equal(endsOf(tok), c.ends) {
			t.Errorf("%s: EOS %d, ends %v; want %d, %v", name, tok.EOS, endsOf(tok), c.eos, c.ends)
		}
		md, tok := new(gguf.Metadata), f.Tokenizer
		for range 2 { // a second time from what the first wrote
			if err := tok.SetMetadata(md); err != nil {
				t.Fatal(err)
			}
			tok = mustTokenizer(t, md)
			if tok.EOS != c.eos || !slices.Equal(endsOf(tok), c.ends) {
				t.Errorf("%s: through GGUF EOS %d, ends %v; want %d, %v", name, tok.EOS, endsOf(tok), c.eos, c.ends)
			}
		}
	}
}

// TestEndsKeys: ends that llama.cpp has a key for stand under it.
func TestEndsKeys(t *testing.T) {
	f, err := Open(endsFolder(t, map[string]string{GenerationName: `{"eos_token_id":[301,300,302,303,304,303,304]}`}))
	if err != nil {
		t.Fatal(err)
	}
	md := new(gguf.Metadata)
	if err := f.Tokenizer.SetMetadata(md); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{keyEOS: 301, keyEOT: 302, keyEOM: 303} {
		if id, err := md.Int(key); err != nil || id != want {
			t.Errorf("%s is %d, %v; want %d", key, id, err, want)
		}
	}
	if ids, err := md.Ints(keyEnds); err != nil || !slices.Equal(ids, []int{304}) {
		t.Errorf("%s is %v, %v; want 304", keyEnds, ids, err)
	}
}

func TestFolderEndsErrors(t *testing.T) {
	for name, text := range map[string]string{GenerationName: `{"eos_token_id":"</s>"}`, modelName: `{"eos_token_id":[1.5]}`, specialsName: `{"eos_token":7}`} {
		dir := endsFolder(t, map[string]string{name: text})
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, FileName)+": "+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestUnused: an id without a token is told, and is no text.
func TestUnused(t *testing.T) {
	f, err := Open(endsFolder(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	md := new(gguf.Metadata)
	if err := f.Tokenizer.SetMetadata(md); err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string]*Tokenizer{"json": f.Tokenizer, "gguf": mustTokenizer(t, md)} {
		for id, want := range map[int]bool{-1: true, 0: false, 256: false, 258: false, 259: true, 299: true, 300: false, 301: false, 304: false, 305: true} {
			if got := tok.IsUnused(id); got != want {
				t.Errorf("%s: IsUnused(%d) is %v", name, id, got)
			}
			if want && len(tok.Bytes(id)) > 0 {
				t.Errorf("%s: id %d is the text %q", name, id, tok.Bytes(id))
			}
		}
		if got := tok.DecodeSpecial([]int{256, 299, 256}); got != "abab" {
			t.Errorf("%s: decoded %q", name, got)
		}
	}
}
