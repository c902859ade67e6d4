package mention

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// amountStyles: digits grouped by commas or not, with decimals or not, perhaps counted in ten thousands (万).
var amountStyles = []*regexp.Regexp{
	regexp.MustCompile(`(?P<n>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d{1,9}(?:\.\d{1,4})?) ?(?P<wan>万)`),
	regexp.MustCompile(`(?P<n>\d{1,3}(?:,\d{3})+(?:\.\d{2})?|\d{1,9}\.\d{1,2}|\d{1,9})`),
	regexp.MustCompile(`(?P<zh>[零一二两三四五六七八九十百千万壹贰叁肆伍陆柒捌玖拾佰仟]+)(?:元|块|美元|欧元|英镑|港币|港元)`),
}

// Amounts finds numbers that may be amounts of money, in order and without overlap: also plain whole numbers, so order
// numbers and dates are among them. Chinese numerals count only before a unit of money.
func Amounts(text string) []Mention {
	found := scan(text, amountStyles, func(re *regexp.Regexp, m []int) (string, bool) {
		if i := re.SubexpIndex("zh"); i > 0 {
			n, ok := ChineseNumber(text[m[2*i]:m[2*i+1]])
			return strconv.Itoa(n) + ".00", ok
		}
		i := re.SubexpIndex("n")
		value, ok := normalAmount(text[m[2*i]:m[2*i+1]])
		if ok && re.SubexpIndex("wan") > 0 {
			x, err := strconv.ParseFloat(value, 64)
			return fmt.Sprintf("%.2f", x*10000), err == nil && x < 1e6
		}
		return value, ok
	})
	return found
}

// Amount reports the normal form of s if s is one amount and nothing else but a sign of currency and blanks.
func Amount(s string) (string, bool) {
	s = strings.TrimSpace(s)
	for _, sign := range []string{"RM", "$", "€", "£", "¥", "￥"} {
		s = strings.TrimSpace(strings.TrimPrefix(s, sign))
	}
	found := Amounts(s)
	if len(found) != 1 || found[0].Start != 0 || found[0].End != len(s) {
		return "", false
	}
	return found[0].Value, true
}

func normalAmount(s string) (string, bool) {
	whole, part, _ := strings.Cut(strings.ReplaceAll(s, ",", ""), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(part) > 2 {
		x, err := strconv.ParseFloat(whole+"."+part, 64)
		return strconv.FormatFloat(x, 'f', -1, 64), err == nil
	}
	return fmt.Sprintf("%d.%s", n, (part + "00")[:2]), true
}

// ChineseNumber reads a whole number below 10⁸ in common (一千二百) or financial (壹仟贰佰) numerals.
func ChineseNumber(s string) (int, bool) {
	const plain = "零一二三四五六七八九十百千万两"
	const financial = "零壹贰叁肆伍陆柒捌玖拾佰仟万两"
	total, section, digit := 0, 0, 0
	for _, r := range s {
		i := max(runeIndex(plain, r), runeIndex(financial, r))
		switch {
		case i < 0:
			return 0, false
		case i == 14:
			digit = 2
		case i < 10:
			digit = i
		case i == 13:
			total, section, digit = (total+section+digit)*10000, 0, 0
		default:
			unit := []int{10, 100, 1000}[i-10]
			section, digit = section+max(digit, 1)*unit, 0
		}
		if total > 1e8 || section > 1e6 {
			return 0, false
		}
	}
	return total + section + digit, s != ""
}
