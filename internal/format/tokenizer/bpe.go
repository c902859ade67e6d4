package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is byte-pair encoding: a word starts as one symbol for each byte (byte-level) or code point, and the two
// neighbours whose merge was learnt first become one, until no merge is left.
type bpe struct {
	stages []stage
	escape bool // ▁ for every space, before the words are cut
	merges pairTable
	words  map[string]int32 // ignore_merges: bytes of a word that is a token; nil without it

	first [256]int32       // the symbol of a byte: byte-level, and the fallback of code points
	runes map[string]int32 // the symbol of a code point; nil in byte-level models
	unk   int32            // what a code point becomes that has no symbol; -1: nothing
	fuse  bool             // a run of unknown code points becomes one unk

	vocab int       // symbols from here on are no tokens
	spell [][]int32 // what symbol vocab+i becomes in the end
}

// none marks a byte without a symbol.
const none = -1

func (b *bpe) encode(dst []int, text string, s *scratch) []int {
	if b.escape {
		text = strings.ReplaceAll(text, " ", escapedSpace)
	}
	split(text, b.stages, func(word string) { dst = b.word(dst, word, s) })
	return dst
}

// word appends the ids of one word.
func (b *bpe) word(dst []int, word string, s *scratch) []int {
	slot, hit := s.slot(word)
	if hit {
		return slot.append(dst)
	}
	before := len(dst)
	if id, ok := b.words[word]; ok {
		dst = append(dst, int(id))
	} else {
		dst = b.merge(dst, word, s)
	}
	slot.store(word, dst[before:])
	return dst
}

// shortWord bounds the words whose best pair is searched one by one, quicker than a queue but quadratic.
const shortWord = 48

func (b *bpe) merge(dst []int, word string, s *scratch) []int {
	b.symbolsOf(word, s)
	if len(s.ids) <= shortWord {
		for _, id := range b.mergeShort(s.ids, s) {
			dst = b.emit(dst, id)
		}
		return dst
	}
	s.parts = s.parts[:0]
	for i, id := range s.ids {
		s.parts = append(s.parts, part{int32(i) - 1, int32(i) + 1, int32(i), 1, id})
	}
	s.parts[len(s.parts)-1].next = -1
	s.queue = mergeAll(s.parts, s.queue, func(left, right *part) (uint32, int32, bool) {
		v := b.merges.find(left.id, right.id)
		return uint32(v >> 32), int32(uint32(v)), v != noMerge
	})
	for i := int32(0); i >= 0; i = s.parts[i].next {
		dst = b.emit(dst, s.parts[i].id)
	}
	return dst
}

// symbolsOf fills s.ids with the symbols that word starts as.
func (b *bpe) symbolsOf(word string, s *scratch) {
	s.ids = s.ids[:0]
	add := func(id int32) {
		if id != none {
			s.ids = append(s.ids, id)
		}
	}
	if b.runes == nil {
		for i := range len(word) {
			add(b.first[word[i]])
		}
		return
	}
	wasUnknown := false
	for i := 0; i < len(word); {
		_, n := utf8.DecodeRuneInString(word[i:])
		id, ok := b.runes[word[i:i+n]]
		switch {
		case ok:
			add(id)
		case b.hasBytes(word[i : i+n]):
			for j := range n {
				add(b.first[word[i+j]])
			}
			ok = true
		case !wasUnknown || !b.fuse:
			add(b.unk)
		}
		wasUnknown = !ok
		i += n
	}
}

func (b *bpe) hasBytes(s string) bool {
	for i := range len(s) {
		if b.first[s[i]] == none {
			return false
		}
	}
	return true
}

// mergeShort merges in place and returns what is left of ids. s.pairs[i] is the merge of ids[i] and ids[i+1].
func (b *bpe) mergeShort(ids []int32, s *scratch) []int32 {
	pairs := s.pairs[:0]
	for i := 1; i < len(ids); i++ {
		pairs = append(pairs, b.merges.find(ids[i-1], ids[i]))
	}
	s.pairs = pairs
	for len(pairs) > 0 {
		best, at := noMerge, 0
		for i, p := range pairs {
			if p < best { // the rank is in the high half: of equals, the leftmost
				best, at = p, i
			}
		}
		if best == noMerge {
			break
		}
		ids[at] = int32(uint32(best))
		ids = append(ids[:at+1], ids[at+2:]...)
		pairs = append(pairs[:at], pairs[at+1:]...)
		if at > 0 {
			pairs[at-1] = b.merges.find(ids[at-1], ids[at])
		}
		if at < len(pairs) {
			pairs[at] = b.merges.find(ids[at], ids[at+1])
		}
	}
	return ids
}

// emit appends the token of a symbol. A symbol that is no token is what merges of a cut vocabulary lead to: its bytes
// stand for it, as in llama.cpp.
func (b *bpe) emit(dst []int, id int32) []int {
	if int(id) < b.vocab {
		return append(dst, int(id))
	}
	for _, id := range b.spell[int(id)-b.vocab] {
		dst = append(dst, int(id))
	}
	return dst
}

// learn fills the table from merges as files keep them, two texts with a space between, in the order they were learnt.
// ids are the texts of the model's own vocabulary; with strict a text that is not among them is an error. Of a merge
// that is there twice the first counts, with lastWins the last.
func (b *bpe) learn(merges []string, ids map[string]int32, strict, lastWins bool) error {
	b.merges = newPairTable(len(merges))
	extra := map[string]int32{} // texts that are no token, by symbol
	find := func(text []byte) (int32, bool) {
		if id, ok := ids[string(text)]; ok {
			return id, true
		}
		if strict {
			return 0, false
		}
		id, ok := extra[string(text)]
		if !ok {
			id = int32(b.vocab + len(b.spell))
			extra[string(text)] = id
			b.spell = append(b.spell, b.spelled(string(text)))
		}
		return id, true
	}
	var buf []byte
	for rank, m := range merges {
		cut := -1
		if len(m) > 1 {
			cut = strings.IndexByte(m[1:], ' ') + 1 // a text may be a space itself, but none is empty
		}
		if cut < 1 || cut+1 == len(m) {
			return fmt.Errorf("merge %d is %q, want two texts with a space between", rank, m)
		}
		var id [3]int32
		buf = append(append(buf[:0], m[:cut]...), m[cut+1:]...)
		for i, text := range [3][]byte{buf[:cut], buf[cut:], buf} {
			var ok bool
			if id[i], ok = find(text); !ok {
				return fmt.Errorf("merge %d is %q, but %q is not in the vocabulary", rank, m, text)
			}
		}
		b.merges.set(id[0], id[1], uint64(rank)<<32|uint64(id[2]), lastWins)
	}
	for c, id := range b.first { // a byte that is no token may still be merged into one
		if id == none && b.runes == nil {
			if id, ok := extra[string(alphabet[c])]; ok {
				b.first[c] = id
			}
		}
	}
	return nil
}

// spelled is the tokens of the bytes that a text spells in the alphabet.
func (b *bpe) spelled(text string) (ids []int32) {
	bytes, _ := appendAlphabet(nil, text)
	for _, c := range bytes {
		if id := b.first[c]; id != none && int(id) < b.vocab {
			ids = append(ids, id)
		}
	}
	return ids
}

// pairTable maps two neighbours to rank<<32 | what they become. It is a hash table with open addresses: merging looks up
// little else, and Go's map would take three times as long.
type pairTable struct {
	entries []pairEntry
	shift   uint
}

type pairEntry struct{ key, value uint64 } // value 0 marks a free place: no merge becomes symbol 0 at rank 0, see set

const noMerge = ^uint64(0)

func newPairTable(n int) pairTable {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	return pairTable{make([]pairEntry, 1<<bits), 64 - bits}
}

// place is the index of the pair's entry, or of the free one where it would go.
func (t *pairTable) place(key uint64) uint64 {
	i := key * 0x9E3779B97F4A7C15 >> t.shift
	for t.entries[i].value != 0 && t.entries[i].key != key {
		i = (i + 1) & uint64(len(t.entries)-1)
	}
	return i
}

// find returns the merge of left and right, or noMerge.
func (t *pairTable) find(left, right int32) uint64 {
	return t.entries[t.place(uint64(uint32(left))<<32|uint64(uint32(right)))].value - 1
}

// set stores a merge; values are kept one higher, so that 0 is free and a free place reads as noMerge.
func (t *pairTable) set(left, right int32, value uint64, replace bool) {
	key := uint64(uint32(left))<<32 | uint64(uint32(right))
	e := &t.entries[t.place(key)]
	if e.value == 0 || replace {
		*e = pairEntry{key, value + 1}
	}
}
