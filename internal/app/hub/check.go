package hub

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"retort/internal/format/gguf"
)

// Check opens a model as far as its headers: a GGUF file with all its shards, or a folder with config.json and
// safetensors. It reads no weights.
func Check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		_, names := shardsOf(filepath.Base(path))
		for _, name := range names {
			f, err := gguf.Open(filepath.Join(filepath.Dir(path), name))
			if err != nil {
				return err
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		return nil
	}
	names, err := folderFiles(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		check := checkSafetensors
		if strings.HasSuffix(name, ".json") {
			check = checkJSON
		} else if !strings.HasSuffix(name, ".safetensors") {
			continue
		}
		if err := check(filepath.Join(path, name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// maxJSON bounds tokenizer.json and its kind; the largest in use have 35 MB.
const maxJSON = 256 << 20

// checkJSON demands one JSON value.
func checkJSON(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxJSON {
		return fmt.Errorf("JSON of %d bytes, at most %d", info.Size(), maxJSON)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return fmt.Errorf("not JSON")
	}
	return nil
}

// maxHeader is the bound that the safetensors format sets for its header.
const maxHeader = 100 << 20

// checkSafetensors demands a header that is JSON, and data of the length that its tensors need.
func checkSafetensors(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var n uint64
	if err := binary.Read(f, binary.LittleEndian, &n); err != nil {
		return fmt.Errorf("safetensors of %d bytes", info.Size())
	}
	if n > maxHeader || int64(n) > info.Size()-8 {
		return fmt.Errorf("safetensors header of %d bytes in a file of %d", n, info.Size())
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f, header); err != nil {
		return err
	}
	var tensors map[string]struct {
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(header, &tensors); err != nil {
		return fmt.Errorf("safetensors header: %w", err)
	}
	var end int64
	for name, t := range tensors {
		if t.Offsets[0] < 0 || t.Offsets[1] < t.Offsets[0] {
			return fmt.Errorf("safetensors: %s at %v", name, t.Offsets)
		}
		end = max(end, t.Offsets[1])
	}
	if want := 8 + int64(n) + end; want != info.Size() {
		return fmt.Errorf("safetensors of %d bytes, its header wants %d", info.Size(), want)
	}
	return nil
}
