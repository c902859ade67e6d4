package hub

import (
	"strings"
	"testing"
)

func TestQuantOf(t *testing.T) {
	for file, want := range map[string]string{
		"qwen2.5-0.5b-instruct-q4_k_m.gguf": "Q4_K_M", "Llama-3.2-1B.Q8_0.gguf": "Q8_0", "x-UD-Q4_K_XL.gguf": "UD-Q4_K_XL",
		"x-IQ2_XXS.gguf": "IQ2_XXS", "gpt-oss-20b-mxfp4.gguf": "MXFP4", "m-bf16.gguf": "BF16", "Q4_K_M/x-Q4_K_M-00001-of-00002.gguf": "Q4_K_M",
		"q4-notes.gguf": "", "model.gguf": "", "x-f16-q5_0.gguf": "Q5_0",
	} {
		if got := quantOf(file); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	files := func(paths ...string) (all []hubFile) {
		for _, p := range paths {
			all = append(all, hubFile{Path: p, Size: 1000})
		}
		return all
	}
	several := files("x-Q2_K.gguf", "x-Q8_0.gguf", "x-Q4_K_M.gguf", "mmproj-x-f16.gguf", "x.imatrix.gguf", "README.md")
	for _, c := range []struct {
		files           []hubFile
		want, got, fail string
	}{
		{several, "", "x-Q4_K_M.gguf", ""},
		{several, "q2_k", "x-Q2_K.gguf", ""},
		{several, "X-q8_0.GGUF", "x-Q8_0.gguf", ""},
		{several, "Q3_K_M", "", "no GGUF file Q3_K_M"},
		{files("x-Q8_0.gguf", "x-Q2_K.gguf"), "", "x-Q8_0.gguf", ""},
		{files("only.gguf"), "", "only.gguf", ""},
		{files("a-Q2_K.gguf", "b-Q2_K.gguf"), "", "", "2 GGUF models"},
		{files("a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "b-Q8_0.gguf"), "", "", "2 GGUF models"},
		{files("d/s-00001-of-00002.gguf", "d/s-00002-of-00002.gguf"), "d/s-00002-of-00002.gguf", "d/s-00001-of-00002.gguf", ""},
		{files("s-00001-of-00002.gguf"), "", "", "missing"},
		{files("s-00001-of-99999.gguf"), "", "s-00001-of-99999.gguf", ""}, // no split model: beyond every bound
		{files("README.md"), "", "", "holds no GGUF"},
	} {
		e, err := choose("o/r", editions(c.files), c.want)
		if e.label != c.got || (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%v of %v: %q, %v; want %q%s", c.want, c.files, e.label, err, c.got, c.fail)
		}
	}
	_, err := choose("o/r", editions(several), "Q3_K_M")
	for _, part := range []string{"hf:o/r:x-Q2_K.gguf (1.0 kB)", "hf:o/r:x-Q8_0.gguf", "hf:o/r:x-Q4_K_M.gguf"} {
		if !strings.Contains(hint(err), part) {
			t.Errorf("choices %q lack %s", hint(err), part)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 999_940: "999.9 kB", 999_999: "1.0 MB",
		1_117_320_768: "1.1 GB", 5_000_000_000_000_000: "5.0 PB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
