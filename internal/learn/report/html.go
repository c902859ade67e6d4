package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page holds the template with the words and charts it may use. html/template escapes all that comes from a run: answers,
// names and notes are other people's text.
var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style":      func() template.CSS { return template.CSS(pageStyle) },
	"percent":    percent,
	"signed":     signed,
	"points":     points,
	"p":          pValue,
	"dollars":    dollars,
	"seconds":    seconds,
	"ms":         func(ms float64) string { return seconds(ms / 1000) },
	"size":       size,
	"amount":     amount,
	"grouped":    grouped,
	"times":      times,
	"int":        func(n int) string { return grouped(float64(n)) },
	"roleName":   roleName,
	"roleClass":  roleClass,
	"otherName":  otherName,
	"day":        func(s string) string { return s[:min(len(s), 10)] },
	"join":       strings.Join,
	"scoreChart": scoreChart,
	"fieldChart": fieldChart,
	"pairChart":  pairChart,
	"diffChart":  differenceChart,
	"costChart":  costChart,
	"lossChart":  lossChart,
	"phaseChart": phaseChart,
	"shown":      shown,
	"command":    command,
	"hashes":     hashes,
	"stripe": func(part, whole int) template.CSS {
		return template.CSS(fmt.Sprintf("width:%.1f%%", 100*float64(part)/float64(max(whole, 1))))
	},
	"sub":         func(a, b int) int { return a - b },
	"add":         func(a, b int) int { return a + b },
	"ratio":       func(a, b int) float64 { return float64(a) / float64(max(b, 1)) },
	"kindName":    kindName,
	"metricWords": metricWords,
}).Parse(pageText))

func renderHTML(r *Report) ([]byte, error) {
	var b bytes.Buffer
	if err := page.Execute(&b, r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// command writes a command line so that a shell reads it back.
func command(args []string) string {
	out := slices.Clone(args)
	for i, a := range out {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// hashes lists what is hashed, in the order of names.
func hashes(m map[string]string) [][2]string {
	var out [][2]string
	for k, v := range m {
		out = append(out, [2]string{k, v})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

func kindName(kind string) string {
	switch kind {
	case Better:
		return "Better than its teacher"
	case Level:
		return "Level with its teacher"
	case Worse:
		return "Behind its teacher"
	case DoNot:
		return "Do not distil"
	}
	return "No verdict"
}

func metricWords(metric string) string {
	if metric == "exact" {
		return "all fields exactly as in the gold answer"
	}
	return "all fields equal to the gold answer but for case, blanks and punctuation"
}
