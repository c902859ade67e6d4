package jinja

import (
	"strconv"
	"strings"
)

// expression reads one; conditional is false where "if" ends it, as in {% for x in xs if … %}.
func (p *parser) expression(conditional bool) expr {
	p.down()
	defer p.up()
	x := p.or()
	for conditional && p.skipName("if") {
		t := &ternary{cond: p.or(), yes: x}
		if p.skipName("else") {
			t.no = p.expression(true)
		}
		x = t
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for p.skipName("or") {
		x = &logic{true, x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for p.skipName("and") {
		x = &logic{false, x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.isName("not") {
		p.next()
		p.down()
		defer p.up()
		return &not{p.not()}
	}
	return p.compare()
}

func (p *parser) compare() expr {
	c := &compare{line: p.at().line, x: p.sum()}
	for {
		op := ""
		switch t := p.at(); {
		case t.kind == tokOp && strings.Contains(" == != < <= > >= ", " "+t.s+" "):
			op = t.s
		case p.isName("in"):
			op = "in"
		case p.isName("not") && p.peek().kind == tokName && p.peek().s == "in":
			p.next()
			op = "not in"
		default:
			if len(c.ops) == 0 {
				return c.x
			}
			return c
		}
		p.next()
		c.ops, c.ys = append(c.ops, op), append(c.ys, p.sum())
	}
}

// chain reads operands joined by left-associative operators.
func (p *parser) chain(operand func() expr, ops ...string) expr {
	x := operand()
	for {
		t := p.at()
		found := false
		for _, op := range ops {
			found = found || p.isOp(op)
		}
		if !found {
			return x
		}
		p.next()
		x = &arith{t.s, x, operand(), t.line}
	}
}

func (p *parser) sum() expr { return p.chain(p.tilde, "+", "-") }

func (p *parser) tilde() expr {
	x := p.product()
	if !p.isOp("~") {
		return x
	}
	c := &concat{[]expr{x}}
	for p.skipOp("~") {
		c.items = append(c.items, p.product())
	}
	return c
}

func (p *parser) product() expr { return p.chain(p.power, "*", "/", "//", "%") }

// power is left-associative in Jinja, unlike in Python.
func (p *parser) power() expr { return p.chain(func() expr { return p.unary(true) }, "**") }

func (p *parser) unary(filters bool) expr {
	p.down()
	defer p.up()
	var x expr
	if t := p.at(); p.isOp("-") || p.isOp("+") {
		p.next()
		x = &sign{t.s, p.unary(false), t.line}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if filters {
		x = p.filters(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.next()
	switch t.kind {
	case tokName:
		switch t.s {
		case "true", "True":
			return &constant{true}
		case "false", "False":
			return &constant{false}
		case "none", "None":
			return &constant{nil}
		}
		if p.macro && (t.s == "varargs" || t.s == "kwargs") {
			p.failAt(t, "'%s' of a macro is not supported", t.s)
		}
		return &name{t.s, t.line}
	case tokString:
		parts := []string{t.s}
		for p.at().kind == tokString { // adjacent literals are one
			parts = append(parts, p.next().s)
		}
		return &constant{plain(strings.Join(parts, ""))}
	case tokInt:
		return &constant{p.int(t)}
	case tokFloat:
		f, err := strconv.ParseFloat(t.s, 64)
		if err != nil {
			p.failAt(t, "number %s is too large", t.s)
		}
		return &constant{f}
	case tokOp:
		switch t.s {
		case "(":
			x := p.tuple(true, true)
			p.wantOp(")")
			return x
		case "[":
			return &listExpr{p.list("]")}
		case "{":
			return p.dict(t.line)
		}
	}
	p.failAt(t, "unexpected %v", t)
	return nil
}

func (p *parser) int(t token) int64 {
	i, err := strconv.ParseInt(t.s, 0, 64)
	if err != nil {
		p.failAt(t, "number %s is not an integer of 64 bits", t.s)
	}
	return i
}

// list reads expressions up to a closing bracket; a comma may stand before it.
func (p *parser) list(end string) []expr {
	items := []expr{}
	for !p.skipOp(end) {
		if len(items) > 0 {
			p.wantOp(",")
			if p.skipOp(end) {
				break
			}
		}
		items = append(items, p.expression(true))
	}
	return items
}

func (p *parser) dict(line int) expr {
	d := &dictExpr{line: line}
	for !p.skipOp("}") {
		if len(d.keys) > 0 {
			p.wantOp(",")
			if p.skipOp("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression(true))
		p.wantOp(":")
		d.vals = append(d.vals, p.expression(true))
	}
	return d
}

// tuple reads an expression, or several with commas. Only in parentheses may there be none.
func (p *parser) tuple(conditional, parentheses bool) expr {
	items := []expr{}
	isTuple := false
	for {
		if len(items) > 0 && !p.skipOp(",") {
			break
		}
		isTuple = isTuple || len(items) > 0
		if k := p.at().kind; k == tokVarEnd || k == tokBlockEnd || p.isOp(")") {
			break
		}
		items = append(items, p.expression(conditional))
	}
	if !isTuple && len(items) == 1 {
		return items[0]
	}
	if len(items) == 0 && !parentheses {
		p.failAt(p.at(), "expected an expression, got %v", p.at())
	}
	return &tupleExpr{items}
}

func (p *parser) postfix(x expr) expr {
	for {
		switch line := p.at().line; {
		case p.skipOp("."):
			t := p.next()
			switch t.kind {
			case tokName:
				x = &member{x, t.s, line}
			case tokInt:
				x = &index{x, &constant{p.int(t)}, line}
			default:
				p.failAt(t, "expected a name after '.', got %v", t)
			}
		case p.skipOp("["):
			x = p.subscript(x, line)
		case p.isOp("("):
			x = &call{x, p.arguments(), line}
		default:
			return x
		}
	}
}

func (p *parser) subscript(x expr, line int) expr {
	var part [3]expr
	n := 0
	for ; ; n++ {
		if !p.isOp(":") && !p.isOp("]") {
			part[n] = p.expression(true)
		}
		if n == 2 || !p.skipOp(":") {
			break
		}
	}
	if p.isOp(",") {
		p.failAt(p.at(), "an index of several values is not supported")
	}
	if n == 0 && part[0] == nil {
		p.failAt(p.at(), "expected an expression, got %v", p.at())
	}
	p.wantOp("]")
	if n == 0 {
		return &index{x, part[0], line}
	}
	return &slice{x, part[0], part[1], part[2], line}
}

// arguments reads a call's in parentheses.
func (p *parser) arguments() argExprs {
	var a argExprs
	p.wantOp("(")
	for first := true; !p.skipOp(")"); first = false {
		if !first {
			p.wantOp(",")
			if p.skipOp(")") {
				break
			}
		}
		if p.isOp("*") || p.isOp("**") {
			p.failAt(p.at(), "arguments with %s are not supported", p.at().s)
		}
		if t := p.at(); t.kind == tokName && p.peek().kind == tokOp && p.peek().s == "=" {
			p.next()
			p.next()
			a.names, a.vals = append(a.names, t.s), append(a.vals, p.expression(true))
			continue
		}
		if len(a.names) > 0 {
			p.failAt(p.at(), "a value without a name follows named ones")
		}
		a.pos = append(a.pos, p.expression(true))
	}
	return a
}

// filters reads what follows an operand: filters, tests, and calls of their results.
func (p *parser) filters(x expr) expr {
	for {
		switch line := p.at().line; {
		case p.isOp("|"):
			f := p.filter()
			f.of = x
			x = f
		case p.isName("is"):
			x = p.test(x)
		case p.isOp("("):
			x = &call{x, p.arguments(), line}
		default:
			return x
		}
	}
}

// filter reads "| name(arguments)"; the bar is optional for the first of a filter block.
func (p *parser) filter() *filterExpr {
	p.skipOp("|")
	t := p.at()
	parts := []string{p.wantName()}
	for p.skipOp(".") {
		parts = append(parts, p.wantName())
	}
	f := &filterExpr{id: strings.Join(parts, "."), line: t.line}
	if p.isOp("(") {
		f.args = p.arguments()
	}
	return f
}

func (p *parser) test(x expr) expr {
	line := p.next().line
	negated := p.skipName("not")
	t := &testExpr{x: x, id: p.wantName(), line: line}
	switch at := p.at(); {
	case p.isOp("("):
		t.args = p.arguments()
	case p.isName("else") || p.isName("or") || p.isName("and"):
	case p.isName("is"):
		p.failAt(at, "tests cannot be chained with 'is'")
	case at.kind == tokName || at.kind == tokString || at.kind == tokInt || at.kind == tokFloat || p.isOp("[") || p.isOp("{"):
		t.args.pos = []expr{p.postfix(p.primary())}
	}
	if negated {
		return &not{t}
	}
	return t
}
