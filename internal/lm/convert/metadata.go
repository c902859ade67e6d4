package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"retort/internal/format/atomicfile"
	"retort/internal/format/gguf"
	"retort/internal/lm/model"
)

// maxConfig bounds the config.json of a folder; the largest in use have some 100 KB.
const maxConfig = 4 << 20

// keptKey is the object in config.json with what a GGUF file says of its model and no key of transformers does: name,
// license, and of a student which training it is the end of. transformers pass it over.
const keptKey = "retort_metadata"

// keptBytes bounds what is kept, so that config.json stays one that is read: a value beyond is left out.
const keptBytes = 64 << 10

// isKept says whether the text under key goes into a folder and back: all of it that the folder does not say otherwise.
func isKept(key string) bool {
	switch key {
	case "general.architecture", "general.alignment", "general.file_type", "general.quantization_version":
		return false
	}
	return strings.HasPrefix(key, "general.") || strings.HasPrefix(key, "retort.")
}

// idKeys are keys of config.json that say which tokens are special. No configuration of a model here has them.
var idKeys = []string{"bos_token_id", "eos_token_id", "pad_token_id"}

// keepMetadata adds to config.json in dir what restoreMetadata reads there, and the special ids of the config.json that s was
// read from.
func (s *source) keepMetadata(dir string) error {
	kept, left := map[string]string{}, keptBytes
	for key := range s.md.All() {
		if text, err := s.md.String(key); err == nil && isKept(key) && len(key)+len(text) <= left {
			kept[key] = text
			left -= len(key) + len(text)
		}
	}
	var before map[string]json.RawMessage
	if s.config != nil {
		if err := json.Unmarshal(s.config, &before); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, model.ConfigName)
	b, err := atomicfile.ReadFile(path, maxConfig)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(b, &config); err != nil {
		return err
	}
	if len(kept) > 0 {
		if config[keptKey], err = json.Marshal(kept); err != nil {
			return err
		}
	}
	for _, key := range idKeys {
		if v, ok := before[key]; ok {
			config[key] = v
		}
	}
	if b, err = json.MarshalIndent(config, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o666)
}

// restoreMetadata sets in md what keepMetadata wrote into the config.json of the folder at path.
func restoreMetadata(md *gguf.Metadata, path string, config []byte) error {
	var c struct {
		Kept map[string]string `json:"retort_metadata"`
	}
	if err := json.Unmarshal(config, &c); err != nil {
		return fmt.Errorf("%s: %s: %w", path, model.ConfigName, err)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Kept)) {
		if isKept(key) {
			md.Set(key, gguf.ValueOf(c.Kept[key]))
		}
	}
	return nil
}
