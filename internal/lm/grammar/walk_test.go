package grammar

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// walkSchemas use every supported keyword, alone and nested.
var walkSchemas = []string{
	receipt,
	`true`,
	`{"type": "array", "items": {"$ref": "#"}, "minItems": 1, "maxItems": 2, "nullable": true}`,
	`{"type": ["string", "integer", "null"], "minLength": 3, "maxLength": 5, "minimum": -12, "maximum": 345}`,
	`{"type": "array", "items": {"type": "string", "maxLength": 2}, "minItems": 2, "maxItems": 4}`,
	`{"type": "number", "exclusiveMinimum": -0.25, "maximum": 19.99}`,
	`{"type": "integer", "minimum": 7, "exclusiveMaximum": 1234}`,
	`{"anyOf": [{"type": "string", "maxLength": 3}, {"enum": ["abcdef", "abc\n", 5]}, {"pattern": "^a+\"?$"}]}`,
	`{"type": "object", "properties": {"a": {"type": "boolean"}, "b\"": {"type": "string"}, "c": {"format": "date-time"}, "d": {"format": "email", "maxLength": 20}, "e": {"format": "uuid"}, "f": {"format": "ipv4"}, "g": {"format": "time"}}}`,
	`{"type": "object", "additionalProperties": {"type": "array", "prefixItems": [{"type": "integer"}, {"const": {"k": [1, "é"]}}], "items": {"type": "null"}, "maxItems": 3}}`,
	`{"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"value": {"type": "string", "pattern": "[A-Z]{2,3}-\\d|^é*$", "maxLength": 12}, "next": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["value", "next"]}}}`,
	`{"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}, "x": {}}, "required": ["k", "x"]}, {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]}`,
	`{"type": "string", "pattern": "^[^\\x00-\\x1f\"]{2,9}$"}`,
	`{"type": "string", "pattern": "^(a|é\"|\n[^a]{2})*$", "minLength": 7, "maxLength": 31}`,
	`{"type": "object", "properties": {"a": {"const": 1}, "ab": {"const": 2}, "abc": {"const": 3}, "a\"": {"const": 4}, "": {"const": 5}, "b": {"const": 6}}, "required": ["abc"], "additionalProperties": true}`,
	`{"anyOf": [{"type": "array", "items": {"$ref": "#"}, "maxItems": 2}, {"type": "array", "items": {"$ref": "#"}, "minItems": 2, "maxItems": 20}, {"type": "array", "prefixItems": [{"$ref": "#"}, {"pattern": "^[a-c]*$", "maxLength": 15}]}]}`,
	`{"type": "array", "items": {"pattern": "\\S", "maxLength": 4000}, "minItems": 15, "maxItems": 40}`,
}

// randomVocabulary draws tokens: pieces of JSON that span structure, of text in several scripts, and pieces cut
// inside a character or an escape. With complete it also has every single byte.
func randomVocabulary(rng *rand.Rand, complete bool) *Vocabulary {
	var tokens [][]byte
	add := func(s string) { tokens = append(tokens, []byte(s)) }
	for _, s := range []string{`", "`, `": "`, `"}`, `"]`, `{"`, `["`, `": `, `, `, `"`, `"}]`, `]}`, `}, {"`, `null`, `true`, `fal`, `, "`, `\u00`, `\ud8`, `3d\u`, `\\`, `\"`, `"a": `, `"k": "a`, `.5`, `00`, `12`, `-`} {
		if complete || rng.IntN(4) > 0 {
			add(s)
		}
	}
	const source = `{"company": "Ä & Söhne", "date": "2024-02-29", "total": 12.50, "a": [1, null, true], "x\"y\\": "日本語😀 é\u00e9\n"}`
	for range 200 {
		from := rng.IntN(len(source))
		add(source[from:min(len(source), from+1+rng.IntN(6))])
	}
	if complete {
		for b := range 256 {
			tokens = append(tokens, []byte{byte(b)})
		}
	}
	rng.Shuffle(len(tokens), func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
	tokens = append(tokens, nil, []byte("</s>"), []byte("<|end|>"))
	return NewVocabulary(tokens, []int{len(tokens) - 1, len(tokens) - 2})
}

// walk chooses tokens at random, after a while those that lead to the end, and returns the text, or nil where the
// vocabulary does not suffice. With exact, each mask is compared with Accept on each token.
func walk(t *testing.T, rng *rand.Rand, g *Grammar, v *Vocabulary, exact bool) []byte {
	t.Helper()
	m := g.Start(v)
	mask := make([]uint64, v.Words())
	far := distances(g.program)
	var text []byte
	for step := 0; step < 800; step++ {
		err := m.Mask(mask)
		if exact {
			checkMask(t, m, v, mask)
		}
		ids := maskIDs(mask)
		if (len(ids) == 0) != errors.Is(err, ErrStuck) {
			t.Fatalf("%d tokens behind %q, error %v", len(ids), text, err)
		}
		if len(ids) == 0 {
			return nil
		}
		id := ids[rng.IntN(len(ids))]
		if step > 40 {
			id = nearest(m, far, ids)
		}
		if forced := m.Forced(); len(forced) > 0 && len(v.tokens[id]) <= len(forced) && !strings.HasPrefix(string(forced), string(v.tokens[id])) {
			t.Fatalf("token %q against forced %q behind %q", v.tokens[id], forced, text)
		}
		if err := m.Accept(id); err != nil {
			t.Fatalf("token %d of the mask behind %q: %v", id, text, err)
		}
		if v.tokens[id] == nil { // eos: the only tokens without bytes that a mask may have
			if !json.Valid(text) || !utf8.Valid(text) {
				t.Fatalf("wrote %q", text)
			}
			return text
		}
		text = append(text, v.tokens[id]...)
	}
	if v.complete() {
		t.Fatalf("no end behind %.200q", text)
	}
	return nil
}

// complete tells whether every single byte is a token.
func (v *Vocabulary) complete() bool {
	single := 0
	for n := int32(1); n < v.nodes[0].end; n++ {
		if v.nodes[n].depth == 1 && len(v.at(n)) > 0 {
			single++
		}
	}
	return single == 256
}

// distances is the least number of bytes from each node to the end of its rule.
func distances(p *program) []int {
	const far = 1 << 40
	d := make([]int, len(p.nodes))
	for i := range d {
		d[i] = far
	}
	d[end] = 0
	for changed := true; changed; {
		changed = false
		for i := range p.nodes {
			n, best := &p.nodes[i], d[i]
			for _, e := range n.edges {
				best = min(best, 1+d[e.to])
			}
			for _, to := range n.eps {
				best = min(best, d[to])
			}
			if n.kind == tick {
				best = min(best, d[n.next])
			} else if n.kind == call || n.kind == counter {
				best = min(best, d[p.rules[n.rule]]+d[n.next])
			} else if n.kind == loop {
				best = min(best, int(n.min)*d[p.rules[n.rule]]+d[n.next])
			}
			if best < d[i] {
				d[i], changed = best, true
			}
		}
	}
	return d
}

// distance is the least number of bytes from a state to the end of the text.
func distance(p *program, d []int, s *state) int {
	if s.accept {
		return 0
	}
	best := 1 << 40
	for _, c := range s.configs {
		sum := d[c.node]
		for f := c.stack; f.parents != nil; f = f.parents.frames[0] {
			n := &p.nodes[f.node]
			if n.kind == counter {
				sum = max(sum, int(n.min-f.count))
			}
			sum += d[n.next]
			if n.kind == loop {
				sum += max(int(n.min-f.count)-1, 0) * d[p.rules[n.rule]]
			}
		}
		best = min(best, sum)
	}
	return best
}

// nearest is the token that leads nearest to the end of the text.
func nearest(m *Matcher, d []int, ids []int) int {
	best, least := ids[0], 1<<41
	for _, id := range ids {
		next := m.Clone()
		if next.Accept(id) != nil || next.ended {
			return id
		}
		if n := distance(m.machine.program, d, next.state); n < least {
			best, least = id, n
		}
	}
	return best
}

// checkMask holds a mask to its definition.
func checkMask(t *testing.T, m *Matcher, v *Vocabulary, mask []uint64) {
	t.Helper()
	for id := range v.tokens {
		want := m.Clone().Accept(id) == nil
		if got := mask[id>>6]>>(id&63)&1 != 0; got != want {
			t.Fatalf("token %d %q: mask %v, accept %v", id, v.tokens[id], got, want)
		}
	}
}

func TestWalks(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 3))
		whole, part := randomVocabulary(rng, true), randomVocabulary(rng, false)
		for _, schema := range walkSchemas {
			g := compile(t, schema)
			validator, err := validatorOf([]byte(schema))
			if err != nil {
				t.Fatalf("%s: %v", schema, err)
			}
			for round := range 12 {
				v := whole
				if round%4 == 3 {
					v = part
				}
				text := walk(t, rng, g, v, round == 0)
				if text == nil && v == part {
					continue
				}
				if err := validate(validator, text); err != nil && !strings.Contains(schema, "nullable") {
					t.Errorf("%s: wrote %s: %v", schema, text, err)
				}
			}
		}
	}
}

// Forgetting states and masks at every turn changes nothing but the time.
func TestForget(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	v := randomVocabulary(rng, true)
	g := compile(t, walkSchemas[10])
	m, tight := g.Start(v), g.Start(v)
	tight.machine = newMachine(g.program, v)
	tight.machine.maxState, tight.machine.maxMask = 5000, 3*8*v.Words()
	tight.Reset()
	a, b := make([]uint64, v.Words()), make([]uint64, v.Words())
	for step := range 300 {
		errA, errB := m.Mask(a), tight.Mask(b)
		if errA != nil || errB != nil {
			break
		}
		ids := maskIDs(a)
		if string(maskText(a)) != string(maskText(b)) {
			t.Fatalf("step %d: masks differ", step)
		}
		id := ids[rng.IntN(len(ids))]
		if m.Accept(id) != nil || tight.Accept(id) != nil {
			t.Fatal("refused a token of the mask")
		}
		checkEpoch(t, tight.machine)
		if tight.machine.maskBytes > tight.machine.maxMask {
			t.Fatalf("%d bytes of masks, at most %d", tight.machine.maskBytes, tight.machine.maxMask)
		}
	}
	if tight.machine.epoch < 3 {
		t.Errorf("forgot %d times", tight.machine.epoch)
	}
}

func maskText(mask []uint64) []byte {
	text, _ := json.Marshal(mask)
	return text
}
