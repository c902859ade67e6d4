package grammar

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// maxBoundDigits bounds the digits of a numeric bound on either side of its point.
const maxBoundDigits = 64

var (
	digit    = chars(span{'0', '9'})
	nonzero  = chars(span{'1', '9'})
	dot      = chars(span{'.', '.'})
	minus    = chars(span{'-', '-'})
	someDigs = rep(digit, 0, unbounded)
	intPart  = digitsUpTo(unbounded)
	fraction = rep(cat(dot, rep(digit, 1, unbounded)), 0, 1)
	// Two digits of exponent: more would soon leave the range of a float64.
	exponent = rep(cat(chars(span{'E', 'E'}, span{'e', 'e'}), rep(chars(span{'+', '+'}, span{'-', '-'}), 0, 1), rep(digit, 1, 2)), 0, 1)
)

// A bound is one of minimum, maximum, exclusiveMinimum, exclusiveMaximum.
type bound struct {
	value  decimal
	upper  bool
	strict bool
}

// maxDigits bounds the digits that are written on either side of a number's point: 2^64 has 20, and so many decimals
// at most has the shortest text of a float64 that needs no exponent, from 0.0001 upwards. Without a bound a model that
// repeats itself would write digits without end.
const maxDigits = 20

// numberDFA accepts the JSON texts of the numbers within all bounds. An integer has neither fraction nor exponent;
// a number with a bound has no exponent. With short, digits are bounded: by maxDigits or, where bounds have as many, by
// one more than the longest has, so that there is a number between any two that differ.
func numberDFA(integer, short bool, bounds []bound, left *budget) (*dfa, error) {
	whole, part := unbounded, unbounded
	if short {
		whole, part = maxDigits, maxDigits
		for _, b := range bounds {
			whole, part = max(whole, len(b.value.whole)+1), max(part, len(b.value.part)+1)
		}
	}
	shape := []*expr{rep(minus, 0, 1), digitsUpTo(whole)}
	if !integer {
		shape = append(shape, rep(cat(dot, rep(digit, 1, part)), 0, 1))
		if len(bounds) == 0 {
			shape = append(shape, exponent)
		}
	}
	d, err := newDFA(cat(shape...), left)
	for _, b := range bounds {
		if err != nil {
			return nil, err
		}
		var side *dfa
		if side, err = newDFA(b.expr(), left); err == nil {
			d, err = intersect(d, side, left)
		}
	}
	return d, err
}

// digitsUpTo accepts the whole part of a number.
func digitsUpTo(n int) *expr {
	rest := n
	if n < unbounded {
		rest--
	}
	return alt(text("0"), cat(nonzero, rep(digit, 0, rest)))
}

// expr accepts, among the texts shaped like a number without exponent, those within the bound.
func (b bound) expr() *expr {
	plus, any := cat(intPart, fraction), cat(minus, intPart, fraction)
	v := b.value
	switch {
	case v.zero() && b.upper:
		if b.strict {
			return cat(minus, v.atLeast(true))
		}
		return alt(any, v.atMost(false))
	case v.zero():
		if b.strict {
			return v.atLeast(true)
		}
		return alt(plus, cat(minus, v.atMost(false)))
	case v.negative && b.upper:
		return cat(minus, v.atLeast(b.strict))
	case v.negative:
		return alt(plus, cat(minus, v.atMost(b.strict)))
	case b.upper:
		return alt(any, v.atMost(b.strict))
	default:
		return v.atLeast(b.strict)
	}
}

// A decimal is ±whole.part: whole without leading zeros ("0" for none), part without trailing zeros.
type decimal struct {
	negative    bool
	whole, part string
}

func (d decimal) zero() bool { return d.whole == "0" && d.part == "" }

// parseDecimal reads a JSON number.
func parseDecimal(s string) (decimal, error) {
	mantissa, exp, _ := strings.Cut(strings.ToLower(s), "e")
	shift := 0
	if exp != "" {
		var err error
		if shift, err = strconv.Atoi(exp); err != nil || shift < -maxBoundDigits || shift > maxBoundDigits {
			return decimal{}, fmt.Errorf("%s: exponent beyond ±%d", s, maxBoundDigits)
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, part, _ := strings.Cut(mantissa, ".")
	for ; shift > 0; shift-- {
		if part == "" {
			part = "0"
		}
		whole, part = whole+part[:1], part[1:]
	}
	for ; shift < 0; shift++ {
		if whole == "" {
			whole = "0"
		}
		whole, part = whole[:len(whole)-1], whole[len(whole)-1:]+part
	}
	whole, part = strings.TrimLeft(whole, "0"), strings.TrimRight(part, "0")
	if len(whole) > maxBoundDigits || len(part) > maxBoundDigits {
		return decimal{}, fmt.Errorf("%s: more than %d digits", s, maxBoundDigits)
	}
	if whole == "" {
		whole = "0"
	}
	return decimal{negative && (whole != "0" || part != ""), whole, part}, nil
}

// atLeast accepts the magnitudes ≥ |d|, or > |d| if strict: a longer whole part, one that is greater at the first
// digit that differs, or an equal one with a fraction that is great enough.
func (d decimal) atLeast(strict bool) *expr {
	n := len(d.whole)
	out := alt(cat(rep(digit, n+1, unbounded), fraction))
	for i := range n {
		if c := rune(d.whole[i]); c < '9' {
			out.subs = append(out.subs, cat(text(d.whole[:i]), chars(span{c + 1, '9'}), rep(digit, n-i-1, n-i-1), fraction))
		}
	}
	equal := alt()
	if d.part == "" && !strict {
		equal.subs = append(equal.subs, fraction)
	}
	for i := range len(d.part) {
		if c := rune(d.part[i]); c < '9' {
			equal.subs = append(equal.subs, cat(dot, text(d.part[:i]), chars(span{c + 1, '9'}), someDigs))
		}
	}
	tail := someDigs
	if strict {
		tail = cat(someDigs, nonzero, someDigs)
	}
	equal.subs = append(equal.subs, cat(dot, text(d.part), tail))
	out.subs = append(out.subs, cat(text(d.whole), equal))
	return out
}

// atMost accepts the magnitudes ≤ |d|, or < |d| if strict.
func (d decimal) atMost(strict bool) *expr {
	n := len(d.whole)
	out := alt()
	if n > 1 {
		out.subs = append(out.subs, cat(rep(digit, 1, n-1), fraction))
	}
	for i := range n {
		if c := rune(d.whole[i]); c > '0' {
			out.subs = append(out.subs, cat(text(d.whole[:i]), chars(span{'0', c - 1}), rep(digit, n-i-1, n-i-1), fraction))
		}
	}
	equal := alt()
	if d.part != "" || !strict {
		equal.subs = append(equal.subs, &expr{})
	}
	for i := range len(d.part) {
		if c := rune(d.part[i]); c > '0' {
			equal.subs = append(equal.subs, cat(dot, text(d.part[:i]), chars(span{'0', c - 1}), someDigs))
		}
		if i > 0 {
			equal.subs = append(equal.subs, cat(dot, text(d.part[:i])))
		}
	}
	if !strict {
		equal.subs = append(equal.subs, cat(dot, text(d.part), rep(text("0"), 0, unbounded)))
	}
	out.subs = append(out.subs, cat(text(d.whole), equal))
	return out
}

// canonicalNumber writes a number that has no fraction without point and exponent, as an integer's automaton does.
// Other texts stay as they are.
func canonicalNumber(s string) string {
	if !strings.ContainsAny(s, ".eE") {
		return s
	}
	d, err := parseDecimal(s)
	if err != nil || d.part != "" {
		return s
	}
	if d.negative {
		return "-" + d.whole
	}
	return d.whole
}

// sameNumber tells whether two JSON numbers have one value.
func sameNumber(a, b string) bool {
	da, errA := parseDecimal(a)
	db, errB := parseDecimal(b)
	if errA == nil && errB == nil {
		return da == db
	}
	fa, _, errA := big.ParseFloat(a, 10, 512, big.ToNearestEven)
	fb, _, errB := big.ParseFloat(b, 10, 512, big.ToNearestEven)
	return errA == nil && errB == nil && fa.Cmp(fb) == 0
}
