package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
)

// costChart draws quality against the price of a thousand items, on a logarithmic axis. Roles that cost nothing measurable stand at its left
// end.
func costChart(r *Report) template.HTML {
	const left, right, top, bottom = 56.0, 690.0, 12.0, 252.0
	roles := shown(r.Roles)
	low, high := math.Inf(1), 0.0
	for _, role := range roles {
		if role.PerThousand > 0 {
			low, high = min(low, role.PerThousand), max(high, role.PerThousand)
		}
	}
	if high == 0 {
		return ""
	}
	first, last := math.Floor(math.Log10(low)-0.15), math.Ceil(math.Log10(high)+0.15)
	x := func(price float64) float64 {
		if price <= 0 {
			return left
		}
		return left + (math.Log10(price)-first)/(last-first)*(right-left)
	}
	y := func(share float64) float64 { return bottom - share*(bottom-top) }
	d := &drawing{height: bottom + 44}
	for i := range 5 {
		share := float64(i) / 4
		d.add(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, y(share), right)
		d.text(left-10, y(share)+4, "tick end", points(share))
	}
	step := max(1, math.Ceil((last-first)/8))
	for e := first; e <= last; e += step {
		at := x(math.Pow(10, e))
		d.add(`<path class="grid" d="M%.1f %.1fV%.1f"/>`, at, top, bottom)
		d.text(at, bottom+18, "tick mid", dollars(math.Pow(10, e)))
	}
	d.text((left+right)/2, bottom+38, "note mid", "dollars for a thousand items")
	var taken [][2]float64
	for _, role := range roles {
		s := role.Metric(r.Manifest.Metric)
		px, py := x(role.PerThousand), y(s.Share)
		d.add(`<path class="whisker" d="M%.1f %.1fV%.1f"/>`, px, y(s.Low), y(s.High))
		d.add(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="7"><title>%s</title></circle>`, roleClass(role.Role), px, py,
			html.EscapeString(fmt.Sprintf("%s: %s, %s for a thousand", roleName(role.Role), percent(s.Share), dollars(role.PerThousand))))
		// A label that would lie on another moves down a line.
		ly := py + 4
		for slices.ContainsFunc(taken, func(t [2]float64) bool { return math.Abs(t[0]-px) < 130 && math.Abs(t[1]-ly) < 15 }) {
			ly += 15
		}
		taken = append(taken, [2]float64{px, ly})
		if px > right-140 {
			d.text(px-13, ly, "label end", roleName(role.Role))
		} else {
			d.text(px+13, ly, "label", roleName(role.Role))
		}
	}
	return d.svg("Share of right items against the price of a thousand items")
}

// lossChart draws the training loss by step, with its running mean.
func lossChart(points []LossPoint) template.HTML {
	const left, right, top, bottom = 56.0, 700.0, 10.0, 200.0
	if len(points) < 2 {
		return ""
	}
	high := 0.0
	for _, p := range points {
		if !math.IsNaN(p.Loss) && !math.IsInf(p.Loss, 0) {
			high = max(high, p.Loss)
		}
	}
	high = nice(high)
	steps := float64(points[len(points)-1].Step)
	x := func(step float64) float64 { return left + step/steps*(right-left) }
	y := func(loss float64) float64 { return bottom - min(loss, high)/high*(bottom-top) }
	d := &drawing{height: bottom + 42}
	for i := range 5 {
		v := high * float64(i) / 4
		d.add(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, left, y(v), right)
		d.text(left-10, y(v)+4, "tick end", trim(v))
	}
	for i := range 5 {
		step := steps * float64(i) / 4
		d.text(x(step), bottom+18, "tick mid", grouped(step))
	}
	d.text((left+right)/2, bottom+38, "note mid", "step")
	var raw, mean strings.Builder
	running, weight := 0.0, 0.0
	for _, p := range points {
		if math.IsNaN(p.Loss) || math.IsInf(p.Loss, 0) {
			continue
		}
		letter := "L"
		if raw.Len() == 0 {
			letter = "M"
		}
		// The running mean forgets an eighth of itself at each point; dividing by its weight takes the start's pull away.
		running, weight = running*0.875+p.Loss*0.125, weight*0.875+0.125
		fmt.Fprintf(&raw, "%s%.1f %.1f", letter, x(float64(p.Step)), y(p.Loss))
		fmt.Fprintf(&mean, "%s%.1f %.1f", letter, x(float64(p.Step)), y(running/weight))
	}
	d.add(`<path class="curve raw" d="%s"/>`, raw.String())
	d.add(`<path class="curve" d="%s"/>`, mean.String())
	return d.svg(fmt.Sprintf("Training loss from %.3f to %.3f over %d steps", points[0].Loss, points[len(points)-1].Loss, int(steps)))
}

// nice rounds an axis' end up to 1, 2, 3, 4, 6 or 8 times a power of ten.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 3, 4, 6, 8, 10} {
		if v <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

func trim(v float64) string {
	s := fmt.Sprintf("%.3f", v)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// phaseChart draws where the time went.
func phaseChart(phases []Phase) template.HTML {
	const left, right, row = 190.0, 620.0, 26.0
	longest := 0.0
	for _, p := range phases {
		longest = max(longest, p.Seconds)
	}
	if longest == 0 {
		return ""
	}
	d := &drawing{height: row*float64(len(phases)) + 4}
	for i, p := range phases {
		y := row * float64(i)
		class := "bar phase"
		if p.Once {
			class += " once"
		}
		w := max(1, p.Seconds/longest*(right-left))
		d.text(left-14, y+17, "name end", short(p.Name, 24))
		d.add(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="16" rx="2"/>`, class, left, y+4, w)
		d.text(left+w+8, y+17, "small", seconds(p.Seconds))
	}
	return d.svg("Time spent in each phase")
}
