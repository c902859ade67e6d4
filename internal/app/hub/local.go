package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"retort/internal/format/gguf"
)

const ggufMagic = "GGUF"

// modelKind is the format of what lies at a path, or empty with the reason.
func modelKind(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		_, err := folderFiles(path)
		if err != nil {
			return "", err
		}
		return FormatSafetensors, nil
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, len(ggufMagic))
	n, _ := io.ReadFull(f, head)
	if string(head[:n]) == ggufMagic {
		return FormatGGUF, nil
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case ext == ".safetensors":
		return "", hinted("name its folder, which also needs config.json", "%s alone is not a model", path)
	case isPickle(path):
		return "", pickleError(path)
	}
	return "", fmt.Errorf("%s is not a GGUF file: it begins with %q", path, head[:n])
}

// isPickle reports whether a name is one of PyTorch's pickles.
func isPickle(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".bin", ".pt", ".pth", ".ckpt", ".pkl":
		return true
	}
	return false
}

// pickleError says why pickled weights are not read.
func pickleError(name string) error {
	return hinted("take a safetensors or GGUF edition of the model",
		"%s is a pickle: loading it can run any code that its author put in", name)
}

// modelFile reports whether a file of a model's folder belongs into the store: the weights and what is needed to use them.
func modelFile(name string) bool {
	switch name {
	case "config.json", "generation_config.json", "tokenizer.json", "tokenizer.gguf", "tokenizer_config.json", "special_tokens_map.json",
		"added_tokens.json", "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
		"model.safetensors.index.json", "LICENSE", "LICENSE.txt", "LICENSE.md":
		return true
	}
	return strings.HasSuffix(name, ".safetensors") && filePattern.MatchString(name)
}

// chooseFolder picks, from a folder's file names, those of the model, sorted. name is for the errors.
//
// Where model*.safetensors exists, other safetensors are the same weights in another layout (Mistral's consolidated) or
// an adapter.
func chooseFolder(name string, all []string) ([]string, error) {
	var files []string
	named, weights, pickle := false, 0, ""
	for _, f := range all {
		named = named || strings.HasPrefix(f, "model") && strings.HasSuffix(f, ".safetensors")
		if isPickle(f) {
			pickle = f
		}
	}
	for _, f := range all {
		tensors := strings.HasSuffix(f, ".safetensors")
		if !modelFile(f) || tensors && named && !strings.HasPrefix(f, "model") {
			continue
		}
		if tensors {
			weights++
		}
		files = append(files, f)
	}
	switch {
	case weights == 0 && pickle != "":
		return nil, pickleError(pickle)
	case weights == 0:
		return nil, fmt.Errorf("%s holds no safetensors", name)
	case !slices.Contains(files, "config.json"):
		return nil, fmt.Errorf("%s holds safetensors and no config.json", name)
	}
	slices.Sort(files)
	return files, nil
}

// folderFiles lists the files of the model in a folder.
func folderFiles(path string) ([]string, error) {
	list, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, d := range list {
		info, err := os.Stat(filepath.Join(path, d.Name())) // follows links: hubs' caches are made of them
		if err == nil && info.Mode().IsRegular() {
			all = append(all, d.Name())
		}
	}
	files, err := chooseFolder(path, all)
	if err != nil {
		for _, f := range all {
			if strings.HasSuffix(f, ".gguf") {
				return nil, &Error{err, "did you mean " + filepath.Join(path, f) + "?"}
			}
		}
	}
	return files, err
}

// shardsOf returns the names of all parts where name is that of one of several, and what they begin with; else name alone.
func shardsOf(name string) (prefix string, names []string) {
	names, ok := gguf.Parts(name)
	if !ok {
		return strings.TrimSuffix(name, ".gguf"), []string{name}
	}
	return strings.TrimSuffix(names[0], shardName("", 1, len(names))), names
}

// shardName is the name of part i of n, from 1.
func shardName(prefix string, i, n int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, i, n)
}

// firstOf is the path of the first part where file, with forward slashes, is one of several; else file.
func firstOf(file string) string {
	dir, base := path.Split(file)
	_, names := shardsOf(base)
	return dir + names[0]
}

// missingParts is the error about a model of n parts that are not all there.
func missingParts(where, label string, n int, missing []string) error {
	return fmt.Errorf("%s: %s is one of %d parts, and of these %s is missing", where, label, n, someOf(missing))
}

// absent adds to the error about a path where nothing lies what may have been meant.
func absent(file string, err error) error {
	var names []string
	list, _ := os.ReadDir(filepath.Dir(file))
	for _, d := range list {
		if d.IsDir() || strings.HasSuffix(d.Name(), ".gguf") {
			names = append(names, d.Name())
		}
	}
	if close := near(filepath.Base(file), names); len(close) > 0 {
		for i, name := range close {
			close[i] = filepath.Join(filepath.Dir(file), name)
		}
		return &Error{err, "did you mean " + strings.Join(close, ", ") + "?"}
	}
	return &Error{err, "a model on the web is named hf:owner/repo, family:size or by its URL; retort list shows what is in the store"}
}

// planLocal plans the copy of a GGUF file, all shards of a split one, or a folder.
func planLocal(path string) (*plan, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	kind, err := modelKind(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, absent(path, err)
	}
	if err != nil {
		return nil, err
	}
	pl := &plan{source: abs, format: kind, name: filepath.Base(abs)}
	dir, names := abs, []string(nil)
	if kind == FormatGGUF {
		dir = filepath.Dir(abs)
		pl.name, names = shardsOf(filepath.Base(abs))
		pl.source = filepath.Join(dir, names[0])
		var missing []string
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return nil, missingParts(dir, filepath.Base(abs), len(names), missing)
		}
	} else if names, err = folderFiles(abs); err != nil {
		return nil, err
	}
	if err := Check(abs); err != nil { // before gigabytes are copied
		return nil, fmt.Errorf("not a usable model: %w", err)
	}
	for _, name := range names {
		local := filepath.Join(dir, name)
		info, err := os.Stat(local)
		if err != nil {
			return nil, err
		}
		pl.parts = append(pl.parts, part{name: name, local: local, size: info.Size(),
			version: fmt.Sprintf("%d@%d", info.Size(), info.ModTime().UnixNano())})
	}
	return pl, nil
}

// copyPart copies a local file into the stage, by sharing its blocks where the file system can. An interrupted copy
// begins anew: reading is no cheaper than writing.
func (p *pull) copyPart(ctx context.Context, stage string, part *part) (f File, err error) {
	path := filepath.Join(stage, part.name+partialSuffix)
	src, err := os.Open(part.local)
	if err != nil {
		return File{}, err
	}
	defer src.Close()
	dst, err := p.root.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return File{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.root.RemoveAll(stage))
		}
	}()
	defer dst.Close()
	p.at.Phase = PhaseCopy
	h := sha256.New()
	advance := func(n int64) { p.at.Done += n; p.report() }
	var n int64
	if clone(dst, src) {
		n, err = copyTo(ctx, h, dst, advance)
	} else {
		if err := p.checkFree(part.size); err != nil {
			return File{}, err
		}
		n, err = copyTo(ctx, io.MultiWriter(dst, h), src, advance)
	}
	if err == nil {
		err = dst.Sync()
	}
	if err != nil {
		return File{}, fmt.Errorf("copy %s: %w", part.local, err)
	}
	if n != part.size {
		return File{}, fmt.Errorf("%s changed from %d to %d bytes while it was copied", part.local, part.size, n)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if part.sha256 != "" && sum != part.sha256 {
		return File{}, fmt.Errorf("%s has sha256 %s, want %s", part.local, sum, part.sha256)
	}
	return File{Name: part.name, Size: n, SHA256: sum, Version: part.version}, nil
}
