package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// Charts are SVG drawn by hand: a chart is a few dozen marks, and the page must need no script. Widths are in user units of a
// drawing 720 wide; colours and type come from the page's style by class.
const chartWidth = 720

// A drawing collects the marks of one chart.
type drawing struct {
	strings.Builder
	height float64
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(d, format+"\n", args...) }

// text writes a label; class may set its place (end, mid) and weight.
func (d *drawing) text(x, y float64, class, s string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, html.EscapeString(s))
}

// svg closes a drawing and names it for readers that do not see it.
func (d *drawing) svg(name string) template.HTML {
	return template.HTML(fmt.Sprintf("<div class=\"chart\"><svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"%s\">\n%s</svg></div>",
		chartWidth, d.height, html.EscapeString(name), d.String()))
}

// roleClass is the class that colours a role.
func roleClass(role string) string {
	switch role {
	case RoleTeacher, RoleStudent, RoleBase, RoleBaseline:
		return role
	}
	return "other"
}

// roleName is a role in words.
func roleName(role string) string {
	switch role {
	case RoleTeacher:
		return "Teacher"
	case RoleStudent:
		return "Student"
	case RoleBase:
		return "Before training"
	case RoleBaseline:
		return "Plain baseline"
	}
	return role
}

// otherName is a role in words as the student's counterpart.
func otherName(role string) string {
	if role == RoleBase {
		return "itself untrained"
	}
	return strings.ToLower(roleName(role))
}

// short cuts a long name in its middle.
func short(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-(n-n/2-1):])
}

// whisker draws an interval around a row.
func (d *drawing) whisker(x1, x2, y, half float64) {
	d.add(`<path class="whisker" d="M%.1f %.1fV%.1fM%.1f %.1fH%.1fM%.1f %.1fV%.1f"/>`, x1, y-half, y+half, x1, y, x2, x2, y-half, y+half)
}

// scoreChart draws each role's score with its interval.
func scoreChart(r *Report) template.HTML {
	const left, right, row = 190.0, 630.0, 46.0
	d := &drawing{height: row*float64(len(r.Roles)) + 34}
	x := func(share float64) float64 { return left + share*(right-left) }
	bottom := d.height - 24
	for i := range 5 {
		share := float64(i) / 4
		d.add(`<path class="grid" d="M%.1f 4V%.1f"/>`, x(share), bottom)
		d.text(x(share), bottom+16, "tick mid", points(share))
	}
	for i, role := range r.Roles {
		s, y := role.Metric(r.Manifest.Metric), 4+row*float64(i)
		d.text(left-14, y+19, "name end", roleName(role.Role))
		d.text(left-14, y+34, "note end", short(role.Model.Name, 28))
		d.add(`<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="22" rx="3"><title>%s</title></rect>`, roleClass(role.Role), left, y+9, max(1, x(s.Share)-left),
			html.EscapeString(fmt.Sprintf("%s: %d of %d, %s to %s", roleName(role.Role), s.Right, s.Of, percent(s.Low), percent(s.High))))
		if s.Of > 0 {
			d.whisker(x(s.Low), x(s.High), y+20, 5)
		}
		d.text(right+14, y+25, "value", percent(s.Share))
	}
	return d.svg("Share of items that each role gets entirely right, with 95 % intervals")
}

// fieldChart draws each field's score by role.
func fieldChart(r *Report) template.HTML {
	const left, right, bar = 190.0, 640.0, 13.0
	roles := shown(r.Roles)
	group := bar*float64(len(roles)) + 18
	d := &drawing{height: group*float64(len(r.Manifest.Fields)) + 26}
	x := func(share float64) float64 { return left + share*(right-left) }
	bottom := d.height - 24
	for i := range 5 {
		share := float64(i) / 4
		d.add(`<path class="grid" d="M%.1f 0V%.1f"/>`, x(share), bottom)
		d.text(x(share), bottom+16, "tick mid", points(share))
	}
	for i, f := range r.Manifest.Fields {
		y := group*float64(i) + 6
		d.text(left-14, y+bar*float64(len(roles))/2+4, "name end", short(f.Name, 22))
		for j, role := range roles {
			s := role.Fields[i].Metric(r.Manifest.Metric)
			at := y + bar*float64(j)
			d.add(`<rect class="bar %s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s</title></rect>`, roleClass(role.Role), left, at, max(1, x(s.Share)-left), bar-3,
				html.EscapeString(fmt.Sprintf("%s, %s: %d of %d", f.Name, roleName(role.Role), s.Right, s.Of)))
			d.text(x(s.Share)+6, at+9, "small", percent(s.Share))
		}
	}
	return d.svg("Share of right values per field and role")
}

// shown are the roles with graded items.
func shown(roles []Role) []Role {
	var out []Role
	for _, r := range roles {
		if r.Loose.Of > 0 {
			out = append(out, r)
		}
	}
	return out
}

// pairChart draws, for the student against another role, how many items both, one or neither got right.
func pairChart(p Pair) template.HTML {
	d := &drawing{height: 56}
	x := 0.0
	for _, part := range []struct {
		class string
		n     int
	}{{"both", p.Both}, {RoleStudent, p.Student}, {roleClass(p.Other), p.OtherAlone}, {"neither", p.Neither}} {
		w := chartWidth * float64(part.n) / float64(p.Items)
		if part.n == 0 {
			continue
		}
		d.add(`<rect class="part %s" x="%.1f" y="0" width="%.1f" height="34" rx="3"/>`, part.class, x, max(1, w-2))
		if w > 28 {
			d.text(x+w/2-1, 22, "inside mid "+part.class, fmt.Sprint(part.n))
		} else {
			d.text(x+w/2-1, 49, "small mid", fmt.Sprint(part.n))
		}
		x += w
	}
	if !strings.Contains(d.String(), "small mid") {
		d.height = 36
	}
	return d.svg(fmt.Sprintf("Both right %d, student alone %d, %s alone %d, neither %d", p.Both, p.Student, roleName(p.Other), p.OtherAlone, p.Neither))
}

// differenceChart draws the student's lead over each role with its bootstrap interval.
func differenceChart(r *Report) template.HTML {
	const left, right, row = 190.0, 630.0, 36.0
	reach := 0.1
	for _, p := range r.Pairs {
		reach = max(reach, math.Abs(p.Bootstrap.Low), math.Abs(p.Bootstrap.High))
	}
	reach = min(1, math.Ceil(reach*5)/5) // ticks at whole tenths
	x := func(v float64) float64 { return left + (v+reach)/(2*reach)*(right-left) }
	d := &drawing{height: row*float64(len(r.Pairs)) + 44}
	bottom := d.height - 40
	for i := -2; i <= 2; i++ {
		v := reach * float64(i) / 2
		class := "grid"
		if i == 0 {
			class = "axis"
		}
		d.add(`<path class="%s" d="M%.1f 0V%.1f"/>`, class, x(v), bottom)
		d.text(x(v), bottom+16, "tick mid", signed(v))
	}
	d.text(x(0)-10, bottom+34, "note end", "← student worse")
	d.text(x(0)+10, bottom+34, "note", "student better →")
	for i, p := range r.Pairs {
		y := row*float64(i) + row/2
		d.text(left-14, y+5, "name end", roleName(p.Other))
		d.whisker(x(p.Bootstrap.Low), x(p.Bootstrap.High), y, 6)
		d.add(`<circle class="dot %s" cx="%.1f" cy="%.1f" r="6"/>`, roleClass(p.Other), x(p.Difference), y)
		d.text(right+14, y+5, "value", signed(p.Difference))
	}
	return d.svg("Difference between student and each other role, in points, with 95 % bootstrap intervals")
}
