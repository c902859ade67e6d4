package receipts

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// money is an amount with two decimals, the sign and the currency aside: on receipts, whole numbers are quantities.
var money = regexp.MustCompile(`(-? ?)((?:RM|\$)? ?)(\d{1,3}(?:,\d{3})+|\d*)[.] ?(\d{2})(?:[^\d%]|$)`)

// Labels that say what an amount is. A line is matched in capitals; the first kind that matches wins, so that "subtotal" and
// "total qty" are not totals.
var labels = []struct {
	kind string
	re   *regexp.Regexp
}{
	{"part", regexp.MustCompile(`SUB ?-? ?TOTAL|TOTAL (QTY|QUANTITY|ITEM|GST|TAX|DISC|SAVING|\d+ ?%|0%)|(TOTAL|PAID).*(EXC|BEFORE)|(GST|TAX|SVC|SERVICE).*TOTAL$|TAXABLE|QTY|SAVING|DISCOUNT|POINT`)},
	{"total", regexp.MustCompile(`TOTAL|(AMOUNT|AMT) (DUE|PAID)|NETT?( AMT| AMOUNT)?\b|PAYABLE|ROUNDED|JUMLAH|BALANCE DUE`)},
	{"change", regexp.MustCompile(`CHANGE|BAKI`)},
	{"tender", regexp.MustCompile(`\bCASH\b|TENDER|RECEIVED|PAID|VISA|MASTER|CREDIT|DEBIT|\bCARD\b|TUNAI`)},
	{"round", regexp.MustCompile(`ROUND|\bADJ`)},
	{"tax", regexp.MustCompile(`GST|\bTAX|SVC|SERVICE`)},
}

// A candidate is one distinct amount of a receipt, in cents, with what speaks for and against it.
type candidate struct {
	cents  int
	count  int
	kinds  map[string]int // how often it stands beside a label of a kind
	points int
	why    []string
}

func (c *candidate) say(points int, format string, args ...any) {
	c.points += points
	c.why = append(c.why, fmt.Sprintf(format, args...))
}

// CheckTotal asks a receipt whether value can be the amount to pay. It passes when the receipt's own labels and arithmetic
// (cash less change, rounding, repetition) speak for that amount more than for any other. The reason of
// a refusal names the better amount, if there is one; suggest is the supported amount as the receipt spells it, or empty.
func CheckTotal(text, value string) (ok bool, reason, suggest string) {
	want, isMoney := cents(value)
	if !isMoney {
		return false, fmt.Sprintf("%q is no amount with two decimals", value), ""
	}
	found, best := weigh(text)
	if best == nil {
		return false, "the receipt supports no amount over the others", ""
	}
	why := strings.Join(best.why, ", ")
	suggest = spell(text, best.cents)
	if best.cents == want {
		return true, why, suggest
	}
	if i := slices.IndexFunc(found, func(c *candidate) bool { return c.cents == want }); i < 0 {
		return false, fmt.Sprintf("%s does not stand in the receipt; %s does: %s", value, suggest, why), suggest
	}
	return false, fmt.Sprintf("the receipt supports %s: %s", suggest, why), suggest
}

// SuggestTotal is the amount that CheckTotal would pass, as the receipt spells it, or empty.
func SuggestTotal(text string) string {
	_, best := weigh(text)
	if best == nil {
		return ""
	}
	return spell(text, best.cents)
}

// weigh gives all amounts of a receipt and the one that stands out, nil if none does.
func weigh(text string) ([]*candidate, *candidate) {
	found := collect(text)
	score(strings.ToUpper(text), found)
	slices.SortStableFunc(found, func(a, b *candidate) int { return b.points - a.points })
	if len(found) == 0 || found[0].points < 3 || len(found) > 1 && found[1].points == found[0].points {
		return found, nil
	}
	return found, found[0]
}

// collect gathers the amounts with the labels they stand beside: on the same line, or on the lines right before. Where
// recognition put a block of labels before a block of amounts, the first amount belongs to the first label.
func collect(text string) []*candidate {
	var found []*candidate
	var waiting []string // kinds of label lines that have had no amount yet
	for _, line := range strings.Split(strings.ToUpper(text), "\n") {
		kind := labelOf(line)
		amounts := amountsOf(line)
		if len(amounts) == 0 {
			if kind != "" && !numbered.MatchString(line) {
				waiting = append(waiting, kind)
			} else if kind == "" && !fillers.MatchString(line) {
				waiting = waiting[:0]
			}
			continue
		}
		if kind == "" && len(waiting) > 0 {
			kind = waiting[0]
			waiting = waiting[1:]
		} else if kind != "" {
			waiting = waiting[:0]
		}
		for _, a := range amounts {
			found = note(found, a, kind)
		}
	}
	return found
}

// fillers are lines between a label and its amount that do not part them: currency, colons.
var fillers = regexp.MustCompile(`^[ :.\-(]*(RM|MYR|SR|ZRL|ZR|S|:)?[ :.)]*$`)

// numbered are labels that have their value on the line, though no money: QTY : 13.
var numbered = regexp.MustCompile(`[:\s]\d+$`)

func labelOf(line string) string {
	for _, l := range labels {
		if l.re.MatchString(line) {
			return l.kind
		}
	}
	return ""
}

func amountsOf(line string) []int {
	var out []int
	for rest := line; ; {
		m := money.FindStringSubmatchIndex(rest)
		if m == nil {
			return out
		}
		if n, ok := cents(rest[m[6]:m[7]] + "." + rest[m[8]:m[9]]); ok && !strings.HasPrefix(rest[m[2]:m[3]], "-") {
			out = append(out, n)
		}
		rest = rest[m[9]:]
	}
}

func note(found []*candidate, amount int, kind string) []*candidate {
	i := slices.IndexFunc(found, func(c *candidate) bool { return c.cents == amount })
	if i < 0 {
		found = append(found, &candidate{cents: amount, kinds: map[string]int{}})
		i = len(found) - 1
	}
	found[i].count++
	if kind != "" {
		found[i].kinds[kind]++
	}
	return found
}

// score weighs each amount. The points were chosen on the dev split alone.
func score(upper string, found []*candidate) {
	has := map[int]bool{}
	largest := 0
	for _, c := range found {
		has[c.cents] = true
		if c.kinds["tender"] == 0 || c.kinds["total"] > 0 {
			largest = max(largest, c.cents)
		}
	}
	change := strings.Contains(upper, "CHANGE") || strings.Contains(upper, "BAKI")
	rounds := strings.Contains(upper, "ROUND")
	for _, c := range found {
		if c.cents == 0 {
			continue
		}
		if c.kinds["total"] > 0 {
			c.say(4, `beside the word "total"`)
		}
		for _, kind := range []string{"tender", "change", "part", "tax", "round"} {
			if c.kinds[kind] > 0 && c.kinds["total"] == 0 {
				c.say(-2, "beside a label of %s", kind)
			}
		}
		for _, tender := range found {
			rest := tender.cents - c.cents
			if change && rest > 0 && has[rest] && rest != c.cents && tender.kinds["total"] == 0 {
				c.say(3, "%s - %s = %s", format(tender.cents), format(rest), format(c.cents))
				if c.cents > rest { // the change fits the sum as well; it is mostly the smaller part
					c.say(1, "more than the change")
				}
				break
			}
		}
		for _, part := range found {
			diff := c.cents - part.cents
			if rounds && diff != 0 && diff >= -4 && diff <= 4 && c.cents%5 == 0 && part.cents%5 != 0 {
				c.say(2, "%s rounded", format(part.cents))
				break
			}
		}
		if c.count > 1 && c.points > 0 {
			c.say(1, "written %d times", c.count)
		}
		if c.cents == largest && (c.points > 0 || c.count > 2) {
			c.say(1+2*min(c.count/3, 1), "the largest amount")
		}
	}
}

func cents(s string) (int, bool) {
	s = strings.NewReplacer(",", "", "RM", "", "$", "", " ", "").Replace(strings.ToUpper(s))
	whole, part, ok := strings.Cut(s, ".")
	if whole == "" {
		whole = "0" // .40
	}
	n, err1 := strconv.Atoi(whole)
	m, err2 := strconv.Atoi(part)
	return n*100 + m, ok && len(part) == 2 && err1 == nil && err2 == nil && n >= 0 && m >= 0 && n < 1e7
}

func format(c int) string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// spell finds an amount as the receipt writes it, currency included: alone on its line, else beside the word total, else where it
// first stands.
func spell(text string, want int) string {
	best, rank := format(want), 0
	for _, line := range strings.Split(text, "\n") {
		for _, m := range money.FindAllStringSubmatch(line, -1) {
			if n, ok := cents(m[3] + "." + m[4]); !ok || n != want {
				continue
			}
			written := strings.TrimSpace(m[2] + m[3] + "." + m[4])
			r := 1
			switch {
			case written == strings.TrimSpace(line):
				r = 3
			case labelOf(strings.ToUpper(line)) == "total":
				r = 2
			}
			if r > rank {
				best, rank = written, r
			}
		}
	}
	return best
}
