package jinja

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are templates that would run long or grow without the limits. A long string is repeated twice over: each
// repetition is a step, and a case that spends its steps on its first line shows nothing.
var hostile = map[string]string{
	"nested loops":   "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
	"loop in loop":   strings.Repeat("{% for a in range(9) %}", 30) + "x" + strings.Repeat("{% endfor %}", 30),
	"endless macro":  "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
	"macro tree":     "{% macro m(k) %}{% if k %}{{ m(k - 1) }}{{ m(k - 1) }}{% endif %}{% endmacro %}{{ m(50) }}",
	"doubled text":   "{% set n = namespace(s='ab') %}{% for a in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
	"doubled list":   "{% set n = namespace(s=[1]) %}{% for a in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}",
	"nested list":    "{% set n = namespace(s=[1]) %}{% for a in range(5000) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}",
	"twice in list":  "{% set n = namespace(s=[1]) %}{% for a in range(90) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s|tojson }}",
	"twice equal":    "{% set n = namespace(s=[1], t=[1]) %}{% for a in range(90) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.s == n.t }}",
	"twice in order": "{% set n = namespace(s=[1], t=[1]) %}{% for a in range(90) %}{% set n.s = [n.s, n.s] %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.s < n.t }}",
	"repeated":       "{{ ('x' * 1000000) * 1000000 }}",
	"many repeats":   "{% for a in range(100000) %}{% set b = 'x' * 1000000 %}{% endfor %}",
	"small repeat":   "{% for a in range(100000) %}{% set b = [1] * 1000 %}{% endfor %}",
	"replace":        "{% set s = 'a' * 100000 %}{{ s.replace('a', s) }}",
	"replace empty":  "{% set s = 'a' * 100000 %}{{ s.replace('', s) }}",
	"join":           "{% set s = 'a' * 100000 %}{{ s.join(s) }}",
	"join filter":    "{% set s = 'a' * 100000 %}{{ s|join(s) }}",
	"indent":         "{% set s = 'a\n' * 100000 %}{{ s|indent(999, true, true) }}",
	"indent by text": "{% set s = 'a\n' * 100000 %}{{ s|indent(s, true, true) }}",
	"tojson indent":  "{{ [[[[1] * 1000] * 1000] * 1000] | tojson(indent=90) }}",
	"separators":     "{% set s = ('a' * 1000) * 500 %}{{ ([1] * 1000) | tojson(separators=(s, s)) }}",
	"splits":         "{% set s = 'a ' * 100000 %}{% for a in range(1000) %}{% set b = s.split() %}{% endfor %}",
	"split lines":    "{% set s = 'a\n' * 100000 %}{% for a in range(1000) %}{% set b = s.splitlines() %}{% endfor %}",
	"characters":     "{% set s = ('a' * 1000) * 500 %}{% for a in range(1000) %}{% set b = s[3] %}{% endfor %}",
	"upper":          "{% set s = ('a' * 1000) * 500 %}{% for a in range(1000) %}{% set b = s.upper() %}{% endfor %}",
	"find":           "{% set s = ('a' * 1000) * 500 %}{% for a in range(100000) %}{% set b = s.find('b') %}{% endfor %}",
	"contains":       "{% set s = ('a' * 1000) * 500 %}{% for a in range(100000) %}{% set b = 'b' in s %}{% endfor %}",
	"contains list":  "{% set s = range(100000)|list %}{% for a in range(100000) %}{% set b = -1 in s %}{% endfor %}",
	"lengths":        "{% set s = ('a' * 1000) * 500 %}{% for a in range(100000) %}{% set b = s|length %}{% endfor %}",
	"compare":        "{% set s = ('a' * 1000) * 500 %}{% set t = s ~ '' %}{% for a in range(100000) %}{% set b = s == t %}{% set c = s < t %}{% endfor %}",
	"strip":          "{% set s = ('a' * 1000) * 500 %}{% for a in range(100000) %}{% set b = s.strip('a') %}{% endfor %}",
	"strip chars":    "{% set s = 'a' * 100000 %}{% set c = 'b' * 100000 ~ 'a' %}{% for a in range(100000) %}{% set b = s.strip(c) %}{% endfor %}",
	"sorts":          "{% for a in range(1000) %}{% set b = range(1000)|sort(reverse=true) %}{% endfor %}",
	"ranges":         "{% for a in range(1000) %}{% set b = range(100000)|list %}{% endfor %}",
	"slices":         "{% set s = range(100000)|list %}{% for a in range(1000) %}{% set b = s[::-1] %}{% endfor %}",
	"text slices":    "{% set s = 'ab' * 100000 %}{% for a in range(1000) %}{% set b = s[::-1] %}{% endfor %}",
	"reverse":        "{% set s = 'ab' * 100000 %}{% for a in range(1000) %}{% set b = s|reverse %}{% endfor %}",
	"batches":        "{% for a in range(1000) %}{% set b = [1]|batch(100000, 1)|list %}{% endfor %}",
	"pads":           "{% for a in range(1000) %}{% set b = 'a'.center(1000000) %}{% set c = '1'.zfill(1000000) %}{% endfor %}",
	"format":         "{% set s = ('a' * 1000) * 500 %}{{ ('{0}' * 10000).format(s) }}",
	"percent":        "{% set s = ('a' * 1000) * 500 %}{{ ('%s' * 1000) % ((s,) * 1000) }}",
	"nested maps":    "{% for a in range(100000) %}{% set b = range(100000)|map('string')|map('upper')|list %}{% endfor %}",
	"map of map":     "{{ [[[1]]]|map('map', 'map', 'list')|list|map('list')|list }}" + strings.Repeat("{% for a in range(9) %}", 9) + strings.Repeat("{% endfor %}", 9),
	"power":          "{% for a in range(100000) %}{% for b in range(100) %}{{ (-1) ** 9223372036854775807 }}{% endfor %}{% endfor %}",
	"captures":       "{% for a in range(100000) %}{% set s %}{{ 'x' * 1000 }}{% endset %}{% endfor %}",
	"names":          "{% for a in range(100000) %}{% if a %}{{ nope }}{{ a }}{{ nope }}{{ loop.index }}{% endif %}{% endfor %}",
	"from json":      "{% set s = '[' ~ '1,' * 100000 ~ '1]' %}{% for a in range(1000) %}{% set b = s|from_json %}{% endfor %}",
	"escapes":        "{% set s = '<' * 100000 %}{% for a in range(100) %}{% set s2 = s|e %}{% set s3 = s|tojson %}{% set s4 = [s]|string %}{% endfor %}",
	"many names":     manyNames("{%% set a%05d = 1 %%}", 20_000) + "{% for a in range(100000) %}{{ nope }}{% endfor %}",
	"nested names":   strings.Repeat("{% with a = 1, b = 2, c = 3 %}", 90) + "{% for a in range(100000) %}{{ nope }}{% endfor %}" + strings.Repeat("{% endwith %}", 90),
	"parameters":     "{% macro m(" + manyNames("a%05d,", 10_000) + "z) %}{% endmacro %}{% for a in range(100000) %}{{ m(" + manyNames("a%05d=1,", 10_000) + "z=1) }}{% endfor %}",
	"dict copies":    "{% set d = dict(" + manyNames("a%05d=1,", 5000) + ") %}{% for i in range(10000) %}{% set x = dict(d) %}{% endfor %}",
	"namespaces":     "{% set d = dict(" + manyNames("a%05d=1,", 1000) + ") %}{% for i in range(40000) %}{% set x = namespace(d) %}{% endfor %}",
	"dict pairs":     "{% set d = [[1, 1]] * 5000 %}{% for i in range(40000) %}{% set x = dict(d) %}{% endfor %}",
	"fields":         "{% set s = '{a29999}' * 20000 %}{{ s.format(" + manyNames("a%05d=1,", 30_000) + ") }}",
	"braces":         "{% set s = ('{{' * 1000) * 500 %}{% for i in range(100000) %}{% set x = s.format() %}{% endfor %}",
	"percents":       "{% set s = ('%%' * 1000) * 200 %}{% for i in range(100000) %}{% set x = s % () %}{% endfor %}",
	"long keys":      "{% set s = ('a' * 1000) * 10000 %}{% set d = {s: 1} %}{% for i in range(100000) %}{% set x = d[s] %}{% set x = s in d %}{% set x = d.get(s) %}{% endfor %}",
	"long name":      "{% for i in range(100000) %}{{ " + strings.Repeat("a", 500_000) + " }}{% endfor %}",
	"long names":     manyNames("{%% set "+strings.Repeat("a", 5000)+"%05d = 1 %%}", 150) + "{% for i in range(100000) %}{{ " + strings.Repeat("a", 5000) + "nopes }}{% endfor %}",
	"known names":    "{% set s = ('a' * 1000) * 10000 %}{% for i in range(100000) %}{% set x = s is filter %}{% endfor %}",
	"unpacking":      "{% for " + strings.Repeat("a,", 400_000) + "a in [[1] * 400001] * 40000 %}{% endfor %}",
	"affixes":        "{% set t = ('b',) * 300000 %}{% for i in range(100000) %}{% set x = 'a'.startswith(t) %}{% endfor %}",
	"short strip":    "{% set c = ('b' * 1000) * 10000 ~ 'a' %}{% for i in range(100000) %}{% set x = ('a' * 60).strip(c) %}{% endfor %}",
	"attribute":      "{% set p = ('.' * 1000) * 1000 %}{% for i in range(100000) %}{% set x = []|map(attribute=p) %}{% endfor %}",
	"attributes":     "{% set p = '0.' * 50000 ~ '0' %}{% set x = (['a'] * 100000)|map(attribute=p)|list %}",
	"same keyword":   "{% set x = ([''] * 300000)|map('replace', 'a', 'b', " + strings.Repeat("count=1,", 100_000) + ")|list %}",
	"numbers":        "{% set s = ('A' * 1000) * 10000 %}{% for i in range(100000) %}{% set x = s|int %}{% set x = s|float %}{% endfor %}",
	"nothing":        "{% set x = '' * 9223372036854775807 %}{% for i in range(100000) %}{% for i in range(100000) %}{% endfor %}{% endfor %}",
	"long loop":      "{% for a in range(100000) %}{{ a }}{{ a }}{{ a }}{{ a }}{{ a }}{% endfor %}",
}

// manyNames repeats format for each number below n.
func manyNames(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// patience tells a bound that is missing, which takes minutes, from the promise of 100 ms on the most crowded machine.
const patience = 20 * time.Second

func TestLimits(t *testing.T) {
	var before, after runtime.MemStats
	for name, src := range hostile {
		t.Run(name, func(t *testing.T) {
			tmpl, err := Parse(src)
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err = tmpl.Render(nil)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("it ended without an error")
			}
			if took > patience {
				t.Errorf("it took %v, at most %v", took, patience)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<30 {
				t.Errorf("it allocated %d MiB, at most 1024", got>>20)
			}
			t.Logf("%v, %d MiB: %v", took, (after.TotalAlloc-before.TotalAlloc)>>20, err)
		})
	}
}

// TestManyNamesStayCharged: a long input raises the limit of steps, not the price of a name. Each turn compares all.
func TestManyNamesStayCharged(t *testing.T) {
	const n = 4000
	tmpl, err := Parse(manyNames("{%% set a%05d = 1 %%}", n) + "{% for m in messages %}{{ nope }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{limit: MaxLongSteps, scope: &scope{}}
	m.set("messages", make([]any, 100))
	before := m.steps
	m.body(tmpl.body)
	if got, want := m.steps-before, n*n/2/namesAStep+100*n/namesAStep; got < want {
		t.Errorf("%d steps, want %d or more", got, want)
	}
}

// TestParseTakesBoundedMemory: what a template costs to read grows with its length alone. What is built up piece by piece
// took its square.
func TestParseTakesBoundedMemory(t *testing.T) {
	const n = 1 << 14
	for name, src := range map[string]string{
		"adjacent literals": "{{ " + strings.Repeat("'a' ", n) + "}}",
		"dotted filter":     "{{ 1|a" + strings.Repeat(".a", n) + " }}",
		"list":              "{{ [" + strings.Repeat("1,", n) + "] }}",
		"data":              strings.Repeat("a{# #}", n),
		"raw":               strings.Repeat("{%raw%}{%{%endraw%}", n/4),
		"sets":              strings.Repeat("{%set a=1%}", n),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(src)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// A token of two bytes takes 40 in a list that grows by a quarter or more, a node as much again.
		if got := after.TotalAlloc - before.TotalAlloc; got > 400*uint64(len(src)) {
			t.Errorf("%s: %d bytes for a template of %d", name, got, len(src))
		}
	}
}

// TestDeep gives the parser and the machine deep trees: they end with an error, not with the stack.
func TestDeep(t *testing.T) {
	for name, src := range map[string]string{
		"brackets":    "{{ " + strings.Repeat("[", 100_000),
		"parentheses": "{{ " + strings.Repeat("(", 90) + "1" + strings.Repeat(")", 90) + " + " + strings.Repeat("(", 101),
		"not":         "{{ " + strings.Repeat("not ", 100_000) + "a }}",
		"minus":       "{{ " + strings.Repeat("-", 100_000) + "1 }}",
		"if":          strings.Repeat("{% if a %}", 50_000),
		"sum":         "{{ 1" + strings.Repeat(" + 1", 100_000) + " }}",
		"members":     "{{ a" + strings.Repeat(".a", 100_000) + " }}",
		"filters":     "{{ a" + strings.Repeat("|upper", 100_000) + " }}",
		"calls":       "{{ a" + strings.Repeat("()", 100_000) + " }}",
		"else":        "{{ " + strings.Repeat("1 if a else ", 50_000) + "2 }}",
		"or":          "{{ 0" + strings.Repeat(" or 0", 100_000) + " }}",
		"targets":     "{% set " + strings.Repeat("(", 100_000),
		"too long":    strings.Repeat("x", MaxSource+1),
	} {
		tmpl, err := Parse(src)
		if err == nil {
			_, err = tmpl.Render(nil)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	deep := any("x")
	for range MaxNesting + 1 {
		deep = []any{deep}
	}
	tmpl, err := Parse("{{ v }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Render(map[string]any{"v": deep}); err == nil {
		t.Errorf("input nested %d deep: no error", MaxNesting+1)
	}
	if _, err := FromJSON([]byte(strings.Repeat("[", 1_000_000)), false); err == nil {
		t.Error("FromJSON of a million brackets: no error")
	}
}

// TestErrors looks at the words and lines of errors, and that what is not supported is named.
func TestErrors(t *testing.T) {
	for src, want := range map[string]string{
		"a\n{% include 'x' %}":                      "jinja: line 2: tag 'include' is not supported",
		"{% for a in b recursive %}":                "jinja: line 1: recursive loops are not supported",
		"\n\n{{ 'a'|urlize }}":                      "jinja: line 3: filter 'urlize' is not supported",
		"{{ 1 is weird }}":                          "jinja: line 1: test 'weird' is not supported",
		"{{ 'a'.encode() }}":                        "jinja: line 1: method 'encode' of str is not supported",
		"{{ cycler(1) }}":                           "jinja: line 1: function 'cycler' is not supported",
		"{{ f(*a) }}":                               "jinja: line 1: arguments with * are not supported",
		"{{ [].append(1) }}":                        "jinja: line 1: method 'append' would change a list, which the sandbox forbids",
		"{% if a %}\n{% for x in y %}\n{% endif %}": "jinja: line 3: unexpected tag 'endif', expected 'endfor' or 'else'",
		"{% if a %}\n":                              "jinja: line 1: template ends where 'elif' or 'else' or 'endif' is expected",
		"{{ a\n+\n}}":                               "jinja: line 3: unexpected '}}'",
		"{{ 'x\ny' }}\n{{ 1 + }}":                   "jinja: line 3: unexpected '}}'",
		"{% set a = 1 %}\n{{ a.b.c }}":              "jinja: line 2: 'int object' has no attribute 'b'",
		"{{ messages[0].role }}":                    "jinja: line 1: 'messages' is undefined",
		"\n{% if x %}{% else %}{{ raise_exception('no system') }}{% endif %}": "jinja: line 2: no system",
		"{{ 9223372036854775807 + 1 }}":                                       "jinja: line 1: integers of more than 64 bits are not supported",
		"{{ 99999999999999999999 }}":                                          "jinja: line 1: number 99999999999999999999 is not an integer of 64 bits",
		"{{ a $ b }}":                                                         "jinja: line 1: unexpected character '$'",
		"{{ (1] }}":                                                           "jinja: line 1: unexpected ']'",
		"{# a":                                                                "jinja: line 1: comment is not closed",
		"{% raw %}":                                                           "jinja: line 1: raw is not closed",
		"{{ strftime_now('%Q') }}":                                            "jinja: line 1: strftime_now: %Q is not supported",
	} {
		tmpl, err := Parse(src)
		if err == nil {
			_, err = tmpl.Render(nil)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", src, err, want)
		}
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Raised != strings.Contains(src, "raise_")) {
			t.Errorf("%q: %#v", src, err)
		}
	}
	tmpl, err := Parse("{{ a }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Render(map[string]any{"a": struct{}{}}); err == nil {
		t.Error("a struct as input: no error")
	}
}

// TestMark follows data through what templates do to it: each case shows the result with ⟦ ⟧ around data. DATA is
// "  ab<s>cd  " as Data.
func TestMark(t *testing.T) {
	for src, want := range map[string]string{
		"x{{ v }}y":                                                 "x⟦  ab<s>cd  ⟧y",
		"{{ v|trim }}<s>":                                           "⟦ab<s>cd⟧<s>",
		"{{ v.split('<s>')[-1].lstrip() }}":                         "⟦cd  ⟧",
		"{{ v.strip().split('<s>')|join('<s>') }}":                  "⟦ab⟧<s>⟦cd⟧",
		"{{ v.replace('<s>', '<s>')|trim }}":                        "⟦ab⟧<s>⟦cd⟧",
		"{{ v.strip().replace('<s>', '') }}":                        "⟦abcd⟧",
		"{{ 'a' ~ v.strip() ~ 'b' }}":                               "a⟦ab<s>cd⟧b",
		"{{ v.strip().upper() }}":                                   "⟦AB<S>CD⟧",
		"{{ v.strip()[::-1] }}":                                     "⟦dc>s<ba⟧",
		"{{ v.strip()|reverse }}":                                   "⟦dc>s<ba⟧",
		"{{ v.strip()|list|join }}":                                 "⟦ab<s>cd⟧",
		"{{ v.strip()[2:5] * 2 }}":                                  "⟦<s><s>⟧",
		"{{ [v.strip()] }}":                                         "['⟦ab<s>cd⟧']",
		"{{ {'k': v.strip()}|tojson }}":                             `{"k": "⟦ab<s>cd⟧"}`,
		"{{ {v.strip(): 1}|tojson }}":                               `{"⟦ab<s>cd⟧": 1}`,
		"{{ '<%s>' % v.strip() }}":                                  "<⟦ab<s>cd⟧>",
		"{{ '<{}>'.format(v.strip()) }}":                            "<⟦ab<s>cd⟧>",
		"{% set s %}[{{ v|trim }}]{% endset %}{{ s }}":              "[⟦ab<s>cd⟧]",
		"{% filter upper %}a{{ v|trim }}{% endfilter %}":            "A⟦AB<S>CD⟧",
		"{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(v.strip()) }}": "<⟦ab<s>cd⟧>",
		"{{ ('x\n' ~ v.strip())|indent(2) }}":                       "x\n  ⟦ab<s>cd⟧",
		"{{ ('\"' ~ v.strip() ~ '\"')|from_json }}":                 "⟦ab<s>cd⟧",
		"{{ v.strip().partition('<s>') }}":                          "('⟦ab⟧', '⟦<s>⟧', '⟦cd⟧')",
		"{{ v|trim|e }}":                                            "⟦ab&lt;s&gt;cd⟧",
		"{{ v.strip().title() }}":                                   "⟦Ab<S>Cd⟧",
		"{{ v.strip().center(13, '*') }}":                           "***⟦ab<s>cd⟧***",
		"{{ '<s>' if '<s>' in v else '' }}":                         "<s>",
		"{{ v.strip()|replace('<s>', v.strip()) }}":                 "⟦abab<s>cdcd⟧",
	} {
		tmpl, err := Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Mark(map[string]any{"v": Data("  ab<s>cd  ")})
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		var b strings.Builder
		at := 0
		for _, sp := range got.Data {
			b.WriteString(got.Text[at:sp.Start] + "⟦" + got.Text[sp.Start:sp.End] + "⟧")
			at = sp.End
		}
		b.WriteString(got.Text[at:])
		if b.String() != want {
			t.Errorf("%s: got %s, want %s", src, b.String(), want)
		}
	}
}
