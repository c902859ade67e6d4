// Package internal_test holds the house's order: which package may know which. Open layers_test.go, the only file.
package internal_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// house is the tree from the ground up, a floor a line (a floor may take several lines). A package imports only from
// floors above its own line and from packages before it on its own floor. Floors lie in internal/; "." is the module's
// root. It is a statement of policy: change the code, not the text. Packages that are still to come have their place.
//
// Tests keep the order too, but for those of an outside package (package x_test): they see only what x shows to all,
// and may drive it from any floor.
const house = `
compute  cpu par kernel tensor quant op limit
format   atomicfile mmap gguf safetensors weights tokenizer jinja
lm       model grammar generate chat convert scripted session
.        recipes
learn    data optim train task/mention task/receipts task/ledger task
learn    cost teacher eval report queue distill
.        models
app      hub search history web server cli
.        cmd/retort
.        acceptance
`

// heart names the floors whose code imports nothing but Go's own library, golang.org/x and ours, and allowed the
// libraries that some of their packages have beyond that. Tests are free.
var (
	heart   = []string{"compute", "format", "lm", "learn"}
	allowed = map[string][]string{
		"learn/task":    {"github.com/goccy/go-yaml", "github.com/santhosh-tekuri/jsonschema"}, // recipe.yaml; the schema verifier
		"learn/cost":    {"github.com/goccy/go-yaml"},                                          // price tables
		"learn/distill": {"github.com/goccy/go-yaml"},                                          // run and train configs
		"learn/report":  {"github.com/goccy/go-yaml"},                                          // price tables in a manifest
	}
)

// numtest is for tests alone, on every floor; itself it knows these packages of ours.
const numtest = "numtest"

var numtestKnows = []string{"compute/cpu"}

func TestLayers(t *testing.T) {
	wrong, packages, err := offenders(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
	if packages < 30 {
		t.Errorf("read %d packages, want all of them (more than 30): the walk misses some", packages)
	}
}

// TestLayersSeesOffenders breaks each rule once.
func TestLayersSeesOffenders(t *testing.T) {
	for _, c := range []struct{ file, source, want string }{
		{"internal/lm/model/a.go", `package model; import "retort/internal/compute/op"`, ""},
		{"internal/lm/model/a_test.go", `package model; import "retort/internal/numtest"`, ""},
		{"internal/lm/model/a_test.go", `package model; import "go.uber.org/goleak"`, ""},
		{"internal/lm/model/a.go", `package model; import "golang.org/x/sys/unix"`, ""},
		{"internal/learn/task/a.go", `package task; import "github.com/goccy/go-yaml/ast"`, ""},
		{"internal/compute/kernel/_asm/a.go", `package main; import "retort/internal/lm/model"`, ""},
		{"internal/compute/op/a.go", `package op; import "retort/internal/format/gguf"`, "compute/op imports format/gguf, of a later floor"},
		{"internal/compute/cpu/a.go", `package cpu; import "retort/internal/compute/par"`, "compute/cpu imports compute/par, which stands after it on its floor"},
		{"internal/lm/chat/a_test.go", `package chat; import "retort/internal/learn/task"`, "lm/chat imports learn/task, of a later floor"},
		{"internal/lm/chat/a_test.go", `package chat_test; import "retort/internal/learn/task"`, ""},
		{"internal/lm/chat/a_test.go", `package chat_test; import "retort/internal/lm/newcomer"`, "lm/chat imports lm/newcomer, which has no place"},
		{"internal/lm/chat/a.go", `package chat; import "retort/models"`, "lm/chat imports models, of a later floor"},
		{"internal/lm/model/a.go", `package model; import "retort/internal/numtest"`, "lm/model imports numtest outside its tests"},
		{"internal/numtest/a.go", `package numtest; import "retort/internal/compute/op"`, "numtest imports compute/op, want only [compute/cpu]"},
		{"internal/lm/newcomer/a.go", `package newcomer`, "lm/newcomer has no place in the house"},
		{"internal/lm/model/a.go", `package model; import "retort/internal/lm/newcomer"`, "lm/model imports lm/newcomer, which has no place in the house"},
		{"internal/lm/model/a.go", `package model; import "github.com/goccy/go-yaml"`, "lm/model imports github.com/goccy/go-yaml; the heart imports only"},
		{"internal/learn/cost/a.go", `package cost; import "github.com/goccy/go-yamlish"`, "learn/cost imports github.com/goccy/go-yamlish; the heart imports only"},
		{"recipes/a.go", `package recipes; import "retort/internal/compute/cpu"`, ""},
	} {
		wrong, _, err := offenders(fstest.MapFS{c.file: {Data: []byte(c.source)}})
		got := strings.Join(wrong, "\n")
		if err != nil || (c.want == "") != (got == "") || !strings.Contains(got, c.want) || got != "" && !strings.HasPrefix(got, c.file) {
			t.Errorf("%s with %q: %q, %v; want %q", c.file, c.source, got, err, c.want)
		}
	}
}

// offenders reads the imports of every Go file below root, the module's root, and returns a line for each that breaks
// the order, and how many packages it saw.
func offenders(root fs.FS) (wrong []string, packages int, err error) {
	place, floor := places()
	seen := map[string]bool{}
	err = fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			_, nested := fs.Stat(root, path.Join(file, "go.mod"))
			if file != "." && (name[0] == '.' || name[0] == '_' || name == "testdata" || nested == nil) {
				return fs.SkipDir
			}
			return nil
		}
		dir := strings.TrimPrefix(path.Dir(file), "internal/")
		if !strings.HasSuffix(file, ".go") || dir == "internal" { // this file
			return nil
		}
		if !seen[dir] {
			seen[dir] = true
			if _, ok := place[dir]; !ok && dir != numtest {
				wrong = append(wrong, fmt.Sprintf("%s: package %s has no place in the house: give it one in internal/layers_test.go", file, dir))
			}
		}
		source, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			by := program
			if strings.HasSuffix(file, "_test.go") {
				by = insideTest
				if strings.HasSuffix(parsed.Name.Name, "_test") {
					by = outsideTest
				}
			}
			if why := judge(dir, target, by, place, floor); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s imports %s", file, dir, why))
			}
		}
		return nil
	})
	return wrong, len(seen), err
}

// places numbers the house: the place of each package in the text, and the floor it lies on.
func places() (place map[string]int, floor map[string]string) {
	place, floor = map[string]int{}, map[string]string{}
	for line := range strings.Lines(house) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		for _, name := range words[1:] {
			dir := path.Join(words[0], name)
			place[dir], floor[dir] = len(place), words[0]
		}
	}
	return place, floor
}

// importer is what kind of file imports.
type importer int

const (
	program     importer = iota
	insideTest           // a test that is part of the package
	outsideTest          // a test of package x_test
)

// judge says what is wrong when package dir (without "internal/") imports target, or nothing.
func judge(dir, target string, by importer, place map[string]int, floor map[string]string) string {
	ours, isOurs := strings.CutPrefix(target, "retort/")
	ours = strings.TrimPrefix(ours, "internal/")
	first, _, _ := strings.Cut(target, "/")
	switch {
	case !isOurs && (!strings.Contains(first, ".") || first == "golang.org"):
		return ""
	case !isOurs:
		within := func(library string) bool { return target == library || strings.HasPrefix(target, library+"/") }
		if by != program || !slices.Contains(heart, floor[dir]) || slices.ContainsFunc(allowed[dir], within) {
			return ""
		}
		return fmt.Sprintf("%s; the heart imports only Go's own library, golang.org/x and %v", target, allowed[dir])
	case ours == dir:
		return "" // an external test of its own package
	case ours == numtest:
		if by != program {
			return ""
		}
		return "numtest outside its tests"
	case dir == numtest:
		if slices.Contains(numtestKnows, ours) {
			return ""
		}
		return fmt.Sprintf("%s, want only %v", ours, numtestKnows)
	}
	to, known := place[ours]
	from, placed := place[dir]
	switch {
	case !known:
		return ours + ", which has no place in the house: give it one in internal/layers_test.go"
	case !placed || to < from || by == outsideTest:
		return "" // a package without a place is reported once, by itself
	case floor[ours] == floor[dir]:
		return ours + ", which stands after it on its floor"
	}
	return ours + ", of a later floor"
}
