package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// hfBeside are the files beside a tokenizer.json, nil where there is none of the name.
type hfBeside struct {
	config     []byte // tokenizer_config.json
	specials   []byte // special_tokens_map.json
	generation []byte // generation_config.json
	model      []byte // config.json
}

// hfConfig is what tokenizer_config.json and special_tokens_map.json say of special tokens.
type hfConfig struct {
	BOS    hfName `json:"bos_token"`
	EOS    hfName `json:"eos_token"`
	UNK    hfName `json:"unk_token"`
	PAD    hfName `json:"pad_token"`
	AddBOS *bool  `json:"add_bos_token"`
	AddEOS *bool  `json:"add_eos_token"`
}

// hfName is a token's text, which a config gives plainly or as an object.
type hfName string

func (n *hfName) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var object struct{ Content string }
		err := json.Unmarshal(data, &object)
		*n = hfName(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(n))
}

// hfEnds is what generation_config.json and config.json say of the ends of an answer.
type hfEnds struct {
	EOS hfIDs `json:"eos_token_id"`
}

// hfIDs are ids, which a config gives as one number, a list or null.
type hfIDs []int

func (ids *hfIDs) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int)(ids))
	}
	var one *int
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	if one != nil {
		*ids = hfIDs{*one}
	}
	return nil
}

// hfSpecial finds the special ids and what a text gets added: the config's word counts before post_processor's, and that
// before special_tokens_map.json's.
//
// EOS is one token, the end of a text. Where none of the three names it, it is the first of config.json's ends, or of
// generation_config.json's. What any of the files names ends an answer.
func (t *Tokenizer) hfSpecial(f *hfFile, beside hfBeside) error {
	var c, specials hfConfig
	var generation, model hfEnds
	for _, file := range []struct {
		name string
		data []byte
		into any
	}{{ConfigName, beside.config, &c}, {specialsName, beside.specials, &specials}, {GenerationName, beside.generation, &generation}, {modelName, beside.model, &model}} {
		if len(bytes.TrimSpace(file.data)) == 0 {
			continue
		}
		if err := json.Unmarshal(file.data, file.into); err != nil {
			return fmt.Errorf("%s: %w", file.name, err)
		}
	}
	find := func(names ...string) int {
		for _, name := range names {
			if id, ok := t.ID(name); ok && name != "" {
				return id
			}
		}
		return none
	}
	before, after := hfTemplate(f.PostProcessor, 0)
	unk := ""
	if f.Model.Unk != nil {
		unk = *f.Model.Unk
	}
	t.BOS, t.EOS = find(string(c.BOS), before, string(specials.BOS)), find(string(c.EOS), after, string(specials.EOS))
	t.UNK, t.PAD = find(unk, string(c.UNK), string(specials.UNK)), find(string(c.PAD), string(specials.PAD))
	t.eot, t.eom = none, none
	t.hfEnds([]int{t.EOS, find(string(c.EOS)), find(string(specials.EOS))}, generation.EOS, model.EOS)
	t.AddBOS, t.AddEOS = before != "", after != ""
	if c.AddBOS != nil {
		t.AddBOS = *c.AddBOS
	}
	if c.AddEOS != nil {
		t.AddEOS = *c.AddEOS
	}
	t.AddBOS, t.AddEOS = t.AddBOS && t.BOS >= 0, t.AddEOS && t.EOS >= 0
	t.findEnds()
	return nil
}

// hfEnds notes the ends of an answer: those that files name by their text, and the ids of generation_config.json and of
// config.json. A text's end is among the named ones, or else the model's first, or the generation's.
//
// Where generation_config.json gives ends, transformers look no further, and there are models whose config.json still has
// the end of another vocabulary. So an ordinary token is none there.
func (t *Tokenizer) hfEnds(named, generation, model []int) {
	within := func(ids []int, also func(id int) bool) (list []int) {
		for _, id := range ids {
			if 0 <= id && id < len(t.text) && also(id) {
				list = append(list, id)
			}
		}
		return list
	}
	known := func(id int) bool { return t.text[id] != "" }
	generation = within(generation, known)
	model = within(model, func(id int) bool { return known(id) && (len(generation) == 0 || t.kind[id] != normal) })
	t.ends = slices.Concat(within(named, known), generation, model)
	if first := slices.Concat(model, generation); t.EOS < 0 && len(first) > 0 {
		t.EOS = first[0]
	}
}

// hfTemplate finds the tokens that TemplateProcessing puts before and behind a single text; "" for none.
func hfTemplate(raw json.RawMessage, depth int) (before, after string) {
	var p struct {
		Type       string
		Processors []json.RawMessage
		Single     []struct {
			SpecialToken *struct{ ID string }
			Sequence     *struct{ ID string }
		}
	}
	if isNull(raw) || depth > maxNesting || json.Unmarshal(raw, &p) != nil {
		return "", ""
	}
	for _, raw := range p.Processors {
		if b, a := hfTemplate(raw, depth+1); b != "" || a != "" {
			before, after = b, a
		}
	}
	seen := false
	for _, part := range p.Single {
		switch {
		case part.Sequence != nil:
			seen = true
		case part.SpecialToken != nil && !seen:
			before = part.SpecialToken.ID
		case part.SpecialToken != nil:
			after = part.SpecialToken.ID
		}
	}
	return before, after
}
