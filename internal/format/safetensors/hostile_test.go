package safetensors

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// file puts a header and n bytes of data together.
func file(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func sized(size uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, size), rest...)
}

// hostile are files with a piece of the error that each must give; "" is a file that must be read.
func hostile() []struct {
	name, want string
	data       []byte
} {
	const x = `{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`
	entry := func(s string) []byte { return file(`{"x":{`+s+`}}`, 8) }
	return []struct {
		name, want string
		data       []byte
	}{
		{"sound", "", file(x, 8)},
		{"sound, padded, spaced", "", file("{ \"x\" : {\"shape\":[ 2 ],\n\"data_offsets\":[0, 8],\t\"dtype\":\"F32\"}}   ", 8)},
		{"sound, no tensor", "", file(`{}`, 0)},
		{"sound, empty tensors", "", file(`{"b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"c":{"dtype":"I8","shape":[3,0],"data_offsets":[4,4]}}`, 4)},
		{"sound, metadata", "", file(`{"__metadata__":{"a":"\ud83d\udd11"}}`, 0)},

		{"no bytes", "0 bytes", nil},
		{"seven bytes", "7 bytes", []byte("1234567")},
		{"header past the file", "header of 3 bytes, file has 10", sized(3, "{}")},
		{"header of 2^64-1", "want at most 100000000", sized(1<<64-1, "{}")},
		{"header that wraps to the start", "want at most 100000000", sized(1<<64-8, "{}")},
		{"header over the limit", "want at most 100000000", sized(maxHeader+1, "{}")},
		{"header of no bytes", "does not start with '{'", sized(0, "")},
		{"header an array", "does not start with '{'", file(`[]`, 0)},
		{"header starts with a space", "does not start with '{'", file(` {}`, 0)},
		{"zip of torch.save", "pickle", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00archive/data.pkl")},
		{"bare pickle", "pickle", []byte("\x80\x02ccollections\nOrderedDict")},
		{"not UTF-8", "not UTF-8", file("{\"\xff\":1}", 0)},
		{"not closed", "JSON ends", file(`{"x":{`, 0)},
		{"trailing text", "want nothing more", file(`{}{}`, 0)},
		{"trailing NUL", "want nothing more", file("{}\x00", 0)},
		{"no comma", "want ','", file(`{"__metadata__":{}"a":1}`, 0)},
		{"comma at the end", "want a string", file(`{"__metadata__":{},}`, 0)},
		{"string not closed", "end of a string", file(`{"x`, 0)},
		{"escape at the end", "end of a string", file(`{"x\`, 0)},
		{"bad escape", "invalid character", file(`{"\q":1}`, 0)},
		{"half a surrogate pair", "no character", file(`{"__metadata__":{"a":"\ud83dx"}}`, 0)},
		{"control character", "without control characters", file("{\"a\nb\":1}", 0)},
		{"value a number", "want '{'", file(`{"x":1}`, 0)},
		{"arrays 100000 deep", "want '{'", file(`{"x":`+strings.Repeat("[", 100_000), 0)},
		{"objects 100000 deep", "unknown field", file(strings.Repeat(`{"x":`, 100_000), 0)},

		{"tensor twice", `"x": is there twice`, file(`{"x":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"x":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}}`, 8)},
		{"tensor twice by an escape", `"x": is there twice`, file(`{"x":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"\u0078":{"dtype":"I8","shape":[4],"data_offsets":[4,8]}}`, 8)},
		{"metadata twice", "__metadata__ is there twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0)},
		{"metadata key twice", `"a" is there twice`, file(`{"__metadata__":{"a":"1","a":"2"}}`, 0)},
		{"metadata a number", "want a string", file(`{"__metadata__":{"a":1}}`, 0)},
		{"field twice", `"dtype" is there twice`, entry(`"dtype":"F32","dtype":"F32"`)},
		{"field unknown", `"stride": unknown field`, entry(`"stride":[1]`)},
		{"field missing", "want dtype, shape and two data_offsets", entry(`"dtype":"F32","data_offsets":[0,8]`)},
		{"one offset", "two data_offsets", entry(`"dtype":"F32","shape":[2],"data_offsets":[8]`)},
		{"three offsets", "more than 2 numbers", entry(`"dtype":"F32","shape":[2],"data_offsets":[0,4,8]`)},
		{"dtype we do not use", `dtype "U64" is not supported`, entry(`"dtype":"U64","shape":[1],"data_offsets":[0,8]`)},
		{"dtype in lower case", `dtype "f32" is not supported`, entry(`"dtype":"f32","shape":[2],"data_offsets":[0,8]`)},
		{"dim a float", "want ',' or ']'", entry(`"dtype":"F32","shape":[2.0],"data_offsets":[0,8]`)},
		{"dim negative", "want an integer", entry(`"dtype":"F32","shape":[-2],"data_offsets":[0,8]`)},
		{"dim 2^63", "want an integer", entry(`"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]`)},
		{"dim of 1000 digits", "want an integer", entry(`"dtype":"F32","shape":[` + strings.Repeat("9", 1000) + `],"data_offsets":[0,8]`)},
		{"dim 007", "want an integer", entry(`"dtype":"F32","shape":[002],"data_offsets":[0,8]`)},
		{"rank 9", "more than 8 numbers", entry(`"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]`)},
		{"size wraps to 8", "too many elements", entry(`"dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,8]`)},
		{"elements wrap to 0", "too many elements", entry(`"dtype":"I8","shape":[4294967296,4294967296],"data_offsets":[0,0]`)},
		{"range too short", "needs 8 bytes", entry(`"dtype":"F32","shape":[2],"data_offsets":[0,7]`)},
		{"range backwards", "needs 8 bytes", entry(`"dtype":"F32","shape":[2],"data_offsets":[8,0]`)},
		{"offset past the file", "starts at byte 1099511627776", entry(`"dtype":"F32","shape":[2],"data_offsets":[1099511627776,1099511627784]`)},
		{"end past the file", "file has 4 bytes of data", file(x, 4)},
		{"bytes after the last tensor", "9 bytes of data, tensors cover 8", file(x, 9)},
		{"data without a tensor", "8 bytes of data, tensors cover 0", file(`{}`, 8)},
		{"gap at the start", "want 0", file(`{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8)},
		{"gap", "want 1", file(`{"x":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"y":{"dtype":"I8","shape":[1],"data_offsets":[2,3]}}`, 3)},
		{"overlap", "want 4", file(`{"x":{"dtype":"I8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"I8","shape":[4],"data_offsets":[2,6]}}`, 6)},
		{"one range twice", "want 8", file(`{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8)},
	}
}

func TestHostileFiles(t *testing.T) {
	for _, c := range hostile() {
		f, err := Parse("test", c.data)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: was read, want an error with %q", c.name, c.want)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err == nil:
			touch(t, f)
		}
	}
}

func TestEveryCut(t *testing.T) {
	whole := file(`{"__metadata__":{"a":"b\n"},"x":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}`, 8)
	if _, err := Parse("whole", whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := Parse("cut", whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(whole))
		}
	}
}

// indexes are weight maps with a piece of the error that each must give.
var indexes = []struct{ name, want, text string }{
	{"sound", "", `{"metadata":{"total_size":8,"x":[1.5,{"y":null}]},"weight_map":{"x":"a.safetensors"}}`},
	{"climbs", "not the name of a safetensors file", `{"weight_map":{"x":"../a.safetensors"}}`},
	{"climbs backwards", "not the name of a safetensors file", `{"weight_map":{"x":"..\\a.safetensors"}}`},
	{"absolute", "not the name of a safetensors file", `{"weight_map":{"x":"/a.safetensors"}}`},
	{"drive", "not the name of a safetensors file", `{"weight_map":{"x":"C:a.safetensors"}}`},
	{"folder below", "not the name of a safetensors file", `{"weight_map":{"x":"sub/a.safetensors"}}`},
	{"NUL", "not the name of a safetensors file", `{"weight_map":{"x":"a\u0000.safetensors"}}`},
	{"pickle shard", "not the name of a safetensors file", `{"weight_map":{"x":"pytorch_model-00001-of-00002.bin"}}`},
	{"device", "not the name of a safetensors file", `{"weight_map":{"x":"/dev/zero"}}`},
	{"tensor twice", `"x" is there twice`, `{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}`},
	{"map twice", "weight_map is there twice", `{"weight_map":{"x":"a.safetensors"},"weight_map":{}}`},
	{"no map", "no weight_map", `{"metadata":{}}`},
	{"map empty", "no weight_map", `{"weight_map":{}}`},
	{"shard a number", "want a string", `{"weight_map":{"x":1}}`},
	{"trailing", "want nothing more", `{"weight_map":{"x":"a.safetensors"}}]`},
	{"not UTF-8", "not UTF-8", "{\"weight_map\":{\"\xff\":\"a.safetensors\"}}"},
	{"deep", "exceeded max depth", `{"metadata":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`},
}

func TestHostileIndexes(t *testing.T) {
	for _, c := range indexes {
		_, err := parseIndex([]byte(c.text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Index and shards must say the same.
func TestIndexAgainstShards(t *testing.T) {
	entry := func(name string) string {
		return fmt.Sprintf(`{"%s":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, name)
	}
	for _, c := range []struct{ name, want, index string }{
		{"sound", "", `{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}`},
		{"missing tensor", `tensor "z" is not in b.safetensors`, `{"weight_map":{"x":"a.safetensors","y":"b.safetensors","z":"b.safetensors"}}`},
		{"tensor elsewhere", `tensor "x" is in a.safetensors, index says "b.safetensors"`, `{"weight_map":{"x":"b.safetensors","y":"a.safetensors"}}`},
		{"tensor that the index does not know", `index says ""`, `{"weight_map":{"x":"a.safetensors","z":"b.safetensors"}}`},
		{"tensor in two shards", `"x": is there twice`, `{"weight_map":{"x":"a.safetensors","y":"c.safetensors"}}`},
		{"missing shard", "no such file", `{"weight_map":{"x":"a.safetensors","y":"none.safetensors"}}`},
	} {
		dir := t.TempDir()
		for name, data := range map[string][]byte{
			"a.safetensors": file(entry("x"), 1), "b.safetensors": file(entry("y"), 1), "c.safetensors": file(entry("x"), 1), IndexName: []byte(c.index),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Open(dir)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err == nil {
			f.Close()
		}
	}
}

func TestFolderWithoutSafetensors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "has neither") {
		t.Errorf("empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "pickle") {
		t.Errorf("folder with a pickle: %v", err)
	}
}

// touch reads all that a file offers.
func touch(t *testing.T, f *File) {
	for i := range f.Tensors {
		x := &f.Tensors[i]
		if f.Tensor(x.Name) != x || int64(len(x.Data())) != x.Size || x.Elements()*x.DType.Size() != len(x.Data()) {
			t.Fatalf("tensor %+v", x)
		}
		sum := byte(0)
		for _, b := range x.Data() {
			sum += b
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allocBound counts freed bytes too: lists and maps that grow leave their smaller selves behind.
func allocBound(n int) uint64 { return 32<<10 + 64*uint64(n) }

// The files that make the most memory of their bytes.
func TestMemoryIsBounded(t *testing.T) {
	var tensors, metadata, index strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&tensors, `,"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
		fmt.Fprintf(&metadata, `,"%x":""`, i)
		fmt.Fprintf(&index, `,"%x":"a.safetensors"`, i)
	}
	for name, data := range map[string][]byte{
		"tensors":  file("{"+tensors.String()[1:]+"}", 0),
		"metadata": file(`{"__metadata__":{`+metadata.String()[1:]+"}}", 0),
		"index":    []byte(`{"weight_map":{` + index.String()[1:] + "}}"),
	} {
		var err error
		got := allocated(func() {
			if name == "index" {
				_, err = parseIndex(data)
			} else {
				_, err = Parse(name, data)
			}
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes allocated for %d: %.1f times", name, got, len(data), float64(got)/float64(len(data)))
		if got > allocBound(len(data)) {
			t.Errorf("%s: %d bytes allocated for %d, want at most %d", name, got, len(data), allocBound(len(data)))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c.data)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "dtypes.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, data []byte) {
		var file *File
		var err error
		if got := allocated(func() { file, err = Parse("fuzz", data) }); got > allocBound(len(data)) {
			t.Errorf("%d bytes allocated for a file of %d, want at most %d", got, len(data), allocBound(len(data)))
		}
		if err == nil {
			touch(t, file)
		}
	})
}

func FuzzIndex(f *testing.F) {
	for _, c := range indexes {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var index map[string]string
		var err error
		if got := allocated(func() { index, err = parseIndex(data) }); got > allocBound(len(data)) {
			t.Errorf("%d bytes allocated for an index of %d, want at most %d", got, len(data), allocBound(len(data)))
		}
		if err != nil {
			return
		}
		for name, shard := range index {
			if filepath.Dir(filepath.Join("/models/x", shard)) != "/models/x" {
				t.Errorf("%q: %q leaves the folder", name, shard)
			}
		}
	})
}
