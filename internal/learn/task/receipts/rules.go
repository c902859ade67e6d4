package receipts

import (
	"regexp"
	"strings"

	"retort/internal/learn/task/mention"
)

var phone = regexp.MustCompile(`(?i)\bTEL|FAX|PHONE|GST|\bREG|CO\.? ?NO|EMAIL|WWW|HTTP|INVOICE|RECEIPT|CASH|ROC`)

// Rules reads a receipt by plain regular expressions, the baseline that a student has to beat: the first line that names a
// firm, the first date, the lines after the firm that look like an address, the last amount beside the word "total".
func Rules(text string) map[string]string {
	lines := strings.Split(text, "\n")
	company := 0
	for i, line := range lines[:min(len(lines), 8)] {
		if firm.MatchString(line) && !address.MatchString(line) {
			company = i
			break
		}
	}
	return map[string]string{
		"company": lines[company],
		"date":    firstDate(text),
		"address": addressLines(lines[company+1:]),
		"total":   lastTotal(lines),
	}
}

func firstDate(text string) string {
	for _, m := range mention.Dates(text) {
		return text[m.Start:m.End]
	}
	return ""
}

// addressLines joins the first run of lines that look like an address.
func addressLines(lines []string) string {
	var out []string
	for _, line := range lines[:min(len(lines), 10)] {
		switch {
		case phone.MatchString(line):
			if len(out) > 0 {
				return strings.Join(out, " ")
			}
		case address.MatchString(line) || len(out) > 0 && strings.Contains(line, ","):
			out = append(out, line)
		case len(out) > 0:
			return strings.Join(out, " ")
		}
	}
	return strings.Join(out, " ")
}

// lastTotal is the last amount on, or on one of the two lines after, a line that says total.
func lastTotal(lines []string) string {
	total := ""
	for i, line := range lines {
		if labelOf(strings.ToUpper(line)) != "total" {
			continue
		}
		for _, next := range lines[i:min(len(lines), i+3)] {
			if m := money.FindStringSubmatch(next); m != nil {
				total = strings.TrimSpace(m[2] + m[3] + "." + m[4])
				break
			}
		}
	}
	return total
}
