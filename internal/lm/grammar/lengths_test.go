package grammar

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// countedPatterns have lengths with and without gaps, with an end and without, and characters of every size.
var countedPatterns = []string{`\S`, `^[a-z]*$`, `^(ab)*$`, `^(ab|cde)*$`, `^(abc|d){2,9}x*$`, `^a{0,40}$`, `^ab{33,70}c$`, `^(ab){0,50}c$`, `^é{3,50}😀$`, `^(a{2}|b{5})*c?$`,
	`^["\\\n]*$`, `^(aaaa|aaaaaa)*$`, `^a?$`, `a{0,90}b`, `^(a|b{60}|c{59})$`, `^[a-z]{2,}(\.[a-z]{1,63}){0,3}$`, `^(?:x|a{40,45}é)+$`, endIsShort}

// endIsShort has states that lead to the end soon or not at all, beside some that go on for ever.
const endIsShort = `^a*(b{1,60})?$`

// countedGeneric is the string with bounds multiplied into the pattern's automaton.
func countedGeneric(t *testing.T, pattern string, low, high int32) *Grammar {
	t.Helper()
	c := &compiler{program: newProgram(), refs: map[string]int32{}, anyRule: -1, numbers: map[bool]int32{}, work: &budget{1 << 40}}
	e, err := parsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	d, err := newDFA(e, c.work)
	if err != nil {
		t.Fatal(err)
	}
	length, err := newDFA(rep(anyChar, int(low), int(high)), c.work)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = intersect(d, length, c.work); err != nil {
		t.Fatal(err)
	}
	if d.empty() || low > high {
		return nil
	}
	if err := c.finish(c.literal(`"`, c.automaton(d, true, c.literal(`"`, end)))); err != nil {
		t.Fatal(err)
	}
	return &Grammar{program: c.program, machines: map[*Vocabulary]*machine{}}
}

// Characters counted by the matcher and lengths multiplied into states are one language, mask by mask.
func TestCounted(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	v := byteVocabulary("ab", "abab", "ababab", "cde", "abc", "dd", "x", `x"`, `b"`, "é", "éé", "\xc3", "\xa9é", "😀", "\xf0\x9f", `\n`, `\\`, `\"`, `\n\n`, `"`, "aa", "aaaaaa", "bbbbb", "zzzzzzzzz", "c\"", "a.b", "  ")
	a, b := make([]uint64, v.Words()), make([]uint64, v.Words())
	compiled := 0
	for _, pattern := range countedPatterns {
		for _, bounds := range [][2]int32{{0, 3}, {2, 2}, {5, 60}, {30, 31}, {7, unbounded}, {41, unbounded}, {0, 100}, {99, 100}, {200, 400}, {3, 2}, {0, unbounded}} {
			low, high := bounds[0], bounds[1]
			if high == 400 && pattern != endIsShort {
				continue // too many states to multiply
			}
			generic := countedGeneric(t, pattern, low, high)
			schema := fmt.Sprintf(`{"pattern": %s, "minLength": %d, "maxLength": %d}`, appendQuoted(nil, pattern), low, high)
			g, err := Compile([]byte(schema))
			if generic == nil {
				if err == nil || !strings.HasSuffix(err.Error(), errUnsatisfiable.Error()) {
					t.Errorf("%s: %v", schema, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", schema, err)
				continue
			}
			compiled++
			for range 3 {
				m, twin := g.Start(v), generic.Start(v)
				var text []byte
				for range 130 {
					if errA, errB := m.Mask(a), twin.Mask(b); errA != nil || errB != nil {
						t.Fatalf("%s behind %s: %v, generic %v", schema, text, errA, errB)
					}
					if !slices.Equal(a, b) {
						t.Fatalf("%s behind %s: mask %v, generic %v", schema, text, maskIDs(a), maskIDs(b))
					}
					if fa, fb := m.Forced(), twin.Forced(); !bytes.Equal(fa, fb) {
						t.Fatalf("%s behind %s: forced %q, generic %q", schema, text, fa, fb)
					}
					ids := maskIDs(a)
					id := ids[rng.IntN(len(ids))]
					for try := 0; try < 4 && (bytes.ContainsRune(v.tokens[id], '"') || id < 256 && rng.IntN(2) == 0); try++ {
						id = ids[rng.IntN(len(ids))]
					}
					if m.Accept(id) != nil || twin.Accept(id) != nil {
						t.Fatalf("%s behind %s: token %d of the mask is refused", schema, text, id)
					}
					if m.ended {
						break
					}
					text = append(text, v.tokens[id]...)
				}
			}
		}
	}
	if compiled < 90 {
		t.Errorf("%d schemas, want 90", compiled)
	}
}

// What lengths says of a state is what trying says.
func TestReaches(t *testing.T) {
	for _, pattern := range countedPatterns {
		e, err := parsePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		d, err := newDFA(e, newBudget())
		if err != nil {
			t.Fatal(err)
		}
		const most = 150
		var can [most + 1][]bool // [k][state]: a text of k characters leads to the end
		can[0] = d.accept
		for k := 1; k <= most; k++ {
			can[k] = make([]bool, len(d.edges))
			for s, es := range d.edges {
				can[k][s] = slices.ContainsFunc(es, func(e dfaEdge) bool { return can[k-1][e.to] })
			}
		}
		for _, bounds := range [][2]int32{{0, 0}, {0, 1}, {3, 3}, {5, 20}, {17, 120}, {50, 51}, {40, unbounded}} {
			low, high := bounds[0], bounds[1]
			l, err := newLengths(bounded{d, low, high}, newBudget())
			if err != nil {
				t.Fatal(err)
			}
			for s := range d.edges {
				for count := range int32(70) {
					want := false
					for k := max(low-count, 0); k <= most && k <= high-count; k++ {
						want = want || can[k][s]
					}
					if got := l.reaches(int32(s), count); got != want {
						t.Fatalf("%s, %d to %d: state %d behind %d characters: %v, want %v", pattern, low, high, s, count, got, want)
					}
				}
			}
		}
	}
}

// Long bounds cost neither nodes nor, once a mask is known, another one at each character.
func TestLongBounds(t *testing.T) {
	for _, c := range []struct {
		schema string
		char   string // may be repeated
		least  int
		most   int
	}{
		{`{"type": "string", "pattern": "\\S", "minLength": 1, "maxLength": 4000}`, "é", 1, 4000},
		{`{"type": "string", "pattern": "^\\S+$", "maxLength": 100000}`, "x", 1, 100000},
		{`{"type": "string", "pattern": "^\\S{2,5000}$"}`, "x", 2, 5000},
		{`{"type": "string", "pattern": "^[a-z]{4000}$", "maxLength": 4001}`, "x", 4000, 4000},
		{`{"type": "string", "pattern": "^[a-z]{0,3000}x?$", "minLength": 100}`, "x", 100, 3001},
		{`{"type": "string", "pattern": "^([a-z]{2}|[A-Z]{3})*$", "minLength": 5000, "maxLength": 30000}`, "x", 5000, 30000},
		{`{"type": "string", "pattern": "^[^<>]*$", "minLength": 3000}`, "x", 3000, 200000},
	} {
		g := compile(t, c.schema)
		if n := len(g.program.nodes); n > 20000 {
			t.Errorf("%s: %d nodes", c.schema, n)
		}
		for _, n := range []int{c.least - 1, c.least, c.most, c.most + 1} {
			if n > 150000 {
				continue
			}
			want := n >= c.least && n <= c.most
			if got := accepts(g, `"`+strings.Repeat(c.char, n)+`"`); got != want {
				t.Errorf("%s: %d characters: %v", c.schema, n, got)
			}
		}
	}
}

func TestLongArrays(t *testing.T) {
	for _, c := range []struct {
		schema      string
		least, most int
	}{
		{`{"type": "array", "items": {"type": "null"}, "minItems": 3000, "maxItems": 9000}`, 3000, 9000},
		{`{"type": "array", "items": {"enum": [null]}, "maxItems": 20000}`, 0, 20000},
		{`{"type": "array", "items": {"type": ["null", "boolean"]}, "minItems": 5000}`, 5000, 30000},
	} {
		g := compile(t, c.schema)
		for _, n := range []int{c.least - 1, c.least, c.most, c.most + 1} {
			if n < 0 {
				continue
			}
			text := "[" + strings.TrimSuffix(strings.Repeat("null, ", n), ", ") + "]"
			want := n >= c.least && (n <= c.most || c.most == 30000)
			if got := accepts(g, text); got != want {
				t.Errorf("%s: %d items: %v", c.schema, n, got)
			}
		}
	}
}

// Far from their bounds, the characters of a string and the items of an array have one mask.
func TestMasksShared(t *testing.T) {
	v := byteVocabulary("xyz", "null, ", "x\"")
	for _, c := range []struct{ schema, begin, round string }{
		{`{"pattern": "^[a-z]*$", "minLength": 600, "maxLength": 900}`, `"`, "x"},
		{`{"pattern": "^(x|yz)*$", "minLength": 600, "maxLength": 900}`, `"`, "x"},
		{`{"type": "string", "minLength": 600, "maxLength": 900}`, `"`, "x"},
		{`{"type": "array", "items": {"type": "null"}, "minItems": 600, "maxItems": 900}`, `[null`, ", null"},
		{`{"type": "array", "items": {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 9}, "minItems": 600, "maxItems": 900}`, `[[null, null]`, ", [null, null]"},
	} {
		g := compile(t, c.schema)
		m := g.Start(v)
		mask := make([]uint64, v.Words())
		if err := m.AcceptBytes([]byte(c.begin)); err != nil {
			t.Fatal(err)
		}
		kept := map[*state]bool{}
		for i := range 890 {
			m.lock().mu.Unlock()
			kept[m.machine.maskOf(m.state)] = true
			if i%9 == 0 || i > 570 && i < 620 || i > 870 {
				if err := m.Mask(mask); err != nil {
					t.Fatal(err)
				}
				checkMask(t, m, v, mask)
			}
			if err := m.AcceptBytes([]byte(c.round)); err != nil {
				t.Fatal(err)
			}
		}
		if len(kept) > 80 {
			t.Errorf("%s: %d masks", c.schema, len(kept))
		}
	}
}

// Beyond a lower bound and without an upper one there is nothing left to count.
func TestCountStops(t *testing.T) {
	for _, schema := range []string{`{"pattern": "^[a-z]*$", "minLength": 3}`, `{"type": "string", "minLength": 3}`, `{"pattern": "^(xx)*$", "minLength": 3}`} {
		m := compile(t, schema).Start(byteVocabularyOnce)
		if err := m.AcceptBytes([]byte(`"xxxx`)); err != nil {
			t.Fatal(err)
		}
		begun := m.state
		if err := m.AcceptBytes([]byte("xxxxxx")); err != nil || m.state != begun {
			t.Errorf("%s: another state behind more characters, %v", schema, err)
		}
	}
}

// Strings are told apart by their lengths too, and by lengths that a pattern cannot have.
func TestLengthsApart(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		apart bool
	}{
		{`"maxLength": 3`, `"minLength": 4`, true},
		{`"maxLength": 4`, `"minLength": 4`, false},
		{`"minLength": 4`, `"maxLength": 3`, true},
		{`"pattern": "^(ab)*$"`, `"minLength": 3, "maxLength": 3`, true},
		{`"pattern": "^(ab)*$"`, `"minLength": 3, "maxLength": 4`, false},
		{`"pattern": "^a*$", "maxLength": 100000`, `"pattern": "^[ab]*$", "minLength": 100001`, true},
		{`"pattern": "^a{0,2000}$"`, `"pattern": "^a{2001,5000}$"`, true},
		{`"pattern": "^a{0,2000}$"`, `"pattern": "^a{2000,5000}$"`, false},
		{`"enum": ["abc"]`, `"maxLength": 2`, true},
		{`"enum": ["abc"]`, `"maxLength": 3`, false},
	} {
		schema := fmt.Sprintf(`{"oneOf": [{"type": "string", %s}, {"type": "string", %s}]}`, c.a, c.b)
		if _, err := Compile([]byte(schema)); (err == nil) != c.apart {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
