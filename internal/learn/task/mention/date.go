package mention

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const monthNames = `jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?`

const chineseDigits = `〇○零一二三四五六七八九十`

// dateStyles are tried in this order at every place of the text; each names its groups y, m (number) or n (name), d.
var dateStyles = []*regexp.Regexp{
	regexp.MustCompile(`(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})`),
	regexp.MustCompile(`(?P<d>\d{1,2})[-/.](?P<m>\d{1,2})[-/.](?P<y>\d{4}|\d{2})`),
	regexp.MustCompile(`(?i)(?P<d>\d{1,2})(?:st|nd|rd|th)?[ \-/.,]{0,2}(?P<n>` + monthNames + `)[ \-/.,']{0,2}(?P<y>\d{4}|\d{2})`),
	regexp.MustCompile(`(?i)(?P<n>` + monthNames + `)[ .\-]{0,2}(?P<d>\d{1,2})(?:st|nd|rd|th)?[ ,\-]{1,2}(?P<y>\d{4}|\d{2})`),
	regexp.MustCompile(`(?P<y>\d{4}) ?年 ?(?P<m>\d{1,2}) ?月 ?(?P<d>\d{1,2}) ?[日号]`),
	regexp.MustCompile(`(?P<y>[` + chineseDigits + `]{4})年(?P<m>[` + chineseDigits + `]{1,2})月(?P<d>[` + chineseDigits + `]{1,3})[日号]`),
}

// Dates finds the dates in text, in order and without overlap. Day stands before month where both are numbers and the
// year is last, unless that is impossible and the other order is not. Two-digit years are of this century.
func Dates(text string) []Mention {
	return scan(text, dateStyles, func(re *regexp.Regexp, m []int) (string, bool) {
		group := func(name string) string {
			i := re.SubexpIndex(name)
			if i < 0 || m[2*i] < 0 {
				return ""
			}
			return text[m[2*i]:m[2*i+1]]
		}
		month := number(group("m"))
		if name := group("n"); name != "" {
			month = monthNumber(name)
		}
		return isoDate(number(group("y")), month, number(group("d")))
	})
}

// Date reports the normal form of s if s is one date and nothing else, blanks aside.
func Date(s string) (string, bool) {
	s = strings.TrimSpace(s)
	found := Dates(s)
	if len(found) != 1 || found[0].Start != 0 || found[0].End != len(s) {
		return "", false
	}
	return found[0].Value, true
}

// isoDate checks the parts against the calendar and writes them as YYYY-MM-DD.
func isoDate(year, month, day int) (string, bool) {
	if year < 100 {
		year += 2000
	}
	if month > 12 && day <= 12 {
		month, day = day, month
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if year < 1900 || year > 2199 || t.Year() != year || int(t.Month()) != month || t.Day() != day {
		return "", false
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day), true
}

func monthNumber(name string) int {
	const order = "janfebmaraprmayjunjulaugsepoctnovdec"
	return strings.Index(order, strings.ToLower(name)[:3])/3 + 1
}

// number reads ASCII digits, or Chinese ones: a year digit by digit (二〇二六), a day or month with tens (二十三).
func number(s string) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	if !strings.ContainsRune(s, '十') {
		n := 0
		for _, r := range s {
			n = n*10 + chineseDigit(r)
		}
		return n
	}
	tens, units, _ := strings.Cut(s, "十")
	n := 10
	if tens != "" {
		n = 10 * number(tens)
	}
	if units != "" {
		n += number(units)
	}
	return n
}

func chineseDigit(r rune) int {
	switch r {
	case '〇', '○', '零':
		return 0
	}
	return runeIndex("一二三四五六七八九", r) + 1
}

// runeIndex is the place of r in s, counted in runes, or -1.
func runeIndex(s string, r rune) int {
	return slices.Index([]rune(s), r)
}

// scan collects what any style matches with a value that normal accepts, first place first, then longest, and drops
// overlaps. A number is never cut: a match must not touch another digit.
func scan(text string, styles []*regexp.Regexp, normal func(*regexp.Regexp, []int) (string, bool)) []Mention {
	var all []Mention
	for _, re := range styles {
		for _, m := range re.FindAllStringSubmatchIndex(text, -1) {
			if value, ok := normal(re, m); ok && !touchesDigit(text, m[0], m[1]) {
				all = append(all, Mention{m[0], m[1], value})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Mention) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End))
	})
	out, end := all[:0], 0
	for _, m := range all {
		if m.Start >= end {
			out, end = append(out, m), m.End
		}
	}
	return out
}

func touchesDigit(text string, start, end int) bool {
	isDigit := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= '0' && text[i] <= '9' }
	return isDigit(start-1) && isDigit(start) || isDigit(end) && isDigit(end-1)
}
