package grammar

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// forcedGeneric tries every byte.
func forcedGeneric(m *Matcher) []byte {
	m = m.Clone()
	var out []byte
	for len(out) < maxForced && !m.ended && !m.Complete() {
		var next []byte
		for b := range 256 {
			if m.Clone().AcceptBytes([]byte{byte(b)}) == nil {
				next = append(next, byte(b))
			}
		}
		if len(next) != 1 {
			break
		}
		if err := m.AcceptBytes(next); err != nil {
			break
		}
		out = append(out, next...)
	}
	return out
}

// Forced is all that is certain and nothing else: behind parts of characters, at bounds of every kind, at the end.
func TestForcedExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	schemas := append(slices.Clone(walkSchemas),
		`{"enum": ["é", "è", "日本", "日木"]}`, `{"pattern": "^é{3}$"}`, `{"pattern": "^[a-z]*$", "maxLength": 3}`, `{"pattern": "^(ab|cde)*$", "minLength": 5, "maxLength": 7}`, `{"pattern": "^[éa]*$", "maxLength": 2}`,
		`{"type": "string", "maxLength": 2}`, `{"type": "array", "items": {"const": "x"}, "minItems": 3, "maxItems": 3}`, `{"minimum": 12, "maximum": 13, "type": "integer"}`,
		`{"anyOf": [{"const": "abc"}, {"const": "abc"}, {"enum": ["abc", "abd"]}]}`, `{"anyOf": [{"const": 1}, {"const": 12}]}`, `{"type": "array", "items": {"$ref": "#"}, "maxItems": 1, "minItems": 1, "nullable": true}`)
	for _, schema := range schemas {
		m := compile(t, schema).Start(byteVocabularyOnce)
		far := distances(m.machine.program)
		mask := make([]uint64, byteVocabularyOnce.Words())
		for range 6 {
			m.Reset()
			for step := range 600 {
				if want, got := forcedGeneric(m), m.Forced(); !bytes.Equal(got, want) {
					t.Fatalf("%s: forced %q, want %q", schema, got, want)
				}
				if m.Mask(mask) != nil {
					t.Fatal("stuck")
				}
				ids := maskIDs(mask)
				id := ids[rng.IntN(len(ids))]
				if step > 60 {
					id = nearest(m, far, ids)
				}
				if err := m.Accept(id); err != nil {
					t.Fatal(err)
				}
				if m.ended {
					if !m.Done() || m.Forced() != nil {
						t.Errorf("%s: forced %q behind the end", schema, m.Forced())
					}
					break
				}
			}
		}
	}
}

// Where the stack ends, brackets are all that fits.
func TestForcedAtStack(t *testing.T) {
	m := compile(t, `{"type": "array", "items": {"$ref": "#"}, "minItems": 1, "maxItems": 2, "nullable": true}`).Start(byteVocabularyOnce)
	for m.AcceptBytes([]byte("[")) == nil {
		if got, want := m.Forced(), forcedGeneric(m); !bytes.Equal(got, want) {
			t.Fatalf("forced %q, want %q", got, want)
		}
	}
	if got := string(m.Forced()); got != "null" {
		t.Errorf("forced %q in the deepest array, want null", got)
	}
}

func TestSingle(t *testing.T) {
	v := byteVocabulary("bc")
	eos := len(v.tokens) - 2
	m := compile(t, `{"enum": ["abc", "axy"]}`).Start(v)
	for _, c := range []struct {
		id int
		ok bool
	}{{'"', true}, {'a', true}, {'b', false}, {'c', true}, {'"', true}, {eos, true}} {
		id, ok := m.Single()
		if ok != c.ok || ok && id != c.id {
			t.Fatalf("single %d, %v, want %d, %v", id, ok, c.id, c.ok)
		}
		if err := m.Accept(c.id); err != nil {
			t.Fatal(err)
		}
	}
	if id, ok := m.Single(); ok {
		t.Errorf("single %d behind the end", id)
	}
	// A last token of a word of its own, and none.
	few := NewVocabulary(append(make([][]byte, 64), []byte(`"`), []byte("x"), nil), []int{66})
	m = compile(t, `{"enum": ["xy"]}`).Start(few)
	for _, want := range []int{64, 65} {
		if id, ok := m.Single(); !ok || id != want {
			t.Fatalf("single %d, %v, want %d", id, ok, want)
		}
		if err := m.Accept(want); err != nil {
			t.Fatal(err)
		}
	}
	if id, ok := m.Single(); ok {
		t.Errorf("single %d where the text is stuck", id)
	}
}

// A draft is followed by a clone, up to where it no longer fits; the matcher itself stays, and can go there.
func TestDraft(t *testing.T) {
	v := byteVocabulary(`": "`, "com", "pany", `", "`, "date")
	m := compile(t, receipt).Start(v)
	if err := m.AcceptBytes([]byte(`{"`)); err != nil {
		t.Fatal(err)
	}
	before := make([]uint64, v.Words())
	if err := m.Mask(before); err != nil {
		t.Fatal(err)
	}
	draft := []int{257, 258, 256, 'A', 259, 260, 258}
	try := m.Clone()
	fits := 0
	for fits < len(draft) && try.Accept(draft[fits]) == nil {
		fits++
	}
	if fits != 6 {
		t.Errorf("%d tokens fit, want 6", fits)
	}
	mask := make([]uint64, v.Words())
	if err := m.Mask(mask); err != nil || !slices.Equal(mask, before) {
		t.Error("the draft moved the matcher")
	}
	m.Set(try)
	if got := string(m.Forced()); got != `": "` {
		t.Errorf("forced %q behind the draft", got)
	}
	other := compile(t, receipt).Start(v)
	if err := panics(func() { m.Set(other) }); !strings.Contains(err, "Set") {
		t.Errorf("set to a matcher of another grammar: %v", err)
	}
}

// panics returns what f panics with.
func panics(f func()) (message string) {
	defer func() { message = fmt.Sprint(recover()) }()
	f()
	return
}

// What a speculating caller asks at each token costs nothing, once states are known.
func TestDraftAllocations(t *testing.T) {
	v := byteVocabulary("xy")
	for _, schema := range []string{receipt, `{"properties": {"company": {"pattern": "^[A-Z]*$", "maxLength": 3000}}}`, `{}`} {
		m := compile(t, schema).Start(v)
		if err := m.AcceptBytes([]byte(`{"company": "A`)); err != nil {
			t.Fatal(err)
		}
		try := m.Clone()
		for name, c := range map[string]struct {
			most float64
			f    func()
		}{
			"Forced": {0, func() { m.Forced() }},
			"Single": {0, func() { m.Single() }},
			"Set":    {0, func() { try.Set(m) }},
			"Clone":  {1, func() { try = m.Clone() }},
			"Accept": {0, func() { try.Set(m); _ = try.Accept('A'); _ = try.Accept('B') }},
		} {
			if n := testing.AllocsPerRun(20, c.f); n > c.most {
				t.Errorf("%s, %.30s: %v allocations, at most %v", name, schema, n, c.most)
			}
		}
	}
}

// checkEpoch holds a machine to what it relies on: all that its states and its list of masks refer to is of this epoch.
func checkEpoch(t *testing.T, m *machine) {
	t.Helper()
	checked := map[*frame]bool{m.bottom: true}
	var check func(f *frame)
	check = func(f *frame) {
		if checked[f] {
			return
		}
		checked[f] = true
		if f.parents == nil || m.frames[frameKey{f.parents.id, f.node, f.count}] != f || m.linked(f.parents.frames) != f.parents {
			t.Fatal("a state has a frame of an earlier epoch")
		}
		for _, p := range f.parents.frames {
			check(p)
		}
	}
	known := map[*state]bool{}
	for _, s := range m.states {
		known[s] = true
		for _, c := range s.configs {
			check(c.stack)
		}
		for _, to := range s.next {
			if to != nil && to != m.dead && m.states[string(appendKey(nil, to.configs, to.accept))] != to {
				t.Fatal("a state leads to one of an earlier epoch")
			}
		}
	}
	bytes := 0
	for s := m.oldest; s != nil; s = s.newer {
		bytes += 8 * len(s.mask)
		if !known[s] {
			t.Fatal("a mask is kept for a state of an earlier epoch")
		}
	}
	if bytes != m.maskBytes {
		t.Fatalf("%d bytes of masks, counted %d", bytes, m.maskBytes)
	}
}

// States are forgotten in the middle of a mask too: what one mask walks over may be more than is kept.
func TestForgetInsideMask(t *testing.T) {
	var list []string
	for i := range 40 {
		list = append(list, fmt.Sprintf(`{"pattern": "^([a-d]{%d}e)*$", "maxLength": %d}`, i+1, 200+i))
	}
	rng := rand.New(rand.NewPCG(31, 32))
	var words []string
	for i := range 400 {
		var w []byte
		for range 3 + rng.IntN(9) {
			w = append(w, "abcdeabcd\""[rng.IntN(10)])
		}
		words = append(words, string(w), strings.Repeat("x", i%5)+`", "c": "`+string(w))
	}
	v := byteVocabulary(words...)
	alternatives := `{"anyOf": [` + strings.Join(list, ", ") + `]}`
	g := compile(t, `{"properties": {"a": `+alternatives+`, "b": {"type": "string", "maxLength": 9}, "c": `+alternatives+`}}`)
	m, tight := g.Start(v), g.Start(v)
	tight.machine = newMachine(g.program, v)
	tight.machine.maxState = 20_000
	tight.Reset()
	a, b := make([]uint64, v.Words()), make([]uint64, v.Words())
	for _, text := range []string{`{"a": "`, "abcd", "e", "abcd", `e", "b": "`, "x", "ee", `"`, ""} {
		if err := m.Mask(a); err != nil {
			t.Fatal(err)
		}
		epoch := tight.machine.epoch
		if err := tight.Mask(b); err != nil || !slices.Equal(a, b) {
			t.Fatalf("before %s: masks differ, %v", text, err)
		}
		// "e" follows a place in many patterns, and "x" one of free text with such places behind its end.
		if (text == "e" || text == "x") && tight.machine.epoch < epoch+3 {
			t.Errorf("forgot %d times inside of the mask before %s", tight.machine.epoch-epoch, text)
		}
		checkEpoch(t, tight.machine)
		if n := tight.machine.bytes + tight.machine.stacks.bytes; n > 2*tight.machine.maxState {
			t.Errorf("%d bytes of states, the bound is %d", n, tight.machine.maxState)
		}
		if m.AcceptBytes([]byte(text)) != nil || tight.AcceptBytes([]byte(text)) != nil {
			t.Fatalf("refused %s", text)
		}
	}
}

// Free text is known also where what lies around it is not, and its mask is exact there.
func TestTextOfTwoReadings(t *testing.T) {
	const list = `{"type": "array", "items": {"$ref": "#/$defs/s"}, "minItems": %d, "maxItems": %d}`
	for _, bounds := range []string{`"maxLength": 5`, `"minLength": 3`, `"minLength": 2, "maxLength": 3`} {
		schema := fmt.Sprintf(`{"anyOf": [`+list+`, `+list+`, {"type": "array", "prefixItems": [{"$ref": "#/$defs/s"}], "items": {"type": "null"}}], "$defs": {"s": {"type": "string", %s}}}`, 0, 2, 2, 3, bounds)
		v := byteVocabulary(`x"`, `x", "`, `xx"]`, `", null`, `"]`, `xxxx`, `", "x", "`, `é`, "\xc3")
		m := compile(t, schema).Start(v)
		mask := make([]uint64, v.Words())
		for i, b := range []byte(`["xxé", "xxx", "xxx"]`) {
			if i == 2 || i == 3 || i == 4 || i == 11 {
				if f := m.state.text; f == nil || len(f.parents.frames) < 2 {
					t.Errorf("%s: no free text of two readings at byte %d", schema, i)
				}
			}
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			checkMask(t, m, v, mask)
			if err := m.AcceptBytes([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if !m.Done() {
			t.Error("not done")
		}
	}
}

// States are bounded where no mask is asked for, too.
func TestForgetBetweenSteps(t *testing.T) {
	g := compile(t, `{"pattern": "^[a-z]*$", "maxLength": 3000}`)
	m := g.Start(byteVocabularyOnce)
	m.machine.maxState = 20_000
	for i, b := range []byte(`"` + strings.Repeat("x", 3000) + `"`) {
		if err := m.Accept(int(b)); err != nil {
			t.Fatal(err)
		}
		if n := m.machine.bytes + m.machine.stacks.bytes; n > 2*m.machine.maxState {
			t.Fatalf("%d bytes of states behind byte %d, the bound is %d", n, i, m.machine.maxState)
		}
	}
	if !m.Done() {
		t.Error("not done")
	}
}
