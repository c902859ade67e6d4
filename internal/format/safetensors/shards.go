package safetensors

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"retort/internal/format/atomicfile"
	"slices"
	"strings"
	"unicode/utf8"
)

// openShards opens the files that an index names, in the index's own folder, and holds index and files to each other.
func (f *File) openShards(path string) error {
	index, err := readIndex(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	shards := make(map[string]bool)
	for _, shard := range index {
		shards[shard] = true
	}
	if len(shards) > maxShards {
		return fmt.Errorf("%s: %d shards, want at most %d", path, len(shards), maxShards)
	}
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		before := len(f.Tensors)
		if err := f.openFile(filepath.Join(filepath.Dir(path), shard)); err != nil {
			return err
		}
		for i := range f.Tensors[before:] {
			name := f.Tensors[before+i].Name
			if index[name] != shard {
				return fmt.Errorf("%s: tensor %q is in %s, index says %q", path, name, shard, index[name])
			}
		}
	}
	for name, shard := range index {
		if f.Tensor(name) == nil {
			return fmt.Errorf("%s: tensor %q is not in %s", path, name, shard)
		}
	}
	return nil
}

func readIndex(path string) (map[string]string, error) {
	data, err := atomicfile.ReadFile(path, maxHeader)
	if err != nil {
		return nil, err
	}
	return parseIndex(data)
}

// parseIndex returns which shard each tensor is in. A shard is a plain file name: an index is downloaded data and must
// not make us open anything outside its folder.
func parseIndex(data []byte) (map[string]string, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("index is not UTF-8")
	}
	s := &scanner{b: data}
	var index map[string]string
	err := s.object(func(field string) error {
		if field != "weight_map" {
			return s.skip() // "metadata": sizes that the shards say themselves
		}
		if index != nil {
			return errors.New("weight_map is there twice")
		}
		index = make(map[string]string)
		return s.object(func(name string) error {
			if _, twice := index[name]; twice {
				return fmt.Errorf("weight_map: %q is there twice", name)
			}
			shard, err := s.string()
			if err != nil {
				return fmt.Errorf("weight_map: %q: %w", name, err)
			}
			if !isShardName(shard) {
				return fmt.Errorf("weight_map: %q: %q is not the name of a safetensors file in the same folder", name, shard)
			}
			index[name] = shard
			return nil
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && len(index) == 0 {
		err = errors.New("index has no weight_map, or an empty one")
	}
	return index, err
}

func isShardName(name string) bool {
	return strings.HasSuffix(name, ".safetensors") && !strings.ContainsAny(name, "/\\:\x00") && filepath.IsLocal(name)
}
