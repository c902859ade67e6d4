package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"retort/internal/format/gguf"
)

// byteLevelMetadata describes a byte-level vocabulary of all bytes, then what the merges make, then added tokens, of which
// those with | are control tokens.
func byteLevelMetadata(pre string, merges, added []string) *gguf.Metadata {
	var texts []string
	for _, r := range alphabet {
		texts = append(texts, string(r))
	}
	for _, m := range merges {
		if text := strings.Replace(m, " ", "", 1); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	types := make([]int32, 0, len(texts)+len(added))
	for range texts {
		types = append(types, int32(normal))
	}
	for _, a := range added {
		k := userDefined
		if strings.Contains(a, "|") {
			k = control
		}
		texts, types = append(texts, a), append(types, int32(k))
	}
	md := new(gguf.Metadata)
	md.Set(keyModel, gguf.ValueOf("gpt2"))
	md.Set(keyPre, gguf.ValueOf(pre))
	md.Set(keyTokens, gguf.ArrayOf(texts))
	md.Set(keyTypes, gguf.ArrayOf(types))
	md.Set(keyMerges, gguf.ArrayOf(merges))
	return md
}

func mustTokenizer(t testing.TB, md *gguf.Metadata) *Tokenizer {
	t.Helper()
	tok, err := FromMetadata(md)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// mergeNaive is the definition: join the first of the pairs of least rank, until none is left.
func mergeNaive(b *bpe, ids []int32) []int32 {
	ids = slices.Clone(ids)
	for {
		best, at := noMerge, -1
		for i := 1; i < len(ids); i++ {
			if v := b.merges.find(ids[i-1], ids[i]); v < best {
				best, at = v, i-1
			}
		}
		if at < 0 {
			return ids
		}
		ids = slices.Replace(ids, at, at+2, int32(uint32(best)))
	}
}

// TestMergeOrder holds both ways of merging, by search and by queue, against the definition on random merges of few letters,
// where many overlap.
func TestMergeOrder(t *testing.T) {
	rng, s := rand.New(rand.NewPCG(1, 2)), new(scratch)
	for round := range 200 {
		pieces := []string{"a", "b", "c"}
		var merges []string
		for range 1 + rng.IntN(25) {
			l, r := pieces[rng.IntN(len(pieces))], pieces[rng.IntN(len(pieces))]
			if m := l + " " + r; !slices.Contains(merges, m) {
				merges = append(merges, m)
				if !slices.Contains(pieces, l+r) {
					pieces = append(pieces, l+r)
				}
			}
		}
		tok := mustTokenizer(t, byteLevelMetadata("qwen2", merges, nil))
		b := tok.scheme.(*bpe)
		for range 20 {
			word := make([]byte, 1+rng.IntN(2*shortWord))
			for i := range word {
				word[i] = "abc"[rng.IntN(3)]
			}
			var start []int32
			for _, c := range word {
				start = append(start, b.first[c])
			}
			want := mergeNaive(b, start)
			short := b.mergeShort(slices.Clone(start), s)
			long := mergeLong(b, start)
			if !slices.Equal(short, want) || !slices.Equal(long, want) {
				t.Fatalf("round %d, merges %q, word %q: searched %v, queued %v, want %v", round, merges, word, short, long, want)
			}
		}
	}
}

// mergeLong is what bpe.merge does to long words.
func mergeLong(b *bpe, start []int32) (ids []int32) {
	parts := make([]part, len(start))
	for i, id := range start {
		parts[i] = part{int32(i) - 1, int32(i) + 1, int32(i), 1, id}
	}
	parts[len(parts)-1].next = -1
	mergeAll(parts, nil, func(l, r *part) (uint32, int32, bool) {
		v := b.merges.find(l.id, r.id)
		return uint32(v >> 32), int32(uint32(v)), v != noMerge
	})
	for i := int32(0); i >= 0; i = parts[i].next {
		ids = append(ids, parts[i].id)
	}
	return ids
}

// TestLongWord checks that a megabyte of one letter, which no pre-tokenizer cuts, does not take quadratic time.
func TestLongWord(t *testing.T) {
	merges := []string{"a a", "aa aa", "aaaa aaaa", "aaaaaaaa aaaaaaaa"}
	const n = 1 << 20
	for name, tok := range map[string]*Tokenizer{
		"bpe": mustTokenizer(t, byteLevelMetadata("qwen2", merges, nil)),
		"spm": mustTokenizer(t, spmMetadata([]string{"a", "aa", "aaaa", "aaaaaaaa", "▁"}, []float32{-5, -1, -2, -3, -9})),
	} {
		start := time.Now()
		ids := tok.Encode(strings.Repeat("a", n), Options{})
		if d := time.Since(start); d > 5*time.Minute { // quadratic would be hours
			t.Errorf("%s: %v for %d letters", name, d, n)
		}
		if got := tok.Decode(ids); len(got) != n || len(ids) > n/8+1 {
			t.Errorf("%s: %d ids that decode to %d letters, want at most %d and %d", name, len(ids), len(got), n/8+1, n)
		}
	}
}

// TestMergeWithoutToken checks a merge whose result was cut from the vocabulary: it happens, and its bytes stand for it.
func TestMergeWithoutToken(t *testing.T) {
	md := byteLevelMetadata("qwen2", []string{"a b"}, nil)
	md.Set(keyMerges, gguf.ArrayOf([]string{"a b", "ab c", "Z Y"}))
	tok := mustTokenizer(t, md)
	// "ab c" leads to no token: abc is spelled a b c, although ab is a token.
	if got, want := tok.Decode(tok.Encode("abc ab ZY", Options{})), "abc ab ZY"; got != want {
		t.Errorf("decodes to %q, want %q", got, want)
	}
	if got := tok.Encode("abc", Options{}); len(got) != 3 {
		t.Errorf("abc became %v, want three bytes", got)
	}
	if got := tok.Encode("ab", Options{}); len(got) != 1 {
		t.Errorf("ab became %v, want one token", got)
	}
}

// TestIgnoreMerges gives abc a token that no merge leads to: only a model that ignores merges finds it.
func TestIgnoreMerges(t *testing.T) {
	md := byteLevelMetadata("llama-bpe", []string{"a b"}, nil)
	texts, _ := md.Strings(keyTokens)
	whole := len(texts)
	md.Set(keyTokens, gguf.ArrayOf(append(texts, "abc")))
	md.Set(keyTypes, gguf.ArrayOf(slices.Repeat([]int32{int32(normal)}, whole+1)))
	md.Set(keyBOS, gguf.ValueOf(uint32(0))) // which llama-bpe needs
	tok := mustTokenizer(t, md)
	if got := tok.Encode("abc", Options{}); !slices.Equal(got, []int{whole}) || !tok.AddBOS {
		t.Errorf("llama-bpe: abc became %v, want [%d]; AddBOS %v, want true", got, whole, tok.AddBOS)
	}
	md.Set(keyPre, gguf.ValueOf("dbrx"))
	tok = mustTokenizer(t, md)
	if got := tok.Encode("abc", Options{}); len(got) != 2 || tok.AddBOS {
		t.Errorf("dbrx: abc became %v, want ab and c; AddBOS %v, want false", got, tok.AddBOS)
	}
}

// TestScratchIsKeptApart encodes at once from several goroutines: the race detector and the ids would tell.
func TestScratchIsKeptApart(t *testing.T) {
	tok := mustTokenizer(t, byteLevelMetadata("gpt-2", []string{"h e", "l l", "he ll", "hell o"}, nil))
	texts := make([]string, 50)
	want := make([][]int, len(texts))
	for i := range texts {
		texts[i] = strings.Repeat(fmt.Sprintf("hello %d hell ", i), 20)
		want[i] = tok.Encode(texts[i], Options{})
	}
	t.Run("group", func(t *testing.T) {
		for range 4 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for i, text := range texts {
					if got := tok.Encode(text, Options{}); !slices.Equal(got, want[i]) {
						t.Errorf("text %d: %v, want %v", i, got, want[i])
					}
				}
			})
		}
	})
}
