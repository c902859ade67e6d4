package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// How figures are written, in sentences and on the page.

// percent writes a share: 53 %, 92.5 %. The blank does not break, so that number and sign stay on one line.
func percent(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(100*x, 'f', 1, 64), ".0") + "\u00a0%"
}

// points writes a difference of shares in percentage points, without sign.
func points(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(100*x, 'f', 1, 64), ".0")
}

// signed writes it with its sign: +14, −3.5, 0.
func signed(x float64) string {
	s := points(math.Abs(x))
	switch {
	case s == "0":
		return s
	case x < 0:
		return "−" + s
	}
	return "+" + s
}

func direction(x float64) string {
	if x < 0 {
		return "worse"
	}
	return "better"
}

func pValue(p float64) string {
	switch {
	case p < 0.0001:
		return "p < 0.0001"
	case p < 0.001:
		return fmt.Sprintf("p = %.4f", p)
	case p < 0.1:
		return fmt.Sprintf("p = %.3f", p)
	}
	return fmt.Sprintf("p = %.2f", p)
}

// seconds writes a duration with two digits that matter: 840 ms, 10.1 s, 12 min, 3.4 h.
func seconds(s float64) string {
	switch {
	case s < 0.001:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.01:
		return fmt.Sprintf("%.1f ms", s*1000)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	case s < 600:
		return fmt.Sprintf("%.1f min", s/60)
	case s < 6000:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

// dollars writes an amount with at least two digits that matter.
func dollars(x float64) string {
	switch {
	case x == 0:
		return "$0"
	case x >= 100:
		return "$" + grouped(math.Round(x))
	case x >= 0.1:
		return fmt.Sprintf("$%.2f", x)
	case x < 1e-6:
		return "under $0.000001"
	}
	s := strconv.FormatFloat(x, 'f', 1-int(math.Floor(math.Log10(x))), 64)
	for len(s) > len("0.00") && strings.HasSuffix(s, "0") {
		s = s[:len(s)-1]
	}
	return "$" + s
}

// times writes a ratio: 25, 3.4.
func times(x float64) string {
	if x >= 10 {
		return grouped(math.Round(x))
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}

// grouped writes a whole number with commas: 1,240.
func grouped(x float64) string {
	s := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes in powers of 1000: 1.8 MB.
func size(n int64) string { return scaled(float64(n), []string{" B", " kB", " MB", " GB", " TB"}) }

// amount writes a count of parameters or tokens: 1.8 M.
func amount(n int64) string { return scaled(float64(n), []string{"", " k", " M", " B", " T"}) }

func scaled(x float64, units []string) string {
	i := 0
	for x >= 999.5 && i < len(units)-1 {
		x /= 1000
		i++
	}
	if i == 0 || x >= 100 {
		return fmt.Sprintf("%.0f%s", x, units[i])
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0") + units[i]
}
