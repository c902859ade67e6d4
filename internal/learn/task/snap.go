package task

import (
	"strings"
	"unicode"
)

// Snap rewrites the values of fields marked snap as the text writes them: the first stretch of the text with the same letters and
// digits, its line breaks as blanks, with the bracket or full stop that closes it. A value that the text does not have stays. A student that learns to copy
// should not have to guess a teacher's own punctuation.
func (t *Task) Snap(it Item, fields Fields) Fields {
	out := Fields{}
	for name, value := range fields {
		out[name] = value
		if f, ok := t.Recipe.field(name); ok && f.Snap {
			if span, ok := snap(it.Text, value); ok {
				out[name] = span
			}
		}
	}
	return out
}

func snap(text, value string) (string, bool) {
	want := fold(value, "letters")
	if want == "" {
		return "", false
	}
	// letters holds the folded text; at[i] is the byte of text where its i-th byte comes from.
	var letters strings.Builder
	var at []int
	for i, r := range text {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			n, _ := letters.WriteRune(unicode.ToLower(r))
			for range n {
				at = append(at, i)
			}
		}
	}
	start := strings.Index(letters.String(), want)
	if start < 0 {
		return "", false
	}
	end := len(text)
	if start+len(want) < len(at) {
		end = at[start+len(want)]
	}
	span := text[at[start]:end]
	// What stands between the last letter and the next one is kept up to the line's end, without what opens something new.
	last := strings.LastIndexFunc(span, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
	tail := span[last:]
	if i := strings.IndexAny(tail, "\n([ :"); i >= 0 {
		span = span[:last+i]
	}
	span = strings.Join(strings.Fields(span), " ")
	return strings.TrimRight(span, ","), true
}
