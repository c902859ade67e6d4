package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// hfPre is the pre_tokenizer of a tokenizer.json, its parts in order.
type hfPre struct {
	stages    []stage
	names     []string // what the stages are called in hfPreNames; "" where a stage has no name
	byteLevel bool
	pad       padding
	escape    bool // Metaspace: ▁ for a space
}

// hfPreNames says which tokenizer.ggml.pre has the same stages.
var hfPreNames = map[string]string{
	"gpt2": "gpt-2", "digit gpt2": "smollm", "llama3": "dbrx", "qwen2": "qwen2", "qwen35": "qwen35", "gpt-4o": "gpt-4o",
	"seed-coder": "seed-coder", "bailingmoe": "bailingmoe", "bloom": "bloom", "bloom digit": "viking",
	"digits3 kana deepseek3":               "deepseek-v3",
	"line cased marks trailing wide digit": "deepseek-llm",
	"line letters punctuation wide digit":  "deepseek-coder",
}

const (
	hfContraction      = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
	hfPlainContraction = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])`
	hfO200kWord        = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
	hfO200kCaps        = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*`
	hfSpaces           = `\s*[\r\n]+|\s+(?!\S)|\s+`
)

// hfRegexes are the expressions that published tokenizers use, each with the stage that was written for it. Classes of
// plain code points, such as [一-龥]+, are read by hfClass instead.
var hfRegexes = func() map[string]struct {
	name  string
	stage stage
} {
	type entry = struct {
		name  string
		stage stage
	}
	has := func(bit class) func(rune, class) bool {
		return func(_ rune, c class) bool { return c&bit != 0 }
	}
	family := func(digits int, word class) stage { return llama3{digits: digits, word: word, long: true}.match }
	table := map[string]entry{
		`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: {"gpt2", gpt2},

		`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` + "`" + `{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|` + hfSpaces: {"deepseek3", deepseek3},

		`\p{N}{1,3}`: {"digits3", digits(3)}, `\p{N}`: {"digit", digits(1)}, `[\r\n]`: {"line", lineEnd},
		`\s+$`: {"trailing", trailing}, `[0-9][0-9][0-9]`: {"", threeDigits},
		` ?[^(\s|[.,!?…。，、।۔،])]+`: {"bloom", bloom},

		`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`: {"bailingmoe", family(1, letter)},

		hfContraction + `|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|` + hfSpaces: {"seed-coder", llama3{digits: 1, word: letter, long: true, bare: true}.match},

		`\s?\p{L}+`: {"letters", spaced(has(letter))}, `\s?\p{P}+`: {"punctuation", spaced(has(punct))},

		hfO200kWord + hfContraction + `?|` + hfO200kCaps + hfContraction + `?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + hfSpaces: {"gpt-4o", o200k{digits: 3, suffix: true, long: true}.match},
		hfO200kWord + `|` + hfO200kCaps + `|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|` + hfSpaces:                                        {"tekken", o200k{digits: 1}.match},
	}
	for _, contraction := range []string{hfContraction, hfPlainContraction} {
		rest := `| ?[^\s\p{L}\p{N}]+[\r\n]*|` + hfSpaces
		table[contraction+`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}`+rest] = entry{"llama3", family(3, letter)}
		table[contraction+`|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}`+rest] = entry{"qwen2", family(1, letter)}
		table[contraction+`|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|`+hfSpaces] = entry{"qwen35", family(1, letter|mark)}
	}
	return table
}()

// hfClassNames are the classes that decide which tokenizer.ggml.pre a tokenizer has.
var hfClassNames = map[string]string{
	`[一-龥぀-ゟ゠-ヿ]+`: "kana", `[一-龥ࠀ-一가-퟿]+`: "wide", `\s?[!-/:-~！-／：-～‘-‟　-。]+`: "marks",
}

// hfPart is one pre_tokenizer as the file has it, with the fields of every type.
type hfPart struct {
	Type             string
	Pretokenizers    []json.RawMessage
	Pattern          struct{ Regex, String *string }
	Behavior         string
	Invert           bool
	IndividualDigits bool   `json:"individual_digits"`
	AddPrefixSpace   *bool  `json:"add_prefix_space"`
	UseRegex         *bool  `json:"use_regex"`
	PrependScheme    string `json:"prepend_scheme"`
	Split            *bool
	Replacement      string
}

// orTrue is a flag that is true where it is missing.
func orTrue(b *bool) bool { return b == nil || *b }

// add appends one pre_tokenizer, or those of a Sequence.
func (p *hfPre) add(raw json.RawMessage, depth int) error {
	if isNull(raw) {
		return nil
	}
	if depth > maxNesting {
		return fmt.Errorf("pre_tokenizer nested deeper than %d", maxNesting)
	}
	var c hfPart
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	if p.byteLevel && c.Type != "Sequence" {
		return fmt.Errorf("pre_tokenizer %s follows ByteLevel, which must be the last", c.Type)
	}
	switch c.Type {
	case "Sequence":
		for _, raw := range c.Pretokenizers {
			if err := p.add(raw, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "Split":
		return p.addSplit(c.Pattern.Regex, c.Behavior, c.Invert)
	case "Digits":
		if c.IndividualDigits {
			p.push("digit", digits(1))
		} else {
			p.push("", digits(0))
		}
		return nil
	case "ByteLevel":
		return p.addByteLevel(&c)
	case "Metaspace":
		return p.addMetaspace(&c)
	}
	return fmt.Errorf("unknown pre_tokenizer %q; known are Sequence, Split, Digits, ByteLevel, Metaspace", c.Type)
}

func (p *hfPre) addByteLevel(c *hfPart) error {
	p.byteLevel = true
	if orTrue(c.AddPrefixSpace) {
		if len(p.stages) > 0 {
			return fmt.Errorf("pre_tokenizer ByteLevel with add_prefix_space follows another")
		}
		p.pad = padAlways
	}
	if orTrue(c.UseRegex) {
		p.push("gpt2", gpt2)
	}
	return nil
}

func (p *hfPre) addMetaspace(c *hfPart) error {
	if c.Replacement != escapedSpace || len(p.stages) > 0 {
		return fmt.Errorf("pre_tokenizer Metaspace with replacement %q, want %q and no other before it", c.Replacement, escapedSpace)
	}
	p.escape = true
	switch {
	case c.PrependScheme == "first":
		p.pad = padFirst
	case c.PrependScheme == "always" || c.PrependScheme == "" && orTrue(c.AddPrefixSpace):
		p.pad = padAlways
	}
	if orTrue(c.Split) {
		p.push("", metaspaceWord)
	}
	return nil
}

func (p *hfPre) push(name string, s stage) {
	p.names = append(p.names, name)
	p.stages = append(p.stages, s)
}

func (p *hfPre) addSplit(regex *string, behavior string, invert bool) error {
	if regex == nil {
		return fmt.Errorf("pre_tokenizer Split without a regular expression")
	}
	// Some tokenizers remove what does not match an expression that matches everything.
	if !(behavior == "Isolated" && !invert || behavior == "Removed" && invert) {
		return fmt.Errorf("pre_tokenizer Split with behavior %q and invert %v, want Isolated", behavior, invert)
	}
	// Files write line ends as escapes or as they are.
	if known, ok := hfRegexes[strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(*regex)]; ok {
		p.push(known.name, known.stage)
		return nil
	}
	if s, ok := hfClass(*regex); ok && behavior == "Isolated" {
		name := hfClassNames[*regex]
		if strings.HasPrefix(*regex, `\s?[A-Za-zµÀ-ÖØ-öø-ƺ`) {
			name = "cased"
		}
		p.push(name, s)
		return nil
	}
	return fmt.Errorf("pre_tokenizer Split with an unknown expression %q", *regex)
}

// hfClass reads [a-zö]+ and \s?[a-zö]+: a class of code points and ranges without escapes.
func hfClass(regex string) (stage, bool) {
	body, space := strings.CutPrefix(regex, `\s?`)
	body, open := strings.CutPrefix(body, `[`)
	body, closed := strings.CutSuffix(body, `]+`)
	if !open || !closed || body == "" || strings.ContainsAny(body, `[]\^&`) {
		return nil, false
	}
	var ranges [][2]rune
	runes := []rune(body)
	for i := 0; i < len(runes); i++ {
		lo, hi := runes[i], runes[i]
		if i+2 < len(runes) && runes[i+1] == '-' {
			hi = runes[i+2]
			i += 2
		}
		if lo > hi {
			return nil, false
		}
		ranges = append(ranges, [2]rune{lo, hi})
	}
	in := func(r rune, _ class) bool {
		for _, x := range ranges {
			if x[0] <= r && r <= x[1] {
				return true
			}
		}
		return false
	}
	if space {
		return spaced(in), true
	}
	return func(s string) (int, bool) { return runOf(s, in) }, true
}

// metaspaceWord matches one ▁ and what follows it up to the next.
func metaspaceWord(s string) (int, bool) {
	from := 0
	if strings.HasPrefix(s, escapedSpace) {
		from = len(escapedSpace)
	}
	if i := strings.Index(s[from:], escapedSpace); i >= 0 {
		return from + i, true
	}
	return len(s), true
}

// ggufName is the tokenizer.ggml.pre that cuts words as p does, or "".
func (p *hfPre) ggufName(ignoreMerges bool) string {
	name := hfPreNames[strings.Join(p.names, " ")]
	switch {
	case p.pad != padNone || p.escape:
		return ""
	case ignoreMerges && name == "dbrx":
		return "llama-bpe"
	case ignoreMerges && strings.Join(p.names, " ") == "tekken":
		return "tekken"
	case ignoreMerges:
		return ""
	}
	return name
}
