package ledger

import (
	"fmt"
	"strings"
)

// A sign is how a currency is written: before or after the number.
type sign struct {
	currency, before, after string
}

var englishSigns = []sign{
	{"USD", "$", ""}, {"USD", "USD ", ""}, {"USD", "", " dollars"}, {"EUR", "€", ""}, {"EUR", "", " EUR"}, {"EUR", "", " euros"},
	{"GBP", "£", ""}, {"GBP", "GBP ", ""}, {"GBP", "", " pounds"}, {"CNY", "RMB ", ""}, {"CNY", "", " yuan"}, {"HKD", "HK$", ""},
}

var chineseSigns = []sign{
	{"CNY", "", "元"}, {"CNY", "", "元"}, {"CNY", "人民币", "元"}, {"CNY", "¥", ""}, {"CNY", "", "块"}, {"USD", "", "美元"}, {"EUR", "", "欧元"}, {"HKD", "", "港元"},
}

// amount draws what changed hands: the currency, the amount as the entry has it, and how the sentence says it, sometimes with the
// net amount and tax or, where a thing is priced, a list price beside it.
func (w *writer) amount(zh, priced bool) (currency, value, said string) {
	s := pick(w, englishSigns)
	if zh {
		s = pick(w, chineseSigns)
	}
	c := w.cents()
	value = fmt.Sprintf("%d.%02d", c/100, c%100)
	plain := func(cents int) string { return s.before + w.digits(cents) + s.after }
	p := w.IntN(100)
	if !priced {
		p = max(p, 19) // open balances and loans have no tax and no list price
	}
	switch {
	case p < 9:
		rate := pick(w, []int{6, 9, 13, 19, 20})
		tax := (c*rate + (100+rate)/2) / (100 + rate)
		net := c - tax
		if zh {
			return s.currency, value, fmt.Sprintf(pick(w, []string{"不含税%s、税额%s、价税合计%s", "货款%s加增值税%s共计%s"}), plain(net), plain(tax), plain(c))
		}
		return s.currency, value, fmt.Sprintf(pick(w, []string{"net %s plus VAT %s, total %s", "%s + %s tax = %s gross"}), plain(net), plain(tax), plain(c))
	case p < 14:
		rate := pick(w, []int{6, 9, 13, 19, 20})
		if zh {
			return s.currency, value, fmt.Sprintf("%s（含%d%%税）", plain(c), rate)
		}
		return s.currency, value, fmt.Sprintf("%s incl. %d%% VAT", plain(c), rate)
	case p < 19:
		list := c + 100*(1+w.IntN(40))
		if zh {
			return s.currency, value, fmt.Sprintf("原价%s、实付%s", plain(list), plain(c))
		}
		return s.currency, value, fmt.Sprintf("%s instead of %s", plain(c), plain(list))
	case p < 28 && c%100 == 0 && zh && s.after != "":
		return s.currency, value, s.before + pick(w, []func(int) string{numeral, financial})(c/100) + strings.Replace(s.after, "块", "元", 1)
	case p < 32 && c%10000 == 0 && !zh && s.after != "":
		return s.currency, value, words(c/100) + s.after
	}
	return s.currency, value, plain(c)
}

// cents draws an amount: half of them round, none above 10,000.
func (w *writer) cents() int {
	switch w.IntN(4) {
	case 0:
		return 1000 * (1 + w.IntN(99)) // 10 to 990
	case 1:
		return 10000 * (1 + w.IntN(95)) // 100 to 9500
	case 2:
		return 100 * (5 + w.IntN(2000))
	}
	return 500 + w.IntN(300000)
}

// digits writes cents with or without grouping and, for whole amounts, decimals.
func (w *writer) digits(cents int) string {
	whole := fmt.Sprint(cents / 100)
	if len(whole) > 3 && w.chance(50) {
		whole = whole[:len(whole)-3] + "," + whole[len(whole)-3:]
	}
	if cents%100 == 0 && w.chance(60) {
		return whole
	}
	return fmt.Sprintf("%s.%02d", whole, cents%100)
}

var units = []string{"", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

// words writes whole hundreds up to 9900 in English.
func words(n int) string {
	var parts []string
	if n >= 1000 {
		parts = append(parts, units[n/1000]+" thousand")
	}
	if n%1000 >= 100 {
		parts = append(parts, units[n%1000/100]+" hundred")
	}
	return strings.Join(parts, " ")
}

// digits writes a number digit by digit: 二〇二六.
func digits(n int) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(n) {
		b.WriteRune([]rune("〇一二三四五六七八九")[r-'0'])
	}
	return b.String()
}

// numeral writes 1 to 9999 in common Chinese numerals: 一千零五, 二十三, 十.
func numeral(n int) string {
	s := chineseNumber(n, []rune("零一二三四五六七八九"), []string{"", "十", "百", "千"})
	if strings.HasPrefix(s, "一十") {
		return strings.TrimPrefix(s, "一")
	}
	return s
}

// financial writes 1 to 9999 in the numerals of cheques: 壹仟零伍.
func financial(n int) string {
	return chineseNumber(n, []rune("零壹贰叁肆伍陆柒捌玖"), []string{"", "拾", "佰", "仟"})
}

func chineseNumber(n int, digit []rune, unit []string) string {
	var b strings.Builder
	gap := false
	for place := 3; place >= 0; place-- {
		power := []int{1, 10, 100, 1000}[place]
		d := n / power % 10
		if d == 0 {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteRune(digit[0])
			gap = false
		}
		b.WriteRune(digit[d])
		b.WriteString(unit[place])
	}
	return b.String()
}
