package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"retort/internal/numtest"
)

// A suiteGroup is one schema of JSON-Schema-Test-Suite and its instances.
type suiteGroup struct {
	File        string `json:"-"`
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

func (g *suiteGroup) String() string { return g.File + ": " + g.Description }

func readSuite(t testing.TB) []suiteGroup {
	t.Helper()
	root := numtest.Shared(t, "data/schemas/tests/draft2020-12")
	var groups []suiteGroup
	for _, pattern := range []string{"*.json", "optional/*.json", "optional/format/*.json"} {
		files, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var in []suiteGroup
			if err := json.Unmarshal(data, &in); err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, file)
			for _, g := range in {
				g.File = name
				groups = append(groups, g)
			}
		}
	}
	return groups
}

// TestSuite holds the grammar of every schema of the suite that compiles to the suite's verdicts: nothing invalid is
// accepted, and what is valid but refused falls under a point of the package comment. That is decided by another
// validator on the schema with those points written out. A schema that does not compile must name its reason.
func TestSuite(t *testing.T) {
	refusal := regexp.MustCompile(`keyword "[^"]+".* is not supported|is not supported|not told apart|no value satisfies|leads nowhere|more than`)
	reasons := map[string]int{}
	var supported, refused, accepted, rejected, narrower int
	for _, group := range readSuite(t) {
		g, err := Compile(group.Schema)
		if err != nil {
			if !refusal.MatchString(err.Error()) {
				t.Errorf("%s: %v", &group, err)
			}
			refused++
			reasons[reason(err)]++
			continue
		}
		supported++
		for _, test := range group.Tests {
			text := inOrder(t, group.Schema, test.Data)
			switch got := accepts(g, text); {
			case got && test.Valid:
				accepted++
			case !got && !test.Valid:
				rejected++
			case got:
				t.Errorf("%s: accepted invalid %s (%s)", &group, text, test.Description)
			case looseFormat(group.File), longNumber(t, test.Data), strictlyInvalid(group.Schema, test.Data):
				narrower++
			default:
				t.Errorf("%s: refused valid %s (%s)", &group, text, test.Description)
			}
		}
	}
	t.Logf("%d schemas supported, %d refused; %d instances accepted, %d rejected, %d valid ones left out as documented",
		supported, refused, accepted, rejected, narrower)
	for _, name := range sortedKeys(reasons) {
		t.Logf("refused %3d: %s", reasons[name], name)
	}
	if supported < 150 {
		t.Errorf("%d schemas supported, want 150", supported)
	}
}

func sortedKeys(m map[string]int) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// reason is the keyword of a refusal, or its words without the parts in quotes.
func reason(err error) string {
	if m := regexp.MustCompile(`keyword "[^"]+"( beside "[^"]+")?`).FindString(err.Error()); m != "" {
		return m
	}
	s := regexp.MustCompile(`"[^"]*"|#\S+|/\S+: `).ReplaceAllString(err.Error(), "…")
	return regexp.MustCompile(`\d+`).ReplaceAllString(s, "N")
}

// looseFormat names the suite's files on formats whose automata are documented to leave out valid values.
func looseFormat(file string) bool {
	base := filepath.Base(file)
	return strings.Contains(file, "format") && (base == "email.json" || base == "time.json" || base == "date-time.json")
}

var manyDigits = regexp.MustCompile(fmt.Sprintf(`\d{%d}`, maxDigits+1))

// longNumber tells whether an instance has a number of more digits than are written.
func longNumber(t testing.TB, data []byte) bool {
	t.Helper()
	v, err := parseValue(data)
	if err != nil {
		t.Fatal(err)
	}
	var long func(v *value) bool
	long = func(v *value) bool {
		return v.kind&(isInteger|isNumber) != 0 && manyDigits.MatchString(v.text) || slices.ContainsFunc(v.values, long)
	}
	return long(v)
}

// inOrder writes an instance in the style of a grammar, members in the order in which the schema names them.
func inOrder(t testing.TB, schema, data []byte) string {
	t.Helper()
	s, err := parseValue(schema)
	if err != nil {
		t.Fatal(err)
	}
	v, err := parseValue(data)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	collectNames(s, &names)
	sortMembers(v, names)
	return v.json()
}

func collectNames(s *value, names *[]string) {
	if p := s.member("properties"); p != nil {
		*names = append(*names, p.keys...)
	}
	if r := s.member("required"); r != nil && r.kind == isArray {
		for _, name := range r.values {
			*names = append(*names, name.text)
		}
	}
	if k := s.member("const"); k != nil {
		*names = append(*names, k.keys...)
	}
	for _, sub := range s.values {
		collectNames(sub, names)
	}
}

func sortMembers(v *value, names []string) {
	for _, item := range v.values {
		sortMembers(item, names)
	}
	if v.kind != isObject {
		return
	}
	rank := func(key string) int {
		if i := slices.Index(names, key); i >= 0 {
			return i
		}
		return len(names)
	}
	order := slices.Clone(v.keys)
	slices.SortStableFunc(order, func(a, b string) int { return rank(a) - rank(b) })
	values := make([]*value, len(order))
	for i, key := range order {
		values[i] = v.member(key)
	}
	v.keys, v.values = order, values
}

// strictlyInvalid validates against the schema in which the package comment's points are written out.
func strictlyInvalid(schema, data []byte) bool {
	var s any
	if json.Unmarshal(schema, &s) != nil {
		return false
	}
	strict, _ := json.Marshal(writeOut(s))
	validator, err := validatorOf(strict)
	return err == nil && validate(validator, data) != nil
}

// writeOut adds, in every schema, the type that its keywords imply and additionalProperties false beside members.
func writeOut(s any) any {
	m, ok := s.(map[string]any)
	if !ok {
		return s
	}
	out := map[string]any{}
	var implied []string
	for key, arg := range m {
		out[key] = arg
		for name, kind := range typeNames {
			if kind&keywords[key] != 0 && !slices.Contains(implied, name) {
				implied = append(implied, name)
			}
		}
		switch arg := arg.(type) {
		case map[string]any:
			if key == "items" || key == "additionalProperties" {
				out[key] = writeOut(arg)
			} else if key == "properties" || key == "$defs" || key == "definitions" {
				subs := map[string]any{}
				for name, sub := range arg {
					subs[name] = writeOut(sub)
				}
				out[key] = subs
			}
		case []any:
			if key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems" {
				var subs []any
				for _, sub := range arg {
					subs = append(subs, writeOut(sub))
				}
				out[key] = subs
			}
		}
	}
	fixed := m["enum"] != nil || m["const"] != nil
	if m["type"] == nil && len(implied) > 0 && !fixed {
		out["type"] = implied
	}
	properties, _ := m["properties"].(map[string]any)
	required, _ := m["required"].([]any)
	open := m["additionalProperties"] == nil && (m["properties"] != nil || len(required) > 0) ||
		m["additionalProperties"] == true && len(properties)+len(required) > 0
	if open {
		named := map[string]any{}
		if p, ok := out["properties"].(map[string]any); ok {
			named = p
		}
		for _, name := range required {
			if name, ok := name.(string); ok && named[name] == nil {
				named[name] = true
			}
		}
		out["properties"], out["additionalProperties"] = named, false
	}
	return out
}

// ecmaRegexp compiles with package regexp, in which \s is narrower than in ECMA 262.
func ecmaRegexp(pattern string) (jsonschema.Regexp, error) {
	const space = `[\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}]`
	re, err := regexp.Compile(strings.ReplaceAll(pattern, `\s`, space))
	if err != nil {
		return nil, err
	}
	return re, nil
}

func validatorOf(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseRegexpEngine(ecmaRegexp)
	if err := c.AddResource("mem:schema", doc); err != nil {
		return nil, err
	}
	return c.Compile("mem:schema")
}

func validate(s *jsonschema.Schema, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// TestSuiteWalks walks every supported schema of the suite at random: what comes out validates.
func TestSuiteWalks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	v := randomVocabulary(rng, true)
	walked := 0
	for _, group := range readSuite(t) {
		g, err := Compile(group.Schema)
		if err != nil {
			continue
		}
		validator, err := validatorOf(group.Schema)
		if err != nil {
			continue // package regexp does not know every pattern
		}
		for range 5 {
			text := walk(t, rng, g, v, false)
			walked++
			if err := validate(validator, text); err != nil {
				t.Errorf("%s: wrote %s: %v", &group, text, err)
			}
		}
	}
	if walked < 500 {
		t.Errorf("%d walks, want 500", walked)
	}
}
