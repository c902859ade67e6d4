package session

import (
	"unicode/utf8"

	"retort/internal/format/tokenizer"
	"retort/internal/lm/grammar"
)

// bound binds an answer to a grammar: the mask of the engine. Where the model thinks first, its thinking is free and what
// follows the block is bound.
type bound struct {
	form     *Form
	vocab    *vocabulary
	matcher  *grammar.Matcher
	place    place
	thoughts *thoughts // nil where the answer begins at once
	closing  int       // inThought: how many bytes of the closing mark the text ends with
	breaks   int       // behind: line breaks that may still come and are no part of the answer
	tail     []byte    // inAnswer: the last of it
}

// place is where an answer stands.
type place int

const (
	atBegin   place = iota // a thinking block may be opened, or the answer begun
	inThought              // in the block
	behind                 // behind it, before the answer
	inAnswer
)

// bind starts an answer to a prompt. thinking says that the prompt opened a block, may that the model may open one.
func (f *Form) bind(g *grammar.Grammar, thinking, may bool) *bound {
	v := f.vocabulary()
	b := &bound{form: f, vocab: v, matcher: g.Start(v.Vocabulary), place: inAnswer}
	if !thinking && !may {
		return b
	}
	b.thoughts = v.thoughts()
	switch {
	case thinking:
		b.place = inThought
	case b.thoughts.open >= 0:
		b.place = atBegin
	}
	return b
}

// Mask implements generate.Mask.
func (b *bound) Mask(dst []uint64) error {
	if b.place == inThought {
		copy(dst, b.thoughts.free[b.closing])
		return nil
	}
	err := b.matcher.Mask(dst)
	switch b.place {
	case atBegin:
		id := b.thoughts.open
		dst[id>>6] |= 1 << (id & 63)
	case behind:
		for n := 1; n <= b.breaks; n++ {
			for _, id := range b.thoughts.breaks[n] {
				dst[id>>6] |= 1 << (id & 63)
			}
		}
	}
	return err
}

// Accept implements generate.Mask.
func (b *bound) Accept(id int) error {
	switch {
	case b.place == atBegin && id == b.thoughts.open:
		b.place = inThought
		return nil
	case b.place == inThought:
		k, rest, closed := follow(b.closing, b.form.text(nil, id))
		if b.closing = k; closed {
			b.place, b.breaks = behind, maxBreaks-len(rest)
		}
		return nil
	case b.place == behind:
		if n := lineBreaks(b.form.text(nil, id)); n > 0 && n <= b.breaks {
			b.breaks -= n
			return nil
		}
	}
	b.place = inAnswer
	if err := b.matcher.Accept(id); err != nil {
		return err
	}
	b.tail = append(b.tail, b.form.Tokenizer.Bytes(id)...)
	if over := len(b.tail) - maxTail; over > 0 {
		b.tail = append(b.tail[:0], b.tail[over:]...)
	}
	return nil
}

// maxTail is how much of an answer is looked at to cut what follows into tokens as the model would: some words.
const maxTail = 64

// Foresee implements generate.Foreseer: text that the grammar forces, in the tokens that the model knows it in.
func (b *bound) Foresee(dst []int32, most int) []int32 {
	if b.place != inAnswer {
		return dst
	}
	forced := b.matcher.Forced()
	if len(forced) == 0 {
		return dst
	}
	for _, id := range b.form.continued(b.tail, forced) {
		if most--; most < 0 {
			break
		}
		dst = append(dst, int32(id))
	}
	return dst
}

// continued returns the tokens of text behind tail: those of both together where a token begins at the seam, else those
// of text alone; none where text is not what they stand for.
func (f *Form) continued(tail, text []byte) []int {
	for len(tail) > 0 && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	if ids := f.suffix(string(tail)+string(text), len(text)); ids != nil {
		return ids
	}
	return f.suffix(string(text), len(text))
}

// suffix returns those tokens of text that stand for its last n bytes, or nil where none begins there.
func (f *Form) suffix(text string, n int) []int {
	ids := f.Tokenizer.Encode(text, tokenizer.Options{})
	for i := len(ids) - 1; i >= 0; i-- {
		b := f.Tokenizer.Bytes(ids[i])
		if len(b) > n || string(b) != text[len(text)-len(b):] {
			return nil
		}
		text, n = text[:len(text)-len(b)], n-len(b)
		if n == 0 {
			return ids[i:]
		}
	}
	return nil
}

// complete tells whether the answer is what the grammar wants.
func (b *bound) complete() bool { return b.place == inAnswer && b.matcher.Complete() }

// done tells whether nothing can follow.
func (b *bound) done() bool { return b.place == inAnswer && b.matcher.Done() }
