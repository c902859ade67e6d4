package grammar

import (
	"slices"
	"strings"
)

// maxRefChain bounds how many references are followed, and how deep objects are compared, to tell schemas apart.
const maxRefChain = 16

// compareCost is what a comparison of two schemas takes from the budget.
const compareCost = 100

// checkDistinct refuses a oneOf unless no value can meet two of its alternatives: a text made for one of them
// would otherwise be invalid.
func (c *compiler) checkDistinct(alternatives []*value, at string) error {
	for i, a := range alternatives {
		for j, b := range alternatives[:i] {
			if !c.distinct(a, b, maxRefChain) {
				if err := c.work.spend(0); err != nil {
					return fault(at, "%w and to tell the alternatives apart: use anyOf", err)
				}
				return fault(at, "alternatives %d and %d are not told apart by type, fixed values, ranges or a required member: use anyOf", j, i)
			}
		}
	}
	return nil
}

// distinct tells whether no value meets both schemas, as the standard reads them. False means that it is not known.
func (c *compiler) distinct(a, b *value, depth int) bool {
	a, b = c.follow(a), c.follow(b)
	if depth == 0 || a == nil || b == nil || c.work.spend(compareCost) != nil {
		return false
	}
	if a.kind == isBoolean || b.kind == isBoolean {
		return a.kind == isBoolean && !a.boolean || b.kind == isBoolean && !b.boolean
	}
	for _, pair := range [][2]*value{{a, b}, {b, a}} {
		for _, key := range []string{"anyOf", "oneOf", "allOf"} {
			if list := pair[0].member(key); list != nil {
				apart := func(sub *value) bool { return c.distinct(sub, pair[1], depth-1) }
				if key == "allOf" {
					return slices.ContainsFunc(list.values, apart)
				}
				return !slices.ContainsFunc(list.values, func(sub *value) bool { return !apart(sub) })
			}
		}
	}
	listA, fixedA, errA := fixedValues(a, "")
	listB, fixedB, errB := fixedValues(b, "")
	if errA != nil || errB != nil {
		return false
	}
	kindsA, kindsB := kindsOf(a, listA, fixedA), kindsOf(b, listB, fixedB)
	common := kindsA & kindsB
	if common == 0 {
		return true
	}
	if fixedA && fixedB {
		return !slices.ContainsFunc(listA, func(x *value) bool { return slices.ContainsFunc(listB, x.equal) })
	}
	switch common {
	case isString:
		return c.scalarsApart(a, b, listA, listB, fixedA, fixedB, c.stringDFA)
	case isNumber, isInteger, isNumber | isInteger:
		return c.scalarsApart(a, b, listA, listB, fixedA, fixedB, c.boundsDFA)
	case isObject:
		return !fixedA && !fixedB && (c.objectsApart(a, b, depth) || c.objectsApart(b, a, depth))
	}
	return false
}

// follow replaces a schema that is only a reference by what it refers to; nil where that fails.
func (c *compiler) follow(v *value) *value {
	for range maxRefChain {
		ref := v.member("$ref")
		if ref == nil {
			if v.kind&(isObject|isBoolean) == 0 || nullable(v) {
				return nil
			}
			return v
		}
		pointer, err := localPointer(ref)
		if err != nil || nullable(v) {
			return nil
		}
		if v, err = c.resolve(pointer); err != nil {
			return nil
		}
	}
	return nil
}

func nullable(v *value) bool {
	n := v.member("nullable")
	return n != nil && n.boolean
}

// kindsOf is the set of types as the standard reads the schema: one without "type" admits every type. Integers
// count as both isNumber and isInteger where numbers are admitted.
func kindsOf(v *value, list []*value, fixed bool) valueKind {
	kinds := isAny | isInteger
	if v.member("type") != nil {
		kinds, _ = admitted(v, "")
	}
	if kinds&isNumber != 0 {
		kinds |= isInteger
	}
	if !fixed {
		return kinds
	}
	var present valueKind
	for _, item := range list {
		present |= item.kind
	}
	return kinds & present
}

// scalarsApart compares strings, or numbers, by the automata of their constraints. Every value has a text that
// the automaton of its constraint accepts, so that automata without a common text have no common value.
func (c *compiler) scalarsApart(a, b *value, listA, listB []*value, fixedA, fixedB bool, build func(*value, string) (bounded, error)) bool {
	da, errA := build(a, "")
	db, errB := build(b, "")
	if errA != nil || errB != nil || a.member("format") != nil || b.member("format") != nil {
		return false // a format's automaton leaves some of its values out
	}
	exponent := func(v *value) bool { return v.kind == isNumber && strings.ContainsAny(v.text, "eE") }
	if slices.ContainsFunc(listA, exponent) || slices.ContainsFunc(listB, exponent) {
		return false // automata of bounds know no exponents
	}
	switch {
	case fixedA:
		return !slices.ContainsFunc(listA, func(v *value) bool { return db.match(v.text) })
	case fixedB:
		return !slices.ContainsFunc(listB, func(v *value) bool { return da.match(v.text) })
	}
	both, err := da.intersect(db, c.work)
	if err != nil {
		return false
	}
	none, err := both.none(c.work)
	return err == nil && none
}

// objectsApart tells whether a member that a requires makes every value of a fail b.
func (c *compiler) objectsApart(a, b *value, depth int) bool {
	required := a.member("required")
	if required == nil || required.kind != isArray {
		return false
	}
	member := func(v *value, name string) *value {
		if properties := v.member("properties"); properties != nil {
			if p := properties.member(name); p != nil {
				return p
			}
		}
		if additional := v.member("additionalProperties"); additional != nil {
			return additional
		}
		return anyValue
	}
	return slices.ContainsFunc(required.values, func(name *value) bool {
		return name.kind == isString && c.distinct(member(a, name.text), member(b, name.text), depth-1)
	})
}
