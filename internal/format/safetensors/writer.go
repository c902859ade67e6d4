package safetensors

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"retort/internal/format/atomicfile"
)

// A Source is a tensor to be written. Write is called once, when the tensor's turn comes, and must write exactly the
// bytes that dtype and shape need, so that a model larger than memory can be written.
type Source struct {
	Name  string
	DType DType
	Shape []int
	Write func(io.Writer) error
}

// WriteFile writes one file, aside and then renamed: until it returns nil the name is as it was. Metadata may be nil.
//
// The tensors are laid out as the reference library does: by dtype, the widest first, then by name, which keeps each one
// aligned to its elements. With at most one metadata key the file equals the reference's byte for byte (which does not
// order metadata; here they are sorted).
func WriteFile(ctx context.Context, path string, metadata map[string]string, tensors []Source) error {
	f, err := writeAside(ctx, path, metadata, tensors)
	if err == nil {
		err = f.Commit()
	}
	if err != nil {
		return fmt.Errorf("safetensors: write %s: %w", path, err)
	}
	return nil
}

// WriteSharded writes a model into the folder dir, which exists: model.safetensors if all of it fits into maxBytes of
// tensor data, else model-00001-of-0000N.safetensors and so on with an index. A tensor larger than maxBytes gets a shard
// of its own. Shards are filled in the order given.
//
// The index, without which the shards are not a model, comes last; after an error no file that was made is there, and
// shards of an earlier try are as they were unless their turn had come. A folder that holds a model already is refused:
// the reader of an old index would find new shards.
func WriteSharded(ctx context.Context, dir string, maxBytes int64, metadata map[string]string, tensors []Source) error {
	if err := writeSharded(ctx, dir, maxBytes, metadata, tensors); err != nil {
		return fmt.Errorf("safetensors: write to %s: %w", dir, err)
	}
	return nil
}

func writeSharded(ctx context.Context, dir string, maxBytes int64, metadata map[string]string, tensors []Source) error {
	for _, name := range []string{SingleName, IndexName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return cmp.Or(err, fmt.Errorf("%s is there already", name))
		}
	}
	shards, total, err := split(tensors, maxBytes)
	if err != nil {
		return err
	}
	if len(shards) == 1 {
		f, err := writeAside(ctx, filepath.Join(dir, SingleName), metadata, tensors)
		if err != nil {
			return err
		}
		return f.Commit()
	}
	var files []*atomicfile.File
	var committed []string // to be removed, unless the index follows
	defer func() {
		for _, f := range files {
			f.Abort()
		}
		for _, path := range committed {
			os.Remove(path)
		}
	}()
	index := make(map[string]string)
	for i, shard := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		for _, t := range shard {
			if index[t.Name] != "" {
				return fmt.Errorf("tensor %q: is there twice", t.Name)
			}
			index[t.Name] = name
		}
		f, err := writeAside(ctx, filepath.Join(dir, name), metadata, shard)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, f)
	}
	for _, f := range files {
		if err := f.Commit(); err != nil {
			return err
		}
		committed = append(committed, f.Path())
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, IndexName), encodeIndex(index, total)); err != nil {
		return err
	}
	committed = nil
	return nil
}

// split fills shards one after the other.
func split(tensors []Source, maxBytes int64) (shards [][]Source, total int64, err error) {
	start, held := 0, int64(0)
	for i := range tensors {
		size, err := tensors[i].size()
		if err != nil {
			return nil, 0, err
		}
		if size > math.MaxInt64-total {
			return nil, 0, errors.New("model would have more than 2^63 bytes")
		}
		total += size
		if i > start && size > maxBytes-held {
			shards = append(shards, tensors[start:i])
			start, held = i, 0
		}
		held += size
	}
	if shards = append(shards, tensors[start:]); len(shards) > maxShards {
		return nil, 0, fmt.Errorf("%d shards, want at most %d", len(shards), maxShards)
	}
	return shards, total, nil
}

// encodeIndex writes the index as the field does: sorted, two spaces deep.
func encodeIndex(index map[string]string, total int64) []byte {
	type metadata struct {
		TotalSize int64 `json:"total_size"`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(struct {
		Metadata  metadata          `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}{metadata{total}, index}); err != nil {
		panic("safetensors: " + err.Error()) // strings and a number
	}
	return b.Bytes()
}

// size is the tensor's bytes, or what is wrong with its shape.
func (t *Source) size() (int64, error) {
	shape := make([]uint64, len(t.Shape))
	for i, d := range t.Shape {
		if d < 0 {
			return 0, fmt.Errorf("tensor %q: shape %v", t.Name, t.Shape)
		}
		shape[i] = uint64(d)
	}
	size, err := t.DType.bytes(shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return int64(size), nil
}

// writeAside writes a whole file and reads its header back. What is left is to commit it.
func writeAside(ctx context.Context, path string, metadata map[string]string, tensors []Source) (*atomicfile.File, error) {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Source) int {
		return cmp.Or(cmp.Compare(layoutRank(a.DType), layoutRank(b.DType)), cmp.Compare(a.Name, b.Name))
	})
	header, err := encodeHeader(metadata, tensors)
	if err != nil {
		return nil, err
	}
	f, err := atomicfile.Create(path)
	if err != nil {
		return nil, err
	}
	err = writeTo(ctx, f, header, tensors)
	if err == nil {
		// What our own reader refuses (a name twice, too many dims) never gets its name.
		var check *File
		if check, err = Open(f.Name()); err == nil {
			err = check.Close()
		}
	}
	if err != nil {
		f.Abort()
		return nil, err
	}
	return f, nil
}

// layoutRank is a dtype's place in the reference library's order of tensors.
func layoutRank(d DType) int {
	return slices.Index([]DType{I64, F64, F32, I32, BF16, F16, I16, F8E8M0, F8E4M3, F8E5M2, I8, U8, BOOL}, d)
}

func writeTo(ctx context.Context, f io.Writer, header []byte, tensors []Source) error {
	w := bufio.NewWriterSize(f, 1<<20)
	if _, err := w.Write(header); err != nil {
		return err
	}
	for i := range tensors {
		t := &tensors[i]
		size, err := t.size()
		if err != nil {
			return err
		}
		if err := atomicfile.Section(ctx, w, size, t.Write); err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	return w.Flush()
}

// encodeHeader returns everything before the data: length, JSON, spaces up to a multiple of 8.
func encodeHeader(metadata map[string]string, tensors []Source) ([]byte, error) {
	b := []byte("12345678{") // room for the length
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		b = append(b, [...]string{`"__metadata__":{`, ","}[min(i, 1)]...)
		b = append(appendJSON(b, key), ':')
		b = appendJSON(b, metadata[key])
	}
	if len(metadata) > 0 {
		b = append(b, "},"...)
	}
	offset := int64(0)
	for i := range tensors {
		t := &tensors[i]
		size, err := t.size()
		if err != nil {
			return nil, err
		}
		if t.Name == metadataName {
			return nil, fmt.Errorf("a tensor cannot be called %s", metadataName)
		}
		if size > math.MaxInt64-offset {
			return nil, errors.New("file would have more than 2^63 bytes")
		}
		b = append(appendJSON(b, t.Name), `:{"dtype":`...)
		b = append(appendJSON(b, t.DType), `,"shape":`...)
		b = append(appendJSON(b, append([]int{}, t.Shape...)), `,"data_offsets":`...)
		b = append(appendJSON(b, [2]int64{offset, offset + size}), "},"...)
		offset += size
	}
	b = append(bytes.TrimSuffix(b, []byte(",")), '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if len(b)-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, want at most %d", len(b)-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, nil
}

func appendJSON(b []byte, x any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		panic("safetensors: " + err.Error()) // strings and integers
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
