package grammar

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A compiler turns a schema into a program. Its methods are given the schema, its JSON pointer for errors, and the
// node that follows; they return the node that begins.
type compiler struct {
	*program
	root    *value
	refs    map[string]int32 // JSON pointer of a $ref -> rule
	pending []string         // pointers whose rules are not compiled yet
	anyRule int32            // rule of any JSON value, -1 until used
	numbers map[bool]int32   // rules of integers, true, and of numbers, false, that have no bounds
	work    *budget
}

// maxAlternatives bounds a list of alternatives: a text may stand in all of them at the same time, and each step of a
// mask goes through them. Values of an enum count as one.
const maxAlternatives = 1 << 12

// keywords says what is understood: the types of value a keyword constrains, 0 for those that constrain all.
var keywords = map[string]valueKind{
	"type": 0, "enum": 0, "const": 0, "anyOf": 0, "oneOf": 0, "allOf": 0, "$ref": 0, "nullable": 0,
	"properties": isObject, "required": isObject, "additionalProperties": isObject,
	"items": isArray, "prefixItems": isArray, "minItems": isArray, "maxItems": isArray,
	"minLength": isString, "maxLength": isString, "pattern": isString, "format": isString,
	"minimum": isNumber, "maximum": isNumber, "exclusiveMinimum": isNumber, "exclusiveMaximum": isNumber,
}

// annotations constrain nothing. So do names that begin with "x-".
var annotations = map[string]bool{
	"title": true, "description": true, "default": true, "examples": true, "example": true, "$schema": true, "$id": true,
	"$comment": true, "$defs": true, "definitions": true, "deprecated": true, "readOnly": true, "writeOnly": true,
	"contentMediaType": true, "contentEncoding": true, "contentSchema": true,
}

// A placeError is a fault of a schema at a JSON pointer.
type placeError struct {
	at  string
	err error
}

func (e *placeError) Error() string {
	if e.at == "" {
		return "schema: " + e.err.Error()
	}
	return "schema: " + e.at + ": " + e.err.Error()
}

func (e *placeError) Unwrap() error { return e.err }

func fault(at, format string, args ...any) error {
	return &placeError{at, fmt.Errorf(format, args...)}
}

// placed gives an error a place if it has none.
func placed(err error, at string) error {
	if _, ok := errors.AsType[*placeError](err); ok || err == nil {
		return err
	}
	return &placeError{at, err}
}

// maxStep bounds the bytes of a name in a JSON pointer, so that places cost little wherever a schema has long names.
const maxStep = 100

// below is the JSON pointer of a member or an element of the value at a place.
func below(at, step string) string {
	step = escapePointer.Replace(step)
	if len(step) > maxStep {
		step = strings.ToValidUTF8(step[:maxStep], "") + "…"
	}
	return at + "/" + step
}

func unsupported(at, keyword string) error {
	return fault(at, "keyword %q is not supported", keyword)
}

// document compiles the root and every schema that a $ref leads to.
func (c *compiler) document() (int32, error) {
	start, err := c.schema(c.root, "", end)
	for err == nil && len(c.pending) > 0 {
		pointer := c.pending[len(c.pending)-1]
		c.pending = c.pending[:len(c.pending)-1]
		var target *value
		if target, err = c.resolve(pointer); err == nil {
			var first int32
			first, err = c.schema(target, pointer, end)
			c.rules[c.refs[pointer]] = first
		}
	}
	return start, err
}

// schema compiles any schema.
func (c *compiler) schema(v *value, at string, next int32) (int32, error) {
	if c.err != nil {
		return never, c.err
	}
	defer func(outer string) { c.place = outer }(c.place)
	c.place = at
	if v.kind == isBoolean {
		if v.boolean {
			return c.any(next), nil
		}
		return never, nil
	}
	if v.kind != isObject {
		return never, fault(at, "a schema is an object or a boolean, not %s", v.json())
	}
	if err := checkKeywords(v, at); err != nil {
		return never, err
	}
	start, err := c.constrained(v, at, next)
	if err != nil {
		return never, err
	}
	if n := v.member("nullable"); n != nil && n.boolean {
		start = c.choice(start, c.literal("null", next))
	}
	return start, nil
}

func checkKeywords(v *value, at string) error {
	for i, key := range v.keys {
		if key == "$id" && at != "" {
			return unsupported(at, key) // it would change what a $ref below it means
		}
		if key == "$schema" && !strings.Contains(v.values[i].text, "json-schema.org/") {
			return fault(at, "$schema %s is not supported", v.values[i].json()) // it may give keywords another meaning
		}
		if annotation(key) || harmless(v, key, v.values[i]) {
			continue
		}
		if _, ok := keywords[key]; !ok {
			return unsupported(at, key)
		}
	}
	return nil
}

// harmless tells whether a keyword that is not supported says nothing, or what is assumed anyway.
func harmless(schema *value, key string, arg *value) bool {
	no := arg.kind == isBoolean && !arg.boolean
	switch key {
	case "uniqueItems", "not":
		return no
	case "unevaluatedProperties":
		return no && schema.member("properties") != nil || unconstrained(arg)
	case "unevaluatedItems", "propertyNames":
		return unconstrained(arg)
	case "patternProperties", "dependentRequired", "dependentSchemas":
		return arg.kind == isObject && len(arg.keys) == 0
	case "minProperties":
		return arg.kind == isInteger && arg.text == "0"
	}
	return false
}

// unconstrained tells whether a schema says nothing: true, {}, or one of annotations.
func unconstrained(v *value) bool {
	constrains := func(key string) bool { return !annotation(key) }
	return v.kind == isBoolean && v.boolean || v.kind == isObject && !slices.ContainsFunc(v.keys, constrains)
}

func annotation(key string) bool { return annotations[key] || strings.HasPrefix(key, "x-") }

// constrained compiles the one keyword that decides: a reference, a combination, fixed values, or the types.
func (c *compiler) constrained(v *value, at string, next int32) (int32, error) {
	for _, key := range []string{"$ref", "allOf", "anyOf", "oneOf"} {
		arg := v.member(key)
		if arg == nil {
			continue
		}
		for _, other := range v.keys {
			if _, constrains := keywords[other]; constrains && other != key && other != "nullable" {
				return never, fault(at, "keyword %q beside %q is not supported", key, other)
			}
		}
		if key == "$ref" {
			return c.ref(arg, at, next)
		}
		return c.combination(key, arg, at+"/"+key, next)
	}
	if list, fixed, err := fixedValues(v, at); fixed || err != nil {
		if err != nil {
			return never, err
		}
		return c.fixed(v, list, at, next)
	}
	kinds, err := admitted(v, at)
	if err != nil {
		return never, err
	}
	if kinds == 0 {
		return c.any(next), nil
	}
	return c.types(v, kinds, at, next)
}

func (c *compiler) types(v *value, kinds valueKind, at string, next int32) (int32, error) {
	if kinds&isNumber != 0 {
		kinds &^= isInteger // the first includes the second
	}
	var starts []int32
	for _, build := range []struct {
		kind valueKind
		node func(v *value, at string, next int32) (int32, error)
	}{
		{isObject, c.object}, {isArray, c.array}, {isString, c.string}, {isInteger, c.number}, {isNumber, c.number},
		{isBoolean, c.boolean}, {isNull, c.null},
	} {
		if kinds&build.kind != 0 {
			start, err := build.node(v, at, next)
			if err != nil {
				return never, err
			}
			starts = append(starts, start)
		}
	}
	return c.choice(starts...), nil
}

func (c *compiler) boolean(_ *value, _ string, next int32) (int32, error) {
	return c.words([]string{"false", "true"}, next), nil
}

func (c *compiler) null(_ *value, _ string, next int32) (int32, error) {
	return c.literal("null", next), nil
}

// admitted is the set of types of a schema: those named, else those its keywords speak of; 0 if it names none.
func admitted(v *value, at string) (valueKind, error) {
	t := v.member("type")
	if t == nil {
		var kinds valueKind
		for _, key := range v.keys {
			kinds |= keywords[key]
		}
		return kinds, nil
	}
	names := []*value{t}
	if t.kind == isArray {
		names = t.values
	}
	var kinds valueKind
	for _, name := range names {
		kind, ok := typeNames[name.text]
		if name.kind != isString || !ok {
			return 0, fault(at+"/type", "%s is not the name of a type", name.json())
		}
		kinds |= kind
	}
	if kinds == 0 {
		return 0, fault(at+"/type", "names no type")
	}
	return kinds, nil
}

func (c *compiler) combination(key string, arg *value, at string, next int32) (int32, error) {
	if arg.kind != isArray || len(arg.values) == 0 {
		return never, fault(at, "want a list of schemas")
	}
	if len(arg.values) > maxAlternatives {
		return never, fault(at, "%d alternatives, at most %d", len(arg.values), maxAlternatives)
	}
	if key == "allOf" && len(arg.values) > 1 {
		return never, fault(at, "keyword \"allOf\" of more than one schema is not supported")
	}
	if key == "oneOf" {
		if err := c.checkDistinct(arg.values, at); err != nil {
			return never, err
		}
	}
	var starts []int32
	for i, sub := range arg.values {
		start, err := c.schema(sub, below(at, strconv.Itoa(i)), next)
		if err != nil {
			return never, err
		}
		starts = append(starts, start)
	}
	return c.choice(starts...), nil
}

// ref calls the rule of a schema in the same document.
func (c *compiler) ref(arg *value, at string, next int32) (int32, error) {
	pointer, err := localPointer(arg)
	if err == nil {
		_, err = c.resolve(pointer)
	}
	if err != nil {
		return never, fault(at+"/$ref", "%w", err)
	}
	rule, ok := c.refs[pointer]
	if !ok {
		rule = c.reserveRule()
		c.refs[pointer] = rule
		c.pending = append(c.pending, pointer)
	}
	return c.call(rule, next), nil
}

// localPointer is the JSON pointer of a reference such as #/$defs/item.
func localPointer(arg *value) (string, error) {
	fragment, ok := strings.CutPrefix(arg.text, "#")
	if arg.kind != isString || !ok {
		return "", fmt.Errorf("reference %s outside the schema is not supported", arg.json())
	}
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		return "", fmt.Errorf("reference %q: %w", arg.text, err)
	}
	if pointer != "" && pointer[0] != '/' {
		return "", fmt.Errorf("reference %q to an anchor is not supported", arg.text)
	}
	return pointer, nil
}

var (
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
)

func (c *compiler) resolve(pointer string) (*value, error) {
	v := c.root
	if pointer == "" {
		return v, nil
	}
	at := isSchema
	for _, step := range strings.Split(pointer[1:], "/") {
		step = unescapePointer.Replace(step)
		if at == isSchema && v != c.root && v.member("$id") != nil {
			return nil, fmt.Errorf("reference #%s through a schema with \"$id\" is not supported", pointer)
		}
		var to *value
		if v.kind == isArray {
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(v.values) {
				to = v.values[i]
			}
		} else {
			to = v.member(step)
		}
		if to == nil {
			return nil, fmt.Errorf("reference #%s leads nowhere", pointer)
		}
		at, v = at.below(step), to
	}
	return v, nil
}

// A role is what a part of a schema's text is, which decides whether a member called "$id" is the keyword or a name.
type role int

const (
	isSchema   role = iota // or not known
	isNames                // schemas by name, which may be any
	isInstance             // a value that is no schema: of const, enum, default or examples
)

func (r role) below(step string) role {
	switch {
	case r == isInstance:
		return isInstance
	case r == isNames:
		return isSchema
	}
	switch step {
	case "properties", "$defs", "definitions", "patternProperties", "dependentSchemas":
		return isNames
	case "const", "enum", "default", "example", "examples":
		return isInstance
	}
	return isSchema
}

// fixedValues returns the values that enum and const leave; fixed is false where there is neither.
func fixedValues(v *value, at string) (list []*value, fixed bool, err error) {
	if e := v.member("enum"); e != nil {
		if e.kind != isArray {
			return nil, false, fault(at+"/enum", "want a list of values, not %s", e.json())
		}
		list, fixed = e.values, true
	}
	if k := v.member("const"); k != nil {
		if fixed && !slices.ContainsFunc(list, k.equal) {
			return nil, true, nil
		}
		list, fixed = []*value{k}, true
	}
	return list, fixed, nil
}

// fixed compiles the values of enum and const that the schema's other keywords admit.
func (c *compiler) fixed(v *value, list []*value, at string, next int32) (int32, error) {
	kinds := isAny
	if v.member("type") != nil {
		var err error
		if kinds, err = admitted(v, at); err != nil {
			return never, err
		}
	}
	if kinds&isNumber != 0 {
		kinds |= isInteger
	}
	var texts []string
	filters := map[valueKind]*bounded{} // what the keywords beside the values admit of strings, and of numbers
	for _, item := range list {
		if item.kind&kinds == 0 {
			continue
		}
		kind := item.kind
		if kind == isInteger {
			kind = isNumber
		}
		beside := slices.IndexFunc(v.keys, func(key string) bool { return keywords[key]&kind != 0 })
		if beside >= 0 && filters[kind] == nil {
			var filter bounded
			var err error
			switch kind {
			case isString:
				filter, err = c.stringDFA(v, at)
			case isNumber:
				filter, err = c.boundsDFA(v, at)
			default:
				err = fault(at, "keyword %q beside fixed values is not supported", v.keys[beside])
			}
			if err != nil {
				return never, err
			}
			filters[kind] = &filter
		}
		if beside < 0 || filters[kind].match(item.text) {
			texts = append(texts, item.json())
		}
	}
	slices.Sort(texts)
	if v.member("const") != nil {
		c.place = at + "/const"
	} else {
		c.place = at + "/enum"
	}
	return c.words(slices.Compact(texts), next), nil
}
