package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"strings"
	"testing"
)

// A raw is a file put together field by field, lies included.
type raw struct{ b []byte }

func head(version uint32, tensors, pairs uint64) *raw {
	return (&raw{[]byte("GGUF")}).u32(version).u64(tensors, pairs)
}

func (r *raw) u32(xs ...uint32) *raw {
	for _, x := range xs {
		r.b = binary.LittleEndian.AppendUint32(r.b, x)
	}
	return r
}

func (r *raw) u64(xs ...uint64) *raw {
	for _, x := range xs {
		r.b = binary.LittleEndian.AppendUint64(r.b, x)
	}
	return r
}

func (r *raw) str(s string) *raw {
	r.u64(uint64(len(s)))
	r.b = append(r.b, s...)
	return r
}

func (r *raw) tensor(name string, typ, offset uint64, dims ...uint64) *raw {
	return r.str(name).u32(uint32(len(dims))).u64(dims...).u32(uint32(typ)).u64(offset)
}

// data pads to 32 and appends n bytes.
func (r *raw) data(n int) *raw {
	r.b = append(r.b, make([]byte, -len(r.b)&31+n)...)
	return r
}

// hostile are files that hurt other readers (shared/reference/serving.md, section 4.1) and what would be next, each
// with a piece of the error that it must give; "" is a file that must be read.
func hostile() []struct {
	name, want string
	file       *raw
} {
	const f32, q4_0 = 0, 2
	deep := head(3, 0, 1).str("a").u32(9)
	for range 2000 {
		deep.u32(9).u64(1)
	}
	return []struct {
		name, want string
		file       *raw
	}{
		{"sound", "", head(3, 1, 1).str("a").u32(4, 1).tensor("x", f32, 0, 8, 2).data(64)},
		{"sound, version 2", "", head(2, 1, 0).tensor("x", q4_0, 0, 32, 3).data(54)},
		{"sound, empty", "", head(3, 0, 0)},
		{"sound, second alignment", "", head(3, 1, 1).str("general.alignment").u32(4, 64).tensor("x", f32, 64, 1).data(200)},
		{"sound, tensors out of order", "", head(3, 2, 0).tensor("x", f32, 32, 8).tensor("y", f32, 0, 8).data(64)},

		{"no bytes", "too short", &raw{}},
		{"four bytes (CVE-2025-0315)", "file ends here", &raw{[]byte("GGUF")}},
		{"another format", `starts with "PK\x03\x04"`, &raw{[]byte("PK\x03\x04 and more of it")}},
		{"version 1", "GGUF version 1 is not supported", head(1, 0, 0)},
		{"version 4", "GGUF version 4 is not supported", head(4, 0, 0)},
		{"version 0", "GGUF version 0 is not supported", head(0, 0, 0)},
		{"big-endian", "big-endian GGUF is not supported", head(3<<24, 0, 0)},

		{"tensor count huge", "want at most", head(3, math.MaxUint64, 0)},
		{"tensor count past the file", "file has 8 left", head(3, 1<<20, 0)},
		{"pair count negative", "want at most", head(3, 0, 1<<63)},
		{"pair count past the file", "file has 0 left", head(3, 0, 60_000)},

		{"key length huge", "want at most 65535", head(3, 0, 1).u64(math.MaxUint64).u32(0).u64(0)},
		{"key length past the file", "file ends here", head(3, 0, 1).u64(1000).u32(0).u64(0)},
		{"key empty", "name of 0 bytes", head(3, 0, 1).str("").u32(4, 1).u32(0)},
		{"key not UTF-8", "not UTF-8", head(3, 0, 1).str("a\xff").u32(4, 1)},
		{"key with an escape", "control character", head(3, 0, 1).str("a\x1b[2J").u32(4, 1)},
		{"key twice", "is there twice", head(3, 0, 2).str("a").u32(4, 1).str("a").u32(4, 2)},
		{"kind unknown", "unknown value type 13", head(3, 0, 1).str("a").u32(13, 1)},
		{"kind negative", "unknown value type 4294967295", head(3, 0, 1).str("a").u32(math.MaxUint32, 1)},
		{"string length huge", "want at most", head(3, 0, 1).str("a").u32(8).u64(math.MaxUint64)},
		{"string length wraps the cursor", "want at most", head(3, 0, 1).str("a").u32(8).u64(math.MaxUint64 - 20)},
		{"string past the file", "file ends here", head(3, 0, 1).str("a").u32(8).u64(1 << 27)},
		{"bool of 2", "bool 0 is 2", head(3, 0, 1).str("abc").u32(7).u32(2)},
		{"scalar cut", "file ends here", head(3, 0, 1).str("abc").u32(10).u32(2)},

		{"array element type (llama.cpp#26690)", "unknown array element type 99", head(3, 0, 1).str("a").u32(9, 99).u64(1).u64(0)},
		{"array count huge", "want at most", head(3, 0, 1).str("a").u32(9, 4).u64(math.MaxUint64)},
		{"array size wraps", "want at most", head(3, 0, 1).str("a").u32(9, 12).u64(1<<61 + 1)},
		{"array past the file", "file has 8 left", head(3, 0, 1).str("a").u32(9, 12).u64(2).u64(0)},
		{"43 bytes that loop (llama.cpp#27188)", "file has 0 left", head(3, 0, 1).str("aaa").u32(9, 8).u64(1 << 26)},
		{"array of empty arrays without end", "file has 0 left", head(3, 0, 1).str("a").u32(9, 9).u64(1 << 26)},
		{"string in array past the file", "element 1: file ends here", head(3, 0, 1).str("a").u32(9, 8).u64(2).str("x").u64(100)},
		{"arrays 2000 deep", "nested deeper than 4", deep},
		{"bool array", "bool 3 is 255", head(3, 0, 1).str("a").u32(9, 7).u64(4).u32(255 << 24)},

		{"alignment 0 (division by zero)", "general.alignment: 0", head(3, 0, 1).str("general.alignment").u32(4, 0)},
		{"alignment 24", "general.alignment: 24", head(3, 0, 1).str("general.alignment").u32(4, 24)},
		{"alignment 2^31", "general.alignment: 2147483648", head(3, 0, 1).str("general.alignment").u32(4, 1<<31)},
		{"alignment a string", "is string, want uint32", head(3, 0, 1).str("general.alignment").u32(8).str("32")},

		{"tensor offset past the file (CVE-2026-7482)", "offset 1099511627776", head(3, 1, 0).tensor("x", f32, 1<<40, 8).data(32)},
		{"tensor end past the file", "file has", head(3, 1, 0).tensor("x", f32, 32, 8).data(32)},
		{"tensor longer than the file", "bytes, file has", head(3, 1, 0).tensor("x", f32, 0, 1<<30).data(32)},
		{"tensor offset wraps", "offset 18446744073709551584", head(3, 1, 0).tensor("x", f32, math.MaxUint64-31, 8).data(32)},
		{"tensor size wraps (llama.cpp#18674)", "too many elements", head(3, 1, 0).tensor("x", f32, 0, 1<<62, 4).data(32)},
		{"tensor size wraps to small", "too many elements", head(3, 1, 0).tensor("x", f32, 0, 1<<32, 1<<32, 1, 1).data(32)},
		{"tensor bytes wrap", "too many elements", head(3, 1, 0).tensor("x", f32, 0, 1<<62).data(32)},
		{"tensor dim negative", "too many elements", head(3, 1, 0).tensor("x", f32, 0, 1<<63).data(32)},
		{"tensor dim 0", "no element", head(3, 1, 0).tensor("x", f32, 0, 8, 0).data(32)},
		{"tensor without dims", "0 dimensions", head(3, 1, 0).tensor("x", f32, 0).data(32)},
		{"tensor of 5 dims", "5 dimensions", head(3, 1, 0).tensor("x", f32, 0, 1, 1, 1, 1, 1).data(32)},
		{"tensor of 2^32-1 dims", "4294967295 dimensions", head(3, 1, 0).str("x").u32(math.MaxUint32).u64(1, 1, 1, 1, 1).data(32)},
		{"tensor type unknown", "unknown tensor type 43", head(3, 1, 0).tensor("x", 43, 0, 8).data(32)},
		{"tensor type removed", "unknown tensor type 4", head(3, 1, 0).tensor("x", 4, 0, 32).data(32)},
		{"tensor type 2^32-1", "unknown tensor type 4294967295", head(3, 1, 0).tensor("x", math.MaxUint32, 0, 32).data(32)},
		{"row no whole blocks", "rows of 48 elements are no whole blocks of 32", head(3, 1, 0).tensor("x", q4_0, 0, 48, 2).data(96)},
		{"tensor not aligned", "offset 4 is not a multiple of 32", head(3, 1, 0).tensor("x", f32, 4, 1).data(32)},
		{"tensors overlap", `"x" and "y" overlap`, head(3, 2, 0).tensor("x", f32, 0, 16).tensor("y", f32, 32, 8).data(64)},
		{"tensors overlap by one byte", `"x" and "y" overlap`, head(3, 2, 0).tensor("x", uint64(I8), 0, 33).tensor("y", f32, 32, 8).data(64)},
		{"tensors at one place", "overlap", head(3, 2, 0).tensor("x", f32, 0, 8).tensor("y", f32, 0, 8).data(64)},
		{"tensor twice", `"x": is there twice`, head(3, 2, 0).tensor("x", f32, 0, 8).tensor("x", f32, 32, 8).data(64)},
		{"tensor name too long", "want at most 255", head(3, 1, 0).tensor(strings.Repeat("x", 256), f32, 0, 8).data(32)},
		{"data missing", "file has", head(3, 1, 0).tensor("x", f32, 0, 1)},
		{"table cut", "file has", &raw{head(3, 2, 0).tensor("x", f32, 0, 8).b}},
	}
}

func TestHostileFiles(t *testing.T) {
	for _, c := range hostile() {
		data := bytes.Clone(c.file.b)
		f, err := Parse("test", data)
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

// Every file that is cut short anywhere is refused or read, never more.
func TestEveryCut(t *testing.T) {
	whole := head(3, 1, 3).str("a").u32(9, 8).u64(2).str("x").str("yz").str("b").u32(9, 9).u64(1).u32(4).u64(1).u32(7).
		str("c").u32(8).str("hello").tensor("x", 0, 0, 8).data(32).b
	if _, err := Parse("whole", whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := Parse("cut", whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(whole))
		}
	}
}

// touch reads all that a file offers.
func touch(t *testing.T, f *File) {
	var walk func(v Value)
	walk = func(v Value) {
		x, err := v.Any()
		if err != nil {
			t.Fatalf("a value that was checked: %v", err)
		}
		if vs, ok := x.([]Value); ok {
			for _, v := range vs {
				walk(v)
			}
		}
	}
	for key, v := range f.All() {
		walk(v)
		f.String(key)
		f.Bool(key)
		f.Uint(key)
		f.Int(key)
		f.Float(key)
		f.Strings(key)
		f.Ints(key)
		f.Floats(key)
		f.Bools(key)
	}
	for i := range f.Tensors {
		x := &f.Tensors[i]
		if f.Tensor(x.Name) != x || x.Elements() <= 0 || int64(len(x.Data())) != x.Size || x.Offset%int64(f.Alignment) != 0 {
			t.Fatalf("tensor %+v", x)
		}
		sum := byte(0)
		for _, b := range x.Data() {
			sum += b
		}
	}
}

// allocated returns the bytes that f allocates, freed ones included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allocBound holds for opening alone: a table entry of 33 bytes makes a Tensor, its place in a sort and a map entry.
func allocBound(n int) uint64 { return 16<<10 + 16*uint64(n) }

// The files that make the most memory of their bytes: nothing but smallest entries.
func TestMemoryIsBounded(t *testing.T) {
	const n = 50_000
	pairs, tensors := head(3, 0, n), head(3, n, 0)
	for i := range n {
		pairs.str(string(rune(0x10000 + i))).u32(0)
		pairs.b = append(pairs.b, 1)
		tensors.tensor(string(rune(0x10000+i)), uint64(I8), uint64(32*i), 1)
	}
	tensors.data(32 * n)
	for name, data := range map[string][]byte{"pairs": pairs.b, "tensors": tensors.b} {
		var err error
		got := allocated(func() { _, err = Parse(name, data) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes allocated for a file of %d: %.1f times", name, got, len(data), float64(got)/float64(len(data)))
		if got > allocBound(len(data)) {
			t.Errorf("%s: %d bytes allocated for a file of %d, want at most %d", name, got, len(data), allocBound(len(data)))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range hostile() {
		f.Add(c.file.b)
	}
	f.Add(head(3, 0, 1).str("llama.block_count").u32(4, 1<<30).b) // llama.cpp#25821: for the loader to bound
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
