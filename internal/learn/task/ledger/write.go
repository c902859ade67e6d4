package ledger

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A writer draws one sentence after another from its stream of random numbers.
type writer struct {
	*rand.Rand
}

func pick[T any](w *writer, from []T) T { return from[w.IntN(len(from))] }

// chance is true with probability p per cent.
func (w *writer) chance(p int) bool { return w.IntN(100) < p }

// sample draws a sentence; it is not ok where its combination belongs to another split.
func (w *writer) sample(split string) (s Sample, ok bool) {
	l, zh := &english, false
	if w.chance(45) {
		l, zh = &chinese, true
	}
	event := pick(w, events)
	n := w.IntN(len(l.frames[event]))
	what, party := w.subject(l, event)
	combination := fmt.Sprintf("%s %d %v|%s|%s", event, n, zh, what.name, party)
	if splitOf(combination) != split {
		return Sample{}, false
	}
	var e Entry
	means := pick(w, l.means)
	if event == "borrow" || event == "repay" {
		means = pick(w, l.means[3:7]) // loans move through a bank
	}
	e.Debit, e.Credit = accounts(event, what.account, means.account)
	e.Party = party

	text := l.frames[event][n]
	if w.chance(30) {
		text += space(zh) + pick(w, l.tails)
	}
	var amount, day, note string
	e.Currency, e.Amount, amount = w.amount(zh, what.name != "")
	e.Date, day, note = w.day(zh)
	text = w.fill(text, l, zh, map[string]string{
		"d": day, "a": amount,
		"p": w.contrast(party, w.other(l, party), l.otherParty),
		"t": w.contrast(what.name, pick(w, l.bought).name, l.otherThing),
		"m": w.contrast(means.name, pick(w, l.means).name, l.otherMeans),
	})
	text = commas.Replace(text)
	if note != "" {
		text = note + space(zh) + text
	}
	if !zh {
		text = relativeOn.Replace(text)
		if first := text[0]; first >= 'a' && first <= 'z' {
			text = string(first-'a'+'A') + text[1:]
		}
	}
	return Sample{Text: text, Entry: e, combination: combination}, true
}

// commas mends what a closing comma meets.
var commas = strings.NewReplacer(",,", ",", ",.", ".", ",;", ";", ",:", ":")

// relativeOn mends frames made for dates: nobody writes "on yesterday".
var relativeOn = strings.NewReplacer("on today", "today", "on yesterday", "yesterday", "on the day before", "the day before", "On today", "Today", "On yesterday", "Yesterday", "On the day before", "The day before")

// contrast sometimes names another party, thing or means beside the one that counts: "x, not y". Only who reads the order of the words
// knows which is which.
func (w *writer) contrast(this, other string, ways []string) string {
	if this == "" || this == other || !w.chance(14) {
		return this
	}
	return strings.NewReplacer("{x}", this, "{y}", other).Replace(pick(w, ways))
}

// other draws another party than this one.
func (w *writer) other(l *lang, this string) string {
	name := pick(w, l.first) + " " + pick(w, l.last)
	if l == &chinese {
		name = strings.ReplaceAll(name, " ", "")
	}
	if name == this {
		return w.other(l, this)
	}
	return name
}

func space(zh bool) string {
	if zh {
		return ""
	}
	return " "
}

// subject draws what it is about and with whom: a lender for loans, else a firm with a composed name.
func (w *writer) subject(l *lang, event string) (thing, string) {
	if event == "borrow" || event == "repay" {
		return thing{}, pick(w, l.banks)
	}
	things := l.bought
	switch event {
	case "sell", "invoice", "return":
		things = l.sold
	case "collect", "settle":
		things = []thing{{}}
	}
	return pick(w, things), w.other(l, "")
}

// accounts is the table above events.
func accounts(event, thing, means string) (debit, credit string) {
	switch event {
	case "buy", "return":
		return thing, means
	case "credit":
		return thing, "payable"
	case "refund", "sell":
		return means, thing
	case "invoice":
		return "receivable", thing
	case "collect":
		return means, "receivable"
	case "settle":
		return "payable", means
	case "borrow":
		return means, "loan"
	case "repay":
		return "loan", means
	}
	panic("ledger: no event " + event)
}

// fill replaces each mark; distractors are drawn anew at each place.
func (w *writer) fill(frame string, l *lang, zh bool, slots map[string]string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(frame, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		mark, after, _ := strings.Cut(rest, "}")
		frame = after
		switch mark {
		case "o":
			b.WriteString(w.style(w.date(), zh))
		case "r":
			b.WriteString(pick(w, []string{"A", "PO-", "R", "No. ", "INV-", "2026/"}) + fmt.Sprint(100+w.IntN(9900)))
		case "w":
			b.WriteString(pick(w, l.people))
		case "c":
			b.WriteString(pick(w, l.carriers))
		case "q":
			b.WriteString(fmt.Sprint(2 + w.IntN(11)))
		default:
			s, ok := slots[mark]
			if !ok {
				panic("ledger: frame has mark " + mark)
			}
			b.WriteString(s)
		}
	}
}

func (w *writer) date() time.Time {
	return time.Date(2025, 1, 1+w.IntN(730), 0, 0, 0, 0, time.UTC)
}

// day draws the day that counts, as the entry has it and as the sentence says it. Some days are said relative to a dated note,
// which then stands before the sentence.
func (w *writer) day(zh bool) (iso, said, note string) {
	d := w.date()
	iso = d.Format("2006-01-02")
	if !w.chance(12) {
		return iso, w.style(d, zh), ""
	}
	back := w.IntN(3)
	noted := w.style(d.AddDate(0, 0, back), zh)
	if zh {
		return iso, []string{"今天", "昨天", "前天"}[back], pick(w, []string{"【" + noted + "】", noted + "记：", "日记账" + noted + "："})
	}
	return iso, []string{"today", "yesterday", "the day before yesterday"}[back], pick(w, []string{"[" + noted + "]", "Note of " + noted + ":", noted + " -"})
}

// style writes a date in one of the language's ways.
func (w *writer) style(d time.Time, zh bool) string {
	if zh {
		switch w.IntN(5) {
		case 0:
			return d.Format("2006-01-02")
		case 1:
			return d.Format("2006.1.2")
		case 2:
			return digits(d.Year()) + "年" + numeral(int(d.Month())) + "月" + numeral(d.Day()) + "日"
		}
		return d.Format("2006年1月2日")
	}
	return d.Format(pick(w, []string{"2006-01-02", "2 January 2006", "January 2, 2006", "02/01/2006", "2 Jan 2006", "2.1.2006", "Jan 2, 2006"}))
}
