package chat

import (
	"slices"
	"strings"

	"retort/internal/format/jinja"
	"retort/internal/format/tokenizer"
)

// special is a token that text becomes only where the template's author wrote it.
type special struct {
	text           string
	id             int
	lstrip, rstrip bool // it takes the white space before or behind it, as Phi-3's do
}

// specials are a vocabulary's, by their first byte, the longest first.
type specials struct {
	by [256][]special
	// lone is one that takes no white space, nil where there is none. It stands in front of text that a tokenizer
	// would otherwise take for the start of a prompt and pad with a space.
	lone *special
	pads bool
}

// findSpecials asks the tokenizer which of its tokens match only when special ones may. They are control tokens, and
// such as look like markup.
func findSpecials(tok *tokenizer.Tokenizer) specials {
	var s specials
	for id := range tok.Vocab() {
		text := tok.Token(id)
		if text == "" || !tok.IsSpecial(id) && !strings.ContainsAny(text, "<[｜") {
			continue
		}
		one := []int{id}
		all := tokenizer.Options{Special: true}
		if slices.Equal(tok.Encode(text, tokenizer.Options{}), one) || !slices.Equal(tok.Encode(text, all), one) {
			continue
		}
		sp := special{text: text, id: id}
		sp.lstrip = slices.Equal(tok.Encode("x\n"+text, all), tok.Encode("x"+text, all))
		sp.rstrip = slices.Equal(tok.Encode(text+"\nx", all), tok.Encode(text+"x", all))
		s.by[text[0]] = append(s.by[text[0]], sp)
		if s.lone == nil && !sp.rstrip {
			s.lone = &sp
		}
	}
	for _, list := range s.by {
		slices.SortStableFunc(list, func(a, b special) int { return len(b.text) - len(a.text) })
	}
	if s.lone != nil {
		behind := tok.Encode(s.lone.text+"a", tokenizer.Options{Special: true})
		s.pads = !slices.Equal(behind[1:], tok.Encode("a", tokenizer.Options{}))
	}
	return s
}

// at is the longest special token that text starts with, nil for none.
func (s *specials) at(text string) *special {
	list := s.by[text[0]]
	for i := range list {
		if strings.HasPrefix(text, list[i].text) {
			return &list[i]
		}
	}
	return nil
}

// holds reports whether a special token is spelled anywhere in text.
func (s *specials) holds(text string) bool {
	for i := range len(text) {
		if s.at(text[i:]) != nil {
			return true
		}
	}
	return false
}

// space is what a token that strips takes.
const space = " \t\n\v\f\r"

// encode turns a rendered template into ids. Special tokens are looked for in the template's own text alone, one
// stretch between data at a time. All that lies between two of them, text of the template and data together, is
// encoded at once, so that words are cut as if nobody had looked.
func (c *Chat) encode(m jinja.Marked) []int {
	var ids []int
	data := m.Data
	from := 0 // where the text that is not encoded yet starts
	var last *special
	for i := 0; i < len(m.Text); {
		stop := len(m.Text)
		if len(data) > 0 {
			if i == data[0].Start {
				i = data[0].End
				data = data[1:]
				continue
			}
			stop = data[0].Start
		}
		sp := c.specials.at(m.Text[i:stop])
		if sp == nil {
			i++
			continue
		}
		ids = c.appendText(ids, m.Text[from:i], last, sp)
		ids = append(ids, sp.id)
		i += len(sp.text)
		from, last = i, sp
	}
	return c.appendText(ids, m.Text[from:], last, nil)
}

// appendText encodes plain text between two special tokens, nil at the ends of the prompt.
func (c *Chat) appendText(ids []int, text string, before, behind *special) []int {
	if before != nil && before.rstrip {
		text = strings.TrimLeft(text, space)
	}
	if behind != nil && behind.lstrip {
		text = strings.TrimRight(text, space)
	}
	if text == "" {
		return ids
	}
	if before != nil && c.specials.pads && !c.specials.holds(text) {
		lone := c.specials.lone
		got := c.tok.Encode(lone.text+text, tokenizer.Options{Special: true})
		if got[0] == lone.id {
			return append(ids, got[1:]...)
		}
	}
	return append(ids, c.tok.Encode(text, tokenizer.Options{})...)
}
