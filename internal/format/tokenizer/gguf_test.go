package tokenizer

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"retort/internal/format/gguf"
)

// spmMetadata describes a SentencePiece vocabulary: <unk>, <s>, </s>, 256 byte tokens, then texts with their scores.
func spmMetadata(texts []string, scores []float32) *gguf.Metadata {
	all := []string{"<unk>", "<s>", "</s>"}
	types := []int32{int32(unknown), int32(control), int32(control)}
	for b := range 256 {
		all, types = append(all, "<0x"+strings.ToUpper(hex2(b))+">"), append(types, int32(byteToken))
	}
	points := make([]float32, len(all))
	for i, s := range texts {
		all, types, points = append(all, s), append(types, int32(normal)), append(points, scores[i])
	}
	md := new(gguf.Metadata)
	md.Set(keyModel, gguf.ValueOf("llama"))
	md.Set(keyTokens, gguf.ArrayOf(all))
	md.Set(keyTypes, gguf.ArrayOf(types))
	md.Set(keyScores, gguf.ArrayOf(points))
	return md
}

func hex2(b int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

func TestSentencePiece(t *testing.T) {
	texts := []string{"▁", "a", "b", "▁a", "ab", "▁ab", "aab"}
	tok := mustTokenizer(t, spmMetadata(texts, []float32{-10, -11, -12, -2, -1, -3, -1}))
	id := func(s string) int {
		t.Helper()
		i, ok := tok.ID(s)
		if !ok {
			t.Fatalf("no token %q", s)
		}
		return i
	}
	for text, want := range map[string][]int{
		"ab":      {id("▁ab")},          // ab (-1) is joined before ▁a (-2), then ▁ab
		"aab":     {id("▁"), id("aab")}, // ab, then aab: both come before ▁a
		"":        nil,
		" a":      {id("▁"), id("▁a")},
		"\n":      {id("▁"), id("<0x0A>")},
		"é":       {id("▁"), id("<0xC3>"), id("<0xA9>")},
		"<s>":     {id("▁"), id("<0x3C>"), id("<0x73>"), id("<0x3E>")},
		"a\xffb":  {id("▁a"), id("<0xFF>"), id("b")},
		"<0x41>b": {id("▁"), id("<0x3C>"), id("<0x30>"), id("<0x78>"), id("<0x34>"), id("<0x31>"), id("<0x3E>"), id("b")},
	} {
		got := tok.Encode(text, Options{})
		if !slices.Equal(got, want) {
			t.Errorf("%q became %v, want %v", text, got, want)
		}
		if back := tok.Decode(got); back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	}
	if got, want := tok.Encode("a<s>b", Options{Special: true}), []int{id("▁a"), 1, id("▁"), id("b")}; !slices.Equal(got, want) {
		t.Errorf("a<s>b became %v, want %v: the text behind a control token gets a space too", got, want)
	}
	if !tok.AddBOS || tok.AddEOS || tok.BOS != 1 || tok.EOS != 2 || tok.UNK != 0 || tok.PAD != -1 {
		t.Errorf("AddBOS %v AddEOS %v BOS %d EOS %d UNK %d PAD %d, want true false 1 2 0 -1", tok.AddBOS, tok.AddEOS, tok.BOS, tok.EOS, tok.UNK, tok.PAD)
	}
}

func TestGGUFDefaults(t *testing.T) {
	md := byteLevelMetadata("qwen2", nil, []string{"<|im_end|>", "<tool_call>"})
	tok := mustTokenizer(t, md)
	if tok.AddBOS || tok.AddEOS || tok.BOS != -1 || tok.EOS != -1 {
		t.Errorf("AddBOS %v AddEOS %v BOS %d EOS %d, want false false -1 -1", tok.AddBOS, tok.AddEOS, tok.BOS, tok.EOS)
	}
	end, _ := tok.ID("<|im_end|>")
	if !tok.IsEOG(end) || !tok.IsSpecial(end) || tok.Bytes(end) != nil || tok.Token(end) != "<|im_end|>" {
		t.Errorf("<|im_end|>: end %v, special %v, bytes %q", tok.IsEOG(end), tok.IsSpecial(end), tok.Bytes(end))
	}
	call, _ := tok.ID("<tool_call>")
	if tok.IsEOG(call) || tok.IsSpecial(call) || string(tok.Bytes(call)) != "<tool_call>" {
		t.Errorf("<tool_call>: end %v, special %v, bytes %q", tok.IsEOG(call), tok.IsSpecial(call), tok.Bytes(call))
	}
	for _, id := range []int{-1, tok.Vocab(), 1 << 30} {
		if tok.Token(id) != "" || tok.Bytes(id) != nil || tok.IsSpecial(id) || tok.IsEOG(id) || len(tok.AppendToken(nil, id)) > 0 {
			t.Errorf("id %d outside the vocabulary is something", id)
		}
	}
	if got := tok.Decode([]int{-5, end, 'A', tok.Vocab()}); got != "A" {
		t.Errorf("Decode gave %q, want A", got)
	}
	if got := tok.DecodeSpecial([]int{end}); got != "<|im_end|>" {
		t.Errorf("DecodeSpecial gave %q", got)
	}
}

// TestGGUFErrors breaks one thing at a time; the error must name it.
func TestGGUFErrors(t *testing.T) {
	for name, test := range map[string]struct {
		change func(md *gguf.Metadata)
		want   string
	}{
		"no model":    {func(md *gguf.Metadata) { md.Delete(keyModel) }, keyModel},
		"model":       {func(md *gguf.Metadata) { md.Set(keyModel, gguf.ValueOf("bert")) }, `"bert"`},
		"pre":         {func(md *gguf.Metadata) { md.Set(keyPre, gguf.ValueOf("klingon")) }, `"klingon"`},
		"no tokens":   {func(md *gguf.Metadata) { md.Delete(keyTokens) }, keyTokens},
		"no merges":   {func(md *gguf.Metadata) { md.Delete(keyMerges) }, keyMerges},
		"bad merge":   {func(md *gguf.Metadata) { md.Set(keyMerges, gguf.ArrayOf([]string{"a b", "ab"})) }, `merge 1 is "ab"`},
		"empty merge": {func(md *gguf.Metadata) { md.Set(keyMerges, gguf.ArrayOf([]string{""})) }, `merge 0 is ""`},
		"half merge":  {func(md *gguf.Metadata) { md.Set(keyMerges, gguf.ArrayOf([]string{"a "})) }, `merge 0 is "a "`},
		"duplicate":   {func(md *gguf.Metadata) { md.Set(keyTokens, gguf.ArrayOf([]string{"a", "b", "a"})) }, `"a" has two ids, 0 and 2`},
		"few types":   {func(md *gguf.Metadata) { md.Set(keyTypes, gguf.ArrayOf([]int32{1})) }, keyTypes},
		"type":        {func(md *gguf.Metadata) { md.Set(keyTypes, gguf.ArrayOf(slices.Repeat([]int32{99}, 300))) }, "is 99"},
		"byte token":  {func(md *gguf.Metadata) { md.Set(keyTypes, gguf.ArrayOf(slices.Repeat([]int32{6}, 300))) }, "byte token"},
		"scores kind": {func(md *gguf.Metadata) { md.Set(keyModel, gguf.ValueOf("llama")); md.Set(keyScores, gguf.ValueOf("x")) }, keyScores},
		"few scores": {func(md *gguf.Metadata) {
			md.Set(keyModel, gguf.ValueOf("llama"))
			md.Set(keyScores, gguf.ArrayOf([]float32{1}))
		}, keyScores},
		"bos without":   {func(md *gguf.Metadata) { md.Set(keyAddBOS, gguf.ValueOf(true)) }, keyBOS},
		"eos without":   {func(md *gguf.Metadata) { md.Set(keyAddEOS, gguf.ValueOf(true)) }, keyEOS},
		"bos kind":      {func(md *gguf.Metadata) { md.Set(keyBOS, gguf.ValueOf("x")) }, keyBOS},
		"add bos kind":  {func(md *gguf.Metadata) { md.Set(keyAddBOS, gguf.ValueOf("x")) }, keyAddBOS},
		"tokens of int": {func(md *gguf.Metadata) { md.Set(keyTokens, gguf.ArrayOf([]int32{1})) }, keyTokens},
	} {
		md := byteLevelMetadata("gpt-2", []string{"a b"}, nil)
		test.change(md)
		if _, err := FromMetadata(md); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %s", name, err, test.want)
		}
	}
	for _, bad := range []string{"<0x-1>", "<0x+1>", "<0x1>", "<0x100>", "<0xGG>", "0x41", "<0x 1>"} {
		md := spmMetadata([]string{"a"}, []float32{0})
		texts, _ := md.Strings(keyTokens)
		texts[100] = bad
		md.Set(keyTokens, gguf.ArrayOf(texts))
		if _, err := FromMetadata(md); err == nil || !strings.Contains(err.Error(), "token 100") {
			t.Errorf("byte token %q: error %v", bad, err)
		}
	}
}

// TestOutOfRangeIDs: a special id that is no token counts as missing, as in llama.cpp.
func TestOutOfRangeIDs(t *testing.T) {
	md := spmMetadata([]string{"a"}, []float32{0})
	md.Set(keyEOS, gguf.ValueOf(uint32(1<<30)))
	md.Set(keyPAD, gguf.ValueOf(int32(-7)))
	tok := mustTokenizer(t, md)
	if tok.EOS != 2 || tok.PAD != -1 {
		t.Errorf("EOS %d PAD %d, want 2 and -1", tok.EOS, tok.PAD)
	}
}

// TestMetadataRoundTrip writes every vocabulary that is at hand and reads it again: ids and facts stay.
func TestMetadataRoundTrip(t *testing.T) {
	check := func(t *testing.T, tok *Tokenizer) {
		var md gguf.Metadata
		if err := tok.SetMetadata(&md); err != nil {
			t.Fatal(err)
		}
		back := mustTokenizer(t, &md)
		if back.Vocab() != tok.Vocab() || back.BOS != tok.BOS || back.AddBOS != tok.AddBOS || back.AddEOS != tok.AddEOS {
			t.Errorf("vocab %d BOS %d AddBOS %v AddEOS %v, want %d %d %v %v", back.Vocab(), back.BOS, back.AddBOS, back.AddEOS,
				tok.Vocab(), tok.BOS, tok.AddBOS, tok.AddEOS)
		}
		for id := range tok.Vocab() {
			if tok.IsEOG(id) != back.IsEOG(id) || tok.IsSpecial(id) != back.IsSpecial(id) || string(tok.Bytes(id)) != string(back.Bytes(id)) && tok.Token(id) != "" {
				t.Fatalf("token %d %q: bytes %q, want %q", id, tok.Token(id), back.Bytes(id), tok.Bytes(id))
			}
		}
		for _, text := range readTexts(t, "testdata/random.json") {
			for _, o := range []Options{{}, {Special: true}} {
				if got, want := back.Encode(text, o), tok.Encode(text, o); !slices.Equal(got, want) {
					t.Errorf("%q became %v, want %v", text, got, want)
				}
			}
		}
	}
	for name, load := range map[string]func(testing.TB) *Tokenizer{
		"minimind": sharedJSON("minimind"), "llama-spm": sharedVocab("llama-spm"), "deepseek-coder": sharedVocab("deepseek-coder"),
	} {
		t.Run(name, func(t *testing.T) { check(t, load(t)) })
	}
	t.Run("holes", func(t *testing.T) {
		md := byteLevelMetadata("gpt-2", []string{"a b"}, nil)
		texts, _ := md.Strings(keyTokens)
		texts[3] = ""
		md.Set(keyTokens, gguf.ArrayOf(texts))
		var out gguf.Metadata
		if err := mustTokenizer(t, md).SetMetadata(&out); err != nil {
			t.Fatal(err)
		}
		if back := mustTokenizer(t, &out); back.Token(3) != "[PAD3]" {
			t.Errorf("a hole became %q, want [PAD3]", back.Token(3))
		}
	})
}

// TestPadMetadata: a vocabulary grows to a model's rows, and nothing but its length changes.
func TestPadMetadata(t *testing.T) {
	bytes := byteLevelMetadata("gpt-2", []string{"a b"}, []string{"<|x|>", "[PAD260]"})
	untyped := spmMetadata([]string{"▁", "a", "▁a"}, []float32{-3, -2, -1})
	untyped.Delete(keyTypes)
	for name, md := range map[string]*gguf.Metadata{"bytes": bytes, "sentencepiece": spmMetadata([]string{"▁", "a", "▁a"}, []float32{-3, -2, -1}), "untyped": untyped} {
		before := mustTokenizer(t, md)
		n := before.Vocab()
		if err := PadMetadata(md, n); err != nil || mustTokenizer(t, md).Vocab() != n {
			t.Errorf("%s: to its own length: %v", name, err)
		}
		if err := PadMetadata(md, n-1); err == nil || !strings.Contains(err.Error(), strconv.Itoa(n)+" tokens") || !strings.Contains(err.Error(), strconv.Itoa(n-1)+" rows") {
			t.Errorf("%s: to fewer rows: error %v", name, err)
		}
		if err := PadMetadata(md, n+20); err != nil {
			t.Fatal(err)
		}
		after := mustTokenizer(t, md)
		if after.Vocab() != n+20 {
			t.Errorf("%s: %d tokens, want %d", name, after.Vocab(), n+20)
		}
		for id := range n {
			if after.Token(id) != before.Token(id) || string(after.Bytes(id)) != string(before.Bytes(id)) || after.IsUnused(id) || after.IsSpecial(id) != before.IsSpecial(id) {
				t.Errorf("%s: token %d was %q and is %q", name, id, before.Token(id), after.Token(id))
			}
		}
		for id := n; id < n+20; id++ {
			want := "[PAD" + strconv.Itoa(id) + "]"
			if name == "bytes" && id == 260 { // a token has that name
				want = "[PAD" + strconv.Itoa(id+n+20) + "]"
			}
			if after.Token(id) != want || !after.IsUnused(id) || after.Bytes(id) != nil {
				t.Errorf("%s: token %d is %q, want %q, unused", name, id, after.Token(id), want)
			}
		}
		const text = "aab [PAD259] a"
		if a, b := after.Encode(text, Options{Special: true}), before.Encode(text, Options{Special: true}); !slices.Equal(a, b) {
			t.Errorf("%s: %q became %v, and was %v", name, text, a, b)
		}
	}
	if err := PadMetadata(new(gguf.Metadata), 7); err != nil {
		t.Errorf("no vocabulary: %v", err)
	}
}
