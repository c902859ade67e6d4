package hub

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

// FuzzRef: what the parser lets through leads to no place but the one it names.
func FuzzRef(f *testing.F) {
	for _, s := range []string{"qwen3:0.6b", "hf:a/b", "hf:a/b:c/d.gguf", "hf:../b:x", "https://h/x.gguf", "file:///x", `..\x`, "x.gguf",
		"https://u:p@h/x", "http:///x", "hf:a/b:../../x", "a:b:c", "a\x00", "hf:a/b:", "https://h/%2e%2e/x.gguf", "HTTP://H", "qwen3:latest"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		r, err := parseRef(arg)
		if err != nil {
			return
		}
		switch r.kind {
		case refHub:
			owner, repo, _ := strings.Cut(r.repo, "/")
			for _, seg := range append(strings.Split(r.file, "/"), owner, repo) {
				if seg == ".." || seg == "." || strings.ContainsAny(seg, "\\\x00") || seg == "" && r.file != "" {
					t.Errorf("%q: segment %q", arg, seg)
				}
			}
			again, err := parseRef("hf:" + r.repo + map[bool]string{true: ":"}[r.file != ""] + r.file)
			if err != nil || again != r {
				t.Errorf("%q: reads back as %+v, %v", arg, again, err)
			}
		case refURL:
			if r.url.Scheme != "http" && r.url.Scheme != "https" || r.url.User != nil || r.url.Hostname() == "" {
				t.Errorf("%q: URL %s", arg, r.url)
			}
		case refName:
			if checkName(r.name) == nil && (path.Clean(r.name) != r.name || strings.ContainsAny(folder(r.name), "/\\:\x00")) {
				t.Errorf("%q: name %q", arg, r.name)
			}
		}
	})
}

// FuzzManifest: a manifest that is accepted names only plain files, and survives being written again.
func FuzzManifest(f *testing.F) {
	good := `{"name":"a:b","source":"x","format":"gguf","sha256":"` + strings.Repeat("0", 64) + `","size":3,"date":"2026-11-23T00:00:00Z","files":[{"name":"a@b.gguf","size":3,"sha256":"` + strings.Repeat("0", 64) + `"}]}`
	if _, err := parseManifest([]byte(good), "a@b"); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(good))
	for _, s := range [][2]string{{"a@b.gguf", "../x"}, {"a@b.gguf", "manifest.json"}, {`"size":3`, `"size":-3`}, {"gguf", "bin"}, {"a:b", "a:c"}, {"00", "0g"}} {
		bad := strings.ReplaceAll(good, s[0], s[1])
		if _, err := parseManifest([]byte(bad), "a@b"); err == nil {
			f.Errorf("accepted: %s", bad)
		}
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseManifest(data, "a@b")
		if err != nil {
			return
		}
		for _, file := range e.Files {
			if path.Base(file.Name) != file.Name || strings.ContainsAny(file.Name, "/\\:\x00") || file.Name[0] == '.' || file.Size < 0 {
				t.Errorf("file %+v", file)
			}
		}
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(out, "a@b"); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}

// FuzzListing: no answer of a registry gives a path that leaves its repository, or a digest that is not one.
func FuzzListing(f *testing.F) {
	zero := strings.Repeat("0", 64)
	f.Add([]byte(`[{"type":"file","path":"a-Q4_K_M.gguf","size":1,"oid":"x","lfs":{"oid":"` + zero + `","size":9}},{"type":"file","path":"s-00001-of-00002.gguf"}]`))
	f.Add([]byte(`{"siblings":[{"rfilename":"../x.gguf"},{"rfilename":"config.json"},{"rfilename":"model.safetensors"}]}`))
	f.Add([]byte(`{"layers":[{"mediaType":"` + typeModel + `","digest":"sha256:` + zero + `","size":1}]}`))
	f.Add([]byte(`{"layers":[{"mediaType":"` + typeModel + `","digest":"sha256:../../x","size":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if digest, size, err := parseImage(data); err == nil && (!digestPattern.MatchString(digest) || size <= 0) {
			t.Errorf("digest %q of %d bytes", digest, size)
		}
		for _, parse := range []func([]byte) ([]hubFile, error){parseTree, parseSiblings} {
			files, err := parse(data)
			if err != nil {
				continue
			}
			var names []string
			for _, file := range files {
				if checkRemotePath(file.Path) != nil || file.Size < -1 || file.SHA256 != "" && !hashPattern.MatchString(file.SHA256) {
					t.Errorf("file %+v", file)
				}
				names = append(names, file.Path)
			}
			choose("o/r", editions(files), "")
			chosen, err := chooseFolder("o/r", names)
			for _, name := range chosen {
				if err == nil && !filePattern.MatchString(name) {
					t.Errorf("file of a folder %q", name)
				}
			}
		}
	})
}
